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
export const TIMER_MS_MAX = 2 ** 31 - 1;

const DOUBLINGS_MAX = 30; // 2 ** 1024 is Infinity, and 0 * Infinity no number

/**
 * Return a wait (ms) with full jitter: evenly distributed between 0 and min(max, base * 2^failures), so that clients which
 * lost a server together do not return together.
 *
 * @param failures how many attempts have failed since the last success.
 * @param leastMs what the server asked for, by `retry:` or Retry-After; it is added, and never shortened.
 * @param random returns numbers from 0 to 1.
 */
export function backoffMs(failures: number, leastMs: number, backoff: Backoff = {}, random = Math.random): number {
  const ceilingMs = Math.min(backoff.maxMs ?? 30_000, (backoff.baseMs ?? 1000) * 2 ** Math.min(failures, DOUBLINGS_MAX));
  return Math.min(Math.max(leastMs, backoff.minMs ?? 0) + random() * ceilingMs, TIMER_MS_MAX);
}

/**
 * Read the field Retry-After (RFC 9110 section 10.2.3), seconds or a date; return a wait (ms), 0 without one.
 *
 * @param now the present time (ms since 1970).
 */
export function retryAfterMs(value: string | null, now = Date.now()): number {
  const seconds = Number(value); // 0 without a value
  const waitMs = seconds >= 0 ? seconds * 1000 : Date.parse(String(value)) - now;
  return Math.max(0, waitMs || 0);
}
