/** A stream as an external store of React. */
import type { StreamEvent } from "../event.js";
import type { StreamFailure } from "../failure.js";
import type { Phase, StreamOptions } from "../options.js";
/** The options of a stream that the hooks pass on: unmounting is their signal. */
export type HookStreamOptions = Omit<StreamOptions, "signal">;
/** What a hook knows about its stream, and has received from it. */
export interface HookState<V, E = StreamFailure> {
    readonly value: V;
    readonly phase: Phase;
    /** Why there is no connection, or the error of the task; null otherwise. */
    readonly error: E | null;
}
export interface StoreOptions<V, E> extends HookStreamOptions {
    /** Return the value after an event, the same one if the event changes nothing. */
    take: (value: V, event: StreamEvent) => V;
    /** Called after each change. */
    onChange?: (state: HookState<V, E>, before: HookState<V, E>, store: StreamStore<V, E>) => void;
}
/**
 * The state of a hook, and the stream that changes it.
 *
 * The stream is made at the first subscription, so that rendering opens nothing. It is closed a moment after the last
 * subscription has ended: StrictMode subscribes, unsubscribes and subscribes again at once, and must keep its connection.
 */
export declare class StreamStore<V, E> {
    #private;
    /** Those of the last render. */
    options: StoreOptions<V, E>;
    /** @param url of the stream; null: there is none. */
    constructor(url: string | URL | null, value: V);
    readonly subscribe: (subscriber: () => void) => (() => void);
    readonly getState: () => HookState<V, E>;
    set(change: Partial<HookState<V, E>>): void;
    /** Make a new connection now. Without a stream nothing happens. */
    readonly reconnect: () => Promise<void>;
    /** Close the stream, until `reconnect()`. */
    readonly disconnect: () => void;
}
/**
 * Use a stream: return its state, and the functions that control it. Another request is another stream.
 *
 * @param url of the stream; null: there is none.
 * @param value before the first event.
 */
export declare function useStream<V, E = StreamFailure>(url: string | URL | null, value: V, options: StoreOptions<V, E>): HookState<V, E> & Pick<StreamStore<V, E>, "reconnect" | "disconnect">;
/** Return the URL of a path of a server, by default of the page's. */
export declare function urlOf(baseUrl: (string | URL) | undefined, path: string): string;
