/** The waits between attempts to connect. */
export interface Backoff {
    /** Upper bound of the first wait (ms); 1,000 by default. It doubles with each failure. */
    readonly baseMs?: number;
    /** Largest upper bound (ms); 30,000 by default. */
    readonly maxMs?: number;
    /** Lower bound of each wait (ms); 0 by default. With a `baseMs` of 0, each wait has exactly this length. */
    readonly minMs?: number;
}
/** Largest delay of a timer in browsers (ms); a larger one would fire at once. */
export declare const TIMER_MS_MAX: number;
/**
 * Return a wait (ms) with full jitter: evenly distributed between 0 and min(max, base * 2^failures), so that clients which
 * lost a server together do not return together.
 *
 * @param failures how many attempts have failed since the last success.
 * @param leastMs what the server asked for, by `retry:` or Retry-After; it is added, and never shortened.
 * @param random returns numbers from 0 to 1.
 */
export declare function backoffMs(failures: number, leastMs: number, backoff?: Backoff, random?: () => number): number;
/**
 * Read the field Retry-After (RFC 9110 section 10.2.3), seconds or a date; return a wait (ms), 0 without one.
 *
 * @param now the present time (ms since 1970).
 */
export declare function retryAfterMs(value: string | null, now?: number): number;
