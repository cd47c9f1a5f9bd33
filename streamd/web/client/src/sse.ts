/** Server-Sent Events over fetch, which unlike EventSource can send headers and see the status of a rejection. */

import { asFailure, readFailure } from "./failure.js";
import { EventStreamParser } from "./parser.js";
import type { ConnectionRequest, ConnectionSink, Transport } from "./transport.js";

export const sse: Transport = { name: "sse", connect };

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  const { headers } = connection;
  headers.set("Accept", "text/event-stream");
  if (connection.cursor) headers.set("Last-Event-ID", asHeaderValue(connection.cursor));
  if (connection.resumeSecret) headers.set("Resume-Secret", connection.resumeSecret);
  const response = await request(connection.url, connection);
  if (response.status === 204) return true;
  if (!/^text\/event-stream\b/i.test(response.headers.get("Content-Type") ?? "")) throw await readFailure(response);
  sink.opened(response.status);
  await read(response.body!, sink);
  return false;
}

/** Write a text in UTF-8 as a header's value, each character of which stands for one byte. */
function asHeaderValue(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

export interface RequestFields extends Pick<ConnectionRequest, "headers" | "method" | "body" | "credentials" | "fetch"> {
  readonly signal?: AbortSignal;
}

/** Make a request; return a friendly response. Rejects with a StreamFailure, also for a status that is an error. */
export async function request(url: URL, fields: RequestFields): Promise<Response> {
  const { fetch = globalThis.fetch, ...init } = fields; // that of now: a page may replace it
  try {
    const response = await fetch(url, { ...init, cache: "no-store" });
    if (response.ok) return response;
    throw await readFailure(response);
  } catch (cause) {
    throw asFailure(cause);
  }
}

async function read(body: ReadableStream<Uint8Array>, sink: ConnectionSink): Promise<void> {
  const parser = new EventStreamParser();
  const decoder = new TextDecoder(); // drops a byte order mark at the start, and replaces invalid bytes
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      sink.heard();
      for (const block of parser.receive(decoder.decode(value, { stream: true }))) sink.take(block);
      await sink.ready();
    }
  } finally {
    reader.cancel().catch(() => {}); // after an error the stream is closed already
  }
}
