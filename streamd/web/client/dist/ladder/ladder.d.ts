/**
 * The ladder of transports: the best one that works here.
 *
 * | course of an attempt                                              | what follows                              |
 * | ----------------------------------------------------------------- | ----------------------------------------- |
 * | refused, and not by a problem of streamd (its problems have codes) | the next transport, at once               |
 * | no first block in time                                            | the next one, at once; see below          |
 * | broke within 10 s of its opening, 3 times in succession           | the next one, at once                     |
 * | the server cannot be reached, is busy, or rejects the request     | the same one: others would not do better  |
 * | an orderly end, or an end after more than 10 s                    | the same one                              |
 *
 * A transport that has worked before is given up only after 3 attempts in succession without a first block: a server that
 * is slow after a restart must not move everybody down. An attempt during which the computer may have slept counts alike.
 * Below the last transport follows the first one, after a backoff, or the end of the stream if each was refused.
 *
 * A transport that worked is remembered for the next page. Better ones are tried again after 10 minutes, then 20 and so on:
 * while polling at the end of a poll, else with the next connection. After a round in which no transport worked, the fault
 * may have been the server's, so better ones are tried again after 30 s.
 */
import type { Transport, TransportChooser } from "../transport.js";
export interface LadderOptions {
    /** The transports, the best first; `[sse, websocket, poll]` by default. */
    readonly transports?: readonly Transport[];
    /** Maximum wait from the start of an attempt to its first block (ms); 5,000 by default. */
    readonly firstBlockMs?: number;
    /** The first wait before better transports are tried again (ms); 600,000 by default. It doubles up to 8 times that. */
    readonly retryBetterMs?: number;
    /** Remembers over pages which transport works, by origin; `sessionStorage` by default, null for none. */
    readonly storage?: Pick<Storage, "getItem" | "setItem"> | null;
}
/** Choose the best transport that works. Each stream needs a ladder of its own; it must be a stream of GET requests. */
export declare function ladder(options?: LadderOptions): TransportChooser;
