/** Requests for JSON, and waiting. */

import { retryAfterMs } from "../backoff.js";
import { asFailure, readFailure } from "../failure.js";
import { DEFAULTS, type StreamOptions } from "../options.js";
import { readHeaders } from "../send.js";
import { request } from "../sse.js";

export interface Answer {
  readonly value: unknown;
  /** The fields of the value; none if it is no object. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The wait that the server suggests (ms); 0 without one. */
  readonly waitMs: number;
}

/** Make a request, a POST if it has a body. Rejects with a StreamFailure, also if there is no answer within `connectMs`. */
export async function ask(
  url: URL,
  options: Pick<StreamOptions, "headers" | "credentials" | "connectMs" | "fetch">,
  body: string | null = null,
): Promise<Answer> {
  const { connectMs, credentials, fetch } = { ...DEFAULTS, ...options };
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), connectMs);
  try {
    const headers = await readHeaders(options.headers);
    headers.set("Accept", "application/json");
    if (body !== null) headers.set("Content-Type", "application/json");
    const method = body === null ? "GET" : "POST";
    const response = await request(url, { method, body, headers, credentials, fetch, signal: late.signal });
    if (!response.ok) throw await readFailure(response);
    const value: unknown = await response.json();
    return { value, fields: Object(value) as Answer["fields"], waitMs: retryAfterMs(response.headers.get("Retry-After")) };
  } catch (error) {
    throw asFailure(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Wait, at most until the signal is aborted. */
export async function sleep(waitMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((resolve) => {
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    const timer = setTimeout(stop, waitMs);
    signal?.addEventListener("abort", stop);
  });
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Make a promise that is settled from outside. Its rejection may be ignored. */
export function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, "promise">;
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
  promise.catch(() => {});
  return { promise, ...settle! };
}
