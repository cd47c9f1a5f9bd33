/** The options of a publisher, and what it publishes. */
import type { Backoff } from "../backoff.js";
import type { HeadersSource } from "../options.js";
export type TokenSource = string | (() => string | Promise<string>);
export interface PublisherOptions {
    /** The server's address, such as `http://127.0.0.1:8080`, with the prefix under which a proxy serves it. */
    url: string | URL;
    /** Sent as a bearer token; a function is asked at every attempt, for tokens that expire. */
    token?: TokenSource | undefined;
    /** Headers of each request; a function is asked at every attempt. */
    headers?: HeadersSource | undefined;
    /** Maximum number of retries of a call; 10 by default. */
    retries?: number;
    /** The waits before retries, with full jitter: by default below 250 ms, 500 ms, 1 s … 30 s. */
    backoff?: Backoff;
    /** Timeout of a call, over all its attempts and waits (ms); 60,000 by default. */
    timeoutMs?: number;
    /** Timeout of one attempt (ms); 15,000 by default. */
    attemptMs?: number;
    /** In place of the global fetch. */
    fetch?: typeof fetch;
}
/** The options that every call has. */
export interface CallOptions {
    /** Ends the call: it rejects with the code `aborted`. The server may have done what was asked, or not. */
    readonly signal?: AbortSignal;
}
/** The properties of an event beside its topics and its data. */
export interface EventProperties {
    /** The SSE event type; `message` by default. */
    readonly type?: string;
    /** The same key with the same content publishes once. By default each call makes one for all its attempts. */
    readonly idempotencyKey?: string;
    /** True: callers without a token may not read it. */
    readonly private?: boolean;
    /** The reconnection time of its readers (ms), the field `retry:`. */
    readonly retry?: number;
}
/** One event of several. */
export interface EventToPublish extends EventProperties {
    /** One topic or several, the canonical one first. */
    readonly topics: string | readonly string[];
    /** Text, bytes, or any JSON value; an empty text by default. */
    readonly data?: unknown;
}
