/** Failures of a connection: of the network, or of a server that rejects the request. */
export interface FailureFields {
    /** HTTP status of the response; null without one. */
    readonly status?: number | null;
    /** The problem's code (RFC 9457, `code`), such as `unauthorized`; empty without one. */
    readonly code?: string;
    /** True if another attempt would fail too. */
    readonly fatal?: boolean;
    /** The wait that the server asks for (ms). */
    readonly retryAfterMs?: number;
}
/** The reason why a stream has no connection. The message is a sentence for people. */
export declare class StreamFailure extends Error {
    readonly name = "StreamFailure";
    readonly status: number | null;
    readonly code: string;
    readonly fatal: boolean;
    readonly retryAfterMs: number;
    constructor(message: string, fields?: FailureFields);
}
/** Return the failure that an error means for a connection. */
export declare function asFailure(cause: unknown): StreamFailure;
/** Return true for a status after which another attempt would fail too: all below 500 other than 408, 425 and 429. */
export declare function isFatalStatus(status: number): boolean;
/** Read the problem (RFC 9457) in a response that is not what was asked for. */
export declare function readFailure(response: Response): Promise<StreamFailure>;
