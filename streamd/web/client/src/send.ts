/** Publishing by POST, where no WebSocket is open. */

import { parseFields } from "./event.js";
import { readFailure } from "./failure.js";
import type { HeadersSource, OutgoingEvent, StreamSettings } from "./options.js";
import { request } from "./sse.js";

/** Ask the application for the headers of one request. */
export async function readHeaders(source: HeadersSource | undefined): Promise<Headers> {
  return new Headers(typeof source === "function" ? await source() : source);
}

/** Make a request of its own, a POST if it has a body. Rejects with a StreamFailure, also without an answer in `connectMs`. */
export async function sendRequest(url: URL, settings: StreamSettings, body?: object): Promise<Response> {
  const headers = await readHeaders(settings.headers);
  if (body) headers.set("Content-Type", "application/json");
  const fields = { method: body ? "POST" : "GET", body: body ? JSON.stringify(body) : null };
  return await request(url, { ...settings, headers, signal: AbortSignal.timeout(settings.connectMs), ...fields });
}

/** Post an event, and return the server's answer. Rejects with a StreamFailure. */
export async function post(url: URL, settings: StreamSettings, event: OutgoingEvent): Promise<Record<string, unknown>> {
  const response = await sendRequest(url, settings, event);
  const answer = parseFields(await response.text().catch(() => ""));
  if (!answer["id"]) throw await readFailure(response);
  return answer;
}
