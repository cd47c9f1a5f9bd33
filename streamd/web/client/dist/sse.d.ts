/** Server-Sent Events over fetch, which unlike EventSource can send headers and see the status of a rejection. */
import type { ConnectionRequest, Transport } from "./transport.js";
export declare const sse: Transport;
export interface RequestFields extends Pick<ConnectionRequest, "headers" | "method" | "body" | "credentials" | "fetch"> {
    readonly signal?: AbortSignal;
}
/** Make a request; return a friendly response. Rejects with a StreamFailure, also for a status that is an error. */
export declare function request(url: URL, fields: RequestFields): Promise<Response>;
