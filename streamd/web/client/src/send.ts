/** Publishing by POST, where no WebSocket is open. */

import { parseFields } from "./event.js";
import { readFailure } from "./failure.js";
import type { HeadersSource, OutgoingEvent, StreamSettings } from "./options.js";
import { request } from "./sse.js";

/** Ask the application for the headers of one request. */
export async function readHeaders(source: HeadersSource | undefined): Promise<Headers> {
  return new Headers(typeof source === "function" ? await source() : source);
}

/** Post an event, and return the server's answer. Rejects with a StreamFailure, also for an answer that is late. */
export async function post(url: URL, settings: StreamSettings, event: OutgoingEvent): Promise<Record<string, unknown>> {
  const headers = await readHeaders(settings.headers);
  headers.set("Content-Type", "application/json");
  const signal = AbortSignal.timeout(settings.connectMs);
  const response = await request(url, { ...settings, headers, signal, method: "POST", body: JSON.stringify(event) });
  const answer = response.ok ? parseFields(await response.text().catch(() => "")) : {};
  if (!answer["id"]) throw await readFailure(response);
  return answer;
}
