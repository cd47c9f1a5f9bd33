/** Requests to one server, with retries. */
import type { CallOptions, PublisherOptions } from "./options.js";
export interface ApiRequest {
    readonly method: "GET" | "POST" | "PATCH";
    /** Relative to the server's address, without a slash in front. */
    readonly path: string;
    /** The JSON of the body. */
    readonly body?: string;
    readonly idempotencyKey?: string;
}
/** Makes one request of an attempt, and returns the JSON object that the server answers. */
export type Send = (request: ApiRequest) => Promise<Record<string, unknown>>;
/** The server, and how to ask it. */
export declare class Endpoint {
    #private;
    constructor(options: PublisherOptions);
    /** Make one request, and repeat it until it succeeds; see {@link retry}. */
    call(request: ApiRequest, options: CallOptions): Promise<Record<string, unknown>>;
    /**
     * Repeat an attempt until it succeeds, fails for good, or the retries or the time are used up.
     *
     * Repeated are attempts without an answer, and those answered 408, 425, 429 or 5xx; one answered 401 is repeated once, if
     * a function can give another token. Rejects with the StreamFailure of the last attempt.
     */
    retry<T>(attempt: (send: Send) => Promise<T>, { signal }: CallOptions): Promise<T>;
}
