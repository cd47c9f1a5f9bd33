/** The hook for any event stream. */
import { type StreamEvent } from "../event.js";
import type { StreamFailure } from "../failure.js";
import { type HookStreamOptions } from "./store.js";
export interface SSEOptions<T = unknown> extends HookStreamOptions {
    /** Type of the events to take; by default all but the server's control frames. */
    event?: string;
    /** False: no connection. */
    enabled?: boolean;
    /** Read the data of an event; by default as JSON if it is JSON, as bytes if it was published as bytes, else as text. */
    parse?: (event: StreamEvent) => T;
}
export interface SSEResult<T> {
    /** The data of the last event; null before the first. A render may pass over events: `onEvent` is called with each. */
    readonly data: T | null;
    /** Why there is no connection; null while there is one. */
    readonly error: StreamFailure | null;
    readonly isConnected: boolean;
    /** Make a new connection now. Resolves when it is open. */
    readonly reconnect: () => Promise<void>;
}
/**
 * Use the last event of a stream.
 *
 * @param url of the stream, relative to the page; null or undefined: no connection.
 */
export declare function useSSE<T = unknown>(url: string | URL | null | undefined, options?: SSEOptions<T>): SSEResult<T>;
