/** Server-Sent Events over fetch, which unlike EventSource can send headers and see the status of a rejection. */

import { StreamFailure, readFailure } from "./failure.js";
import { EventStreamParser } from "./parser.js";
import type { ConnectionRequest, ConnectionSink, Transport } from "./transport.js";

export const sse: Transport = { name: "sse", connect };

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  const headers = new Headers(connection.headers);
  headers.set("Accept", "text/event-stream");
  if (connection.cursor) headers.set("Last-Event-ID", connection.cursor);
  if (connection.resumeSecret) headers.set("Resume-Secret", connection.resumeSecret);
  const response = await request(connection.url, { ...connection, headers });
  if (response.status === 204) return true;
  if (response.status !== 200) throw await readFailure(response);
  const contentType = response.headers.get("Content-Type") ?? "";
  if (!/^text\/event-stream\s*(;|$)/i.test(contentType) || response.body === null) {
    void response.body?.cancel();
    throw new StreamFailure(`the server answered "${contentType}" and not an event stream`, { status: 200, fatal: true });
  }
  sink.opened(response.status);
  await read(response.body, sink);
  return false;
}

export interface RequestFields extends Pick<ConnectionRequest, "headers" | "method" | "body" | "credentials" | "fetch"> {
  readonly signal?: AbortSignal;
}

/** Make a request; its failures are StreamFailures. */
export async function request(url: URL, fields: RequestFields): Promise<Response> {
  const { fetch, headers, method, body, credentials, signal = null } = fields;
  try {
    return await fetch(url, { method, body, headers, credentials, signal, cache: "no-store" });
  } catch {
    throw new StreamFailure("the server cannot be reached");
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
  } catch (error) {
    throw new StreamFailure(error instanceof RangeError ? error.message : "the connection was lost");
  } finally {
    reader.cancel().catch(() => {}); // after an error the stream is closed already
  }
}
