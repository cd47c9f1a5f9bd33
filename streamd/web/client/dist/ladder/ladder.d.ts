/**
 * The ladder of transports: the best one that works here.
 *
 * | course of an attempt                                               | what follows                             |
 * | ------------------------------------------------------------------ | ---------------------------------------- |
 * | refused, and not by a problem of streamd (its problems have codes) | the next transport, at once              |
 * | no first block in time                                             | the next one, at once; see below         |
 * | broke within 10 s of its opening, 3 times in succession            | the next one, at once                    |
 * | the server cannot be reached, is busy, or rejects the request      | the same one: others would not do better |
 * | an orderly end, or an end after more than 10 s                     | the same one                             |
 *
 * A transport that has worked before is given up only after 3 attempts in succession without a first block: a server that
 * is slow after a restart must not move everybody down. Below the last transport follows the first one, after a backoff, or
 * the end of the stream if each was refused.
 *
 * A transport that has worked is remembered in `sessionStorage` for the next page. A connection that ends 10 minutes or more
 * after the step down is followed by an attempt with the best transport; polling ends its connection for that.
 */
import type { Transport, TransportChooser } from "../transport.js";
export interface LadderOptions {
    /** The transports, the best first; `[sse, websocket, poll]` by default. */
    readonly transports?: readonly Transport[];
    /** Maximum wait from the start of an attempt to its first block (ms); 5,000 by default. */
    readonly firstBlockMs?: number;
}
/** Choose the best transport that works. Each stream needs a ladder of its own; it must be a stream of GET requests. */
export declare function ladder(options?: LadderOptions): TransportChooser;
