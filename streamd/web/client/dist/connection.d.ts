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
export declare class Connection {
    #private;
    readonly transport: Transport;
    /** Rejects when the client ends the connection, whatever the transport does then. */
    readonly stopped: Promise<never>;
    /** Set when the client has ended the connection on purpose. */
    reason: StopReason | null;
    heardBlock: boolean;
    constructor(transport: Transport, times: ConnectTimes);
    get signal(): AbortSignal;
    opened(): void;
    hear(): void;
    /** End the connection on purpose. */
    stop(reason: StopReason): void;
    /** Give the connection up. */
    fail(message: string): void;
    /** Time since the last byte (ms). */
    get silentMs(): number;
    /** True if the head of the response, or the first block, is late. */
    get isOverdue(): boolean;
    /** The course of the connection, once it has ended. */
    outcome(failure: StreamFailure | null): ConnectionOutcome;
}
