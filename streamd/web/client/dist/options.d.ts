/** The options of a stream, and its state. */
import type { Backoff } from "./backoff.js";
import type { EventHandler } from "./emitter.js";
import type { StreamFailure } from "./failure.js";
import type { TransportChooser, TransportName } from "./transport.js";
export type HeadersSource = HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
export interface StreamOptions {
    /** Topics to add to the URL of `/events`; events then have their topics over every transport. */
    topics?: readonly string[];
    /** Patterns to add to the URL, such as `orders/*`. */
    patterns?: readonly string[];
    /** Headers of each request; a function is asked at every attempt, for tokens that expire. */
    headers?: HeadersSource;
    /** `GET` by default. A stream of another method, or with a body, is not requested again by itself. */
    method?: string;
    body?: BodyInit | null;
    /** `same-origin` by default, as with fetch. */
    credentials?: RequestCredentials;
    /** Resume after this event id; `earliest` replays all that the server keeps. By default, events from now on. */
    after?: string;
    /**
     * True for a stream that begins with the current state, such as a task's: it has no history before its first event. By
     * default false: from the first connection on no event is lost, even if none arrives before it breaks.
     */
    snapshots?: boolean;
    /** Ends the stream, as `disconnect()` does. */
    signal?: AbortSignal;
    backoff?: Backoff;
    /**
     * Give up after this number of connections in succession that were refused or lost, since an event has arrived; never by
     * default. 1: do not connect again.
     */
    maxAttempts?: number;
    /** Maximum wait for the head of a response (ms); 15,000 by default. */
    connectMs?: number;
    /**
     * Maximum silence on an open connection (ms). By default 2.5 heartbeats, if the server tells its interval, and otherwise
     * none. 0 for none.
     */
    silenceMs?: number;
    /** False: disconnect while the page is hidden, and resume when it is shown. */
    openWhenHidden?: boolean;
    /** Where `send` posts events; by default the stream's URL without its query. */
    publishUrl?: string | URL;
    /** Chooses the transport of each attempt, see `streamd-client/ladder`; by default Server-Sent Events. */
    transports?: TransportChooser;
    /** In place of the global fetch. */
    fetch?: typeof fetch;
    /** Called with each event, as by `on(handler)`. */
    onEvent?: EventHandler;
    /** Called after each change of the state, as by `onState(listener)`. */
    onState?: (state: StreamState) => void;
}
/** The options of a stream, with defaults for those that are used in several places. */
export type StreamSettings = StreamOptions & Required<Pick<StreamOptions, "method" | "body" | "connectMs" | "transports">>;
export declare const SSE_ONLY: TransportChooser;
/** Fill in the defaults, also where an option is given as undefined. */
export declare function withDefaults({ method, body, connectMs, transports, ...others }: StreamOptions): StreamSettings;
/** Return true if the same request may be sent again without being asked to (RFC 9110 section 9.2.2). */
export declare function isRepeatable({ method, body }: Pick<StreamSettings, "method" | "body">): boolean;
/**
 * `closed` (at first, and at the end), `connecting`, `open`, or `waiting` for the next attempt.
 */
export type Phase = "closed" | "connecting" | "open" | "waiting";
/** The state of a stream. Each change makes a new object. */
export interface StreamState {
    readonly phase: Phase;
    /** HTTP status of the last response since `connect()`; null without one. */
    readonly status: number | null;
    /** Number of the present attempt, from 1; 2 after a connection that brought an event was lost; 0 before the first. */
    readonly attempt: number;
    /** The transport of the present or last connection; null before the first. */
    readonly transport: TransportName | null;
    /** Why there is no connection; null while there is one, and after an orderly end. Events of type `error` are not here. */
    readonly failure: StreamFailure | null;
    /** When the next attempt follows (ms since 1970); null if none is planned. */
    readonly retryAt: number | null;
    /** The last event id at this change of the state; that of the present moment is `lastEventId` of the stream. */
    readonly lastEventId: string;
}
/** An event to publish, see `POST /events`. */
export interface OutgoingEvent {
    readonly topic?: string;
    readonly topics?: readonly string[];
    readonly data?: unknown;
    readonly type?: string;
    readonly idempotency_key?: string;
    readonly private?: boolean;
}
