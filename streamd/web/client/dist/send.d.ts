/** Publishing by POST, where no WebSocket is open. */
import type { HeadersSource, OutgoingEvent, StreamSettings } from "./options.js";
/** Ask the application for the headers of one request. */
export declare function readHeaders(source: HeadersSource | undefined): Promise<Headers>;
/** Make a request of its own, a POST if it has a body. Rejects with a StreamFailure, also without an answer in `connectMs`. */
export declare function sendRequest(url: URL, settings: StreamSettings, body?: object): Promise<Response>;
/** Post an event, and return the server's answer. Rejects with a StreamFailure. */
export declare function post(url: URL, settings: StreamSettings, event: OutgoingEvent): Promise<Record<string, unknown>>;
