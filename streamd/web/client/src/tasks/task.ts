/** A task that is followed to its end, by its stream or by asking for its status. */

import { TIMER_MS_MAX, backoffMs } from "../backoff.js";
import { callAll } from "../emitter.js";
import { parseFields } from "../event.js";
import { StreamFailure } from "../failure.js";
import type { StreamOptions } from "../options.js";
import { resolveUrl } from "../page.js";
import { sse } from "../sse.js";
import { createStream, type EventStream } from "../stream.js";
import type { TransportChooser } from "../transport.js";
import { ask, deferred, sleep } from "./requests.js";
import { TaskError, isEnded, nextSnapshot, type TaskSnapshot } from "./snapshot.js";

type FollowOption = "headers" | "credentials" | "signal" | "backoff" | "connectMs" | "silenceMs" | "openWhenHidden" | "fetch";

export interface TaskOptions extends Pick<StreamOptions, FollowOption> {
  /** The server's address; by default the root of the page's. */
  baseUrl?: string | URL;
  /** The stream, relative to the server's address; by default `/tasks/{id}/events`. A service's answer names it. */
  eventsUrl?: string;
  /** By default `/tasks/{id}`. */
  statusUrl?: string;
  /** By default `/tasks/{id}/result`. */
  resultUrl?: string;
  /** By default `/tasks/{id}/cancel`. */
  cancelUrl?: string;
  /** The task's deadline (RFC 3339), if it is known before the first message. */
  deadline?: string;
  /** Attempts in succession to open the stream, before the status is asked; 3 by default. */
  maxAttempts?: number;
  /** Called with each snapshot, as by `onSnapshot(listener)`; follows the task at once. */
  onSnapshot?: (snapshot: TaskSnapshot) => void;
}

const FIRST_BLOCK_MS = 5000; // a proxy that withholds the first block will withhold the others
const STREAM_ATTEMPTS = 3;
const POLL_MS = 3000; // where the server suggests no interval
const LATE_MS = 5000; // after the deadline the server needs a moment to let the task fail
const LATE_POLLS = 3; // this computer may have been asleep, and its network not be back yet
const RESULT_ATTEMPTS = 5;

const SSE_IN_TIME: TransportChooser = { firstBlockMs: FIRST_BLOCK_MS, choose: () => sse, learn: () => false };

/**
 * Make the client's side of a task that exists. It follows the task from the first use of `onSnapshot`, `result` or
 * `for await` on, to the end of the task or `close()`.
 *
 * @param id of the task; also a service's own name for it, such as `researchSessionId`.
 * @param options of the requests; the answer of a service that started the task has the URLs.
 */
export function task(id: string, options: TaskOptions = {}): Task {
  return new Task(id, options);
}

/**
 * The client's side of a task. Made by {@link task}.
 *
 * Theory of operation: rounds, until the task has ended. In each round the stream runs until some attempts in succession
 * have failed; then one question for the status decides, whose answer is either the state, or that there is no such task
 * for this caller, or nothing. If the server answers, but nothing arrives by the stream, the next rounds only ask.
 *
 * Only the task's end, the server's word that there is no such task for this caller, or the deadline ends the rounds.
 */
export class Task implements AsyncIterable<TaskSnapshot> {
  readonly id: string;
  #options: TaskOptions;
  #stream: EventStream | null = null; // while the task is followed
  #snapshot: TaskSnapshot | null = null;
  #version = 0; // of the snapshot; messages of some services have none
  #textVersion = 0; // of its text, which not every answer has
  #listeners = new Set<(snapshot: TaskSnapshot) => void>();
  #loops: (() => void)[] = []; // wake the loops that wait for a change
  #end = deferred<TaskSnapshot>();
  #over = new AbortController();
  #hasHeard = false; // the stream, in this round
  #skewMs: number | null = null; // upper bound of what this computer's clock is ahead of the server's
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: string, options: TaskOptions) {
    this.id = id;
    this.#options = options;
    if (options.signal?.aborted) this.close();
    options.signal?.addEventListener("abort", () => this.close(), { signal: this.#over.signal });
    if (options.onSnapshot) this.onSnapshot(options.onSnapshot);
  }

  /** The last known state; null before the first answer. */
  get snapshot(): TaskSnapshot | null {
    return this.#snapshot;
  }

  /** Call a listener with each snapshot from now on; returns a function that removes it. */
  onSnapshot(listener: (snapshot: TaskSnapshot) => void): () => void {
    this.#listeners.add(listener);
    this.#start();
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Wait for the end of the task, and return its result.
   *
   * Rejects with a TaskError if the task failed or was cancelled, and with a StreamFailure if its end cannot be known.
   */
  async result<T = unknown>(): Promise<T> {
    this.#start();
    const { status, error, message, fields } = await this.#end.promise;
    if (status !== "completed") throw new TaskError(status, error ?? { code: "", detail: message });
    if ("result" in fields) return fields["result"] as T;
    return (await this.#fetchResult()) as T; // too large for a message
  }

  /**
   * Cancel the task, and return its last state.
   *
   * Rejects with a StreamFailure; its status is 409 if the task has ended before. Without an answer, the task may be cancelled
   * or not.
   *
   * @param message the reason, for the followers of the task.
   */
  async cancel(message = ""): Promise<TaskSnapshot> {
    const { fields } = await ask(this.#url("cancel"), this.#options, JSON.stringify({ message }));
    this.#take(fields);
    return this.#snapshot!;
  }

  /** Follow the task no more; the task goes on. */
  close(): void {
    this.#fail(new StreamFailure("the task is not followed any more", { code: "closed", fatal: true }));
  }

  /**
   * Iterate over the snapshots, to the last one; a slow loop skips those that are out of date. Throws a StreamFailure if the
   * end cannot be known. Leaving the loop does not close the task.
   */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<TaskSnapshot> {
    this.#start();
    let last: TaskSnapshot | null = null;
    for (;;) {
      if (this.#snapshot !== null && this.#snapshot !== last) yield (last = this.#snapshot);
      else if (this.#isOver) return void (await this.#end.promise);
      else await new Promise<void>((resolve) => this.#loops.push(resolve));
    }
  }

  // --- following ----------------------------------------------------------------------------------

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  #url(name: "events" | "status" | "result" | "cancel"): URL {
    const base = resolveUrl(String(this.#options.baseUrl ?? "/").replace(/\/?$/, "/"));
    const path = `tasks/${encodeURIComponent(this.id)}`;
    return new URL(this.#options[`${name}Url`] ?? (name === "status" ? path : `${path}/${name}`), base);
  }

  #start(): void {
    if (this.#stream === null && !this.#isOver) void this.#follow();
  }

  async #follow(): Promise<void> {
    const { maxAttempts = STREAM_ATTEMPTS, backoff } = this.#options;
    const fixed = { maxAttempts, snapshots: true, transports: SSE_IN_TIME, signal: this.#over.signal };
    const stream = (this.#stream = createStream(this.#url("events"), { ...this.#options, ...fixed }));
    stream.on(({ type, data }) => {
      this.#hasHeard = true;
      this.#take(parseFields(data), type);
    });
    this.#watchDeadline();
    let streams = true;
    let failures = 0; // polls in succession
    let latePolls = 0;
    while (!this.#isOver) {
      if (streams && this.#leftMs > 0) await this.#listen(stream);
      if (this.#isOver) return;
      let leastMs = POLL_MS;
      try {
        leastMs = (await this.#poll()) || POLL_MS;
        streams = this.#hasHeard;
        failures = 0;
      } catch (error) {
        const failure = error as StreamFailure;
        if (this.#isFinal(failure)) return this.#fail(failure);
        leastMs = failure.retryAfterMs;
        streams = true;
        failures += 1;
      }
      if (this.#leftMs <= 0 && ++latePolls >= LATE_POLLS) {
        this.#fail(new StreamFailure(`no end of the task is known after its deadline, ${this.#deadline}`, { code: "deadline", fatal: true }));
      }
      await sleep(backoffMs(Math.max(0, failures - 1), leastMs, backoff), this.#over.signal);
    }
  }

  /** Run the stream until it gives up, or is over. */
  async #listen(stream: EventStream): Promise<void> {
    this.#hasHeard = false;
    await new Promise<void>((resolve) => {
      const stop = stream.onState(({ phase }) => {
        if (phase !== "closed") return;
        stop();
        resolve();
      });
      void stream.connect();
    });
  }

  /** Ask for the status; return the interval that the server suggests (ms). */
  async #poll(): Promise<number> {
    const { fields, waitMs } = await ask(this.#url("status"), this.#options);
    this.#take(fields);
    return waitMs;
  }

  /**
   * True if the server itself says that there is no such task for this caller. Without a problem's code it may be a proxy who
   * says so, which counts only as long as no deadline is known.
   */
  #isFinal({ status, code }: StreamFailure): boolean {
    return [401, 403, 404, 410].includes(status ?? 0) && (code !== "" || this.#deadline === undefined);
  }

  /** Take an answer, or a message of the stream. */
  #take(news: Readonly<Record<string, unknown>>, type = ""): void {
    if (this.#isOver) return;
    const time = Date.parse(String(news["timestamp"] ?? news["updated_at"]));
    if (time) this.#skewMs = Math.min(this.#skewMs ?? Infinity, Date.now() - time);
    if ("status" in news || type === "error") {
      const version = Number(news["version"]) || 0;
      const isOld = version > 0 && version < this.#version; // a poll was ahead of the stream
      const text = this.#textAfter(news, version);
      this.#version = Math.max(this.#version, version);
      const snapshot = nextSnapshot(this.id, this.#snapshot, isOld ? { text } : { ...news, text }, type);
      this.#snapshot = snapshot;
      callAll(this.#listeners, snapshot);
      // After the snapshot of an ended task its last message follows, which has the result.
      if (isEnded(snapshot.status) && !(type && news["snapshot"])) {
        this.#end.resolve(snapshot);
        this.#finish();
      }
      this.#wakeLoops();
    }
    this.#watchDeadline();
  }

  #textAfter({ text, text_delta: delta }: Readonly<Record<string, unknown>>, version: number): string {
    const before = this.#snapshot?.text ?? "";
    const isNew = version === 0 || version > this.#textVersion;
    if (typeof text !== "string" && (typeof delta !== "string" || !isNew)) return before;
    this.#textVersion = Math.max(this.#textVersion, version);
    return typeof text === "string" ? text : before + String(delta);
  }

  // --- the end ------------------------------------------------------------------------------------

  #fail(failure: StreamFailure): void {
    this.#end.reject(failure);
    this.#finish();
  }

  #finish(): void {
    clearTimeout(this.#deadlineTimer);
    this.#over.abort();
    this.#wakeLoops();
  }

  #wakeLoops(): void {
    for (const wake of this.#loops.splice(0)) wake();
  }

  get #deadline(): string | undefined {
    return this.#snapshot?.deadline ?? this.#options.deadline;
  }

  /** Time that the task has left (ms), by the server's clock as far as it is known: never too short. */
  get #leftMs(): number {
    const deadlineMs = Date.parse(String(this.#deadline)) + (this.#skewMs ?? 0);
    return Number.isNaN(deadlineMs) ? Infinity : deadlineMs + LATE_MS - Date.now();
  }

  /** End the stream after the deadline. */
  #watchDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const leftMs = this.#leftMs;
    if (this.#isOver || leftMs === Infinity) return;
    if (leftMs <= 0) this.#stream?.disconnect();
    else this.#deadlineTimer = setTimeout(() => this.#watchDeadline(), Math.min(leftMs, TIMER_MS_MAX));
  }

  async #fetchResult(): Promise<unknown> {
    for (let failures = 0; ; failures += 1) {
      try {
        return (await ask(this.#url("result"), this.#options)).value;
      } catch (error) {
        const { fatal, retryAfterMs: leastMs } = error as StreamFailure;
        if (fatal || failures + 1 >= RESULT_ATTEMPTS) throw error;
        await sleep(backoffMs(failures, leastMs, this.#options.backoff));
      }
    }
  }
}
