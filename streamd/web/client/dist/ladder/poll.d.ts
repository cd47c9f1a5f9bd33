/** Events by long polling, for networks that let no stream through (RFC 6202). */
import type { ConnectionRequest, Transport } from "../transport.js";
import { type Message } from "./messages.js";
/** Events by long polling, from the URL of `/events` with `/poll`. */
export declare const poll: Transport;
interface Answer {
    readonly events: readonly Message[];
    readonly control?: readonly Message[];
    readonly next: string;
    readonly gap: object | null;
    readonly resume_secret?: string;
}
/** Poll once; return the answer, or null if the stream is over for good (204). Throws a StreamFailure. */
export declare function pollOnce(connection: ConnectionRequest, waitSeconds?: number): Promise<Answer | null>;
export {};
