/** A stream as an external store of React. */
import { type RefObject } from "react";
import type { StreamEvent } from "../event.js";
import type { Phase, StreamOptions, StreamState } from "../options.js";
import { type EventStream } from "../stream.js";
/** The options of a stream that the hooks pass on: unmounting is their signal. */
export type HookStreamOptions = Omit<StreamOptions, "signal">;
export type ConnectionStatus = "disconnected" | "connecting" | "connected";
/** Return the status of a connection in a stream's phase; a stream that waits for its next attempt is connecting. */
export declare function statusOf(phase: Phase): ConnectionStatus;
/**
 * The state of a hook, and the stream that changes it.
 *
 * The stream is made at the first subscription, so that rendering opens nothing. It is closed a moment after the last
 * subscription has ended: StrictMode subscribes, unsubscribes and subscribes again at once, and must keep its connection.
 */
export declare class StreamStore<S> {
    #private;
    /** @param make makes the stream; null: there is none. */
    constructor(initial: S, make: ((store: StreamStore<S>) => EventStream) | null);
    readonly subscribe: (subscriber: () => void) => (() => void);
    readonly getSnapshot: () => S;
    readonly getServerSnapshot: () => S;
    set(change: Partial<S>): void;
    /** Make a new connection now. Without a stream nothing happens. */
    readonly reconnect: () => Promise<void>;
    /** Close the stream, until `reconnect()`. */
    readonly disconnect: () => void;
}
/**
 * Use the store of one stream.
 *
 * @param key of the stream, a new key makes a new one; null: there is no stream.
 * @param make makes the stream of a key.
 */
export declare function useStreamStore<S>(key: string | null, initial: S, make: (store: StreamStore<S>) => EventStream): [S, StreamStore<S>];
/** Keep the value of the last render, for callbacks that outlive theirs. */
export declare function useLatest<T>(value: T): RefObject<T>;
/** Return the key of a request. */
export declare function keyOf(url: string | URL, options: HookStreamOptions): string;
/** Make a stream whose headers and callbacks are those of the last render. */
export declare function makeStream(url: string | URL, latest: RefObject<HookStreamOptions>, fixed: Pick<StreamOptions, "snapshots" | "maxAttempts" | "backoff">, onEvent: (event: StreamEvent) => void, onState: (state: StreamState) => void): EventStream;
