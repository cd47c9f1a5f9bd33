/** Events by long polling, for networks that let no stream through (RFC 6202). */
import type { ConnectionRequest, Transport } from "../transport.js";
/** Events by long polling, from the URL of `/events` with `/poll`. */
export declare const poll: Transport;
/** Poll once; return the text of the answer, or null if the stream is over for good (204). Throws a StreamFailure. */
export declare function pollOnce(connection: ConnectionRequest, waitSeconds?: number): Promise<string | null>;
