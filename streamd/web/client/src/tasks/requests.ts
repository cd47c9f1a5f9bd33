/** Requests for JSON. */

import { retryAfterMs } from "../backoff.js";
import { asFailure, readFailure } from "../failure.js";
import { DEFAULTS, type StreamOptions } from "../options.js";
import { readHeaders } from "../send.js";
import { request } from "../sse.js";
import type { TaskNews } from "./snapshot.js";

export interface Answer {
  readonly value: TaskNews;
  /** The wait that the server suggests (ms); 0 without one. */
  readonly waitMs: number;
}

/** Make a request, a POST if it has a body. Rejects with a StreamFailure, also if there is no answer within `connectMs`. */
export async function ask(
  url: URL,
  options: Pick<StreamOptions, "headers" | "credentials" | "connectMs" | "fetch">,
  body: string | null = null,
): Promise<Answer> {
  const settings = { ...DEFAULTS, ...options, body };
  try {
    const headers = await readHeaders(options.headers);
    if (body) headers.set("Content-Type", "application/json");
    const signal = AbortSignal.timeout(settings.connectMs);
    const response = await request(url, { ...settings, headers, signal, method: body ? "POST" : "GET" });
    if (!response.ok) throw await readFailure(response);
    return { value: (await response.json()) as TaskNews, waitMs: retryAfterMs(response.headers.get("Retry-After")) };
  } catch (error) {
    throw asFailure(error);
  }
}
