/** One connection: its times, and its end. */

import { StreamFailure } from "./failure.js";
import type { ConnectionOutcome, Transport } from "./transport.js";

/** Why the client itself ends a connection. */
export type StopReason = "disconnect" | "reconnect" | "hidden";

export interface ConnectTimes {
  /** Maximum wait for the head of the response (ms). */
  readonly headMs: number;
  /** Maximum wait for the first block (ms); null: no such maximum. */
  readonly firstBlockMs: number | null;
}

/** One attempt to connect, and the connection that it makes. Times are those of the wall clock: see the stream's ticks. */
export class Connection {
  readonly transport: Transport;
  /** Rejects when the client ends the connection, whatever the transport does then. */
  readonly stopped: Promise<never>;
  /** Set when the client has ended the connection on purpose. */
  reason: StopReason | null = null;
  heardBlock = false;
  #abort = new AbortController();
  #reject!: (error: Error) => void;
  #times: ConnectTimes;
  #startedAt = Date.now();
  #openedAt: number | null = null;
  #heardAt = Date.now();

  constructor(transport: Transport, times: ConnectTimes) {
    this.transport = transport;
    this.#times = times;
    this.stopped = new Promise((_, reject) => (this.#reject = reject));
    this.stopped.catch(() => {});
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  opened(): void {
    this.#openedAt = Date.now();
    this.hear();
  }

  hear(): void {
    this.#heardAt = Date.now();
  }

  /** End the connection on purpose. */
  stop(reason: StopReason): void {
    this.reason ??= reason;
    this.fail("the connection was closed");
  }

  /** Give the connection up. */
  fail(message: string): void {
    this.#reject(new StreamFailure(message));
    this.#abort.abort();
  }

  /** Time since the last byte (ms). */
  get silentMs(): number {
    return Date.now() - this.#heardAt;
  }

  /** True if the head of the response, or the first block, is late. */
  get isOverdue(): boolean {
    const { headMs, firstBlockMs } = this.#times;
    const waitedMs = Date.now() - this.#startedAt;
    if (this.#openedAt === null && waitedMs > headMs) return true;
    return firstBlockMs !== null && !this.heardBlock && waitedMs > firstBlockMs;
  }

  /** The course of the connection, once it has ended. */
  outcome(failure: StreamFailure | null): ConnectionOutcome {
    const openMs = this.#openedAt === null ? 0 : Math.max(1, Date.now() - this.#openedAt);
    return { transport: this.transport, failure, heard: this.heardBlock, openMs };
  }
}
