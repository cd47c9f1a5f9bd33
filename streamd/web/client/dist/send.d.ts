/** Publishing by POST, where no WebSocket is open. */
import type { HeadersSource, OutgoingEvent, StreamSettings } from "./options.js";
/** Ask the application for the headers of one request. */
export declare function readHeaders(source: HeadersSource | undefined): Promise<Headers>;
/** Post an event, and return the server's answer. Rejects with a StreamFailure, also for an answer that is late. */
export declare function post(url: URL, settings: StreamSettings, event: OutgoingEvent): Promise<Record<string, unknown>>;
