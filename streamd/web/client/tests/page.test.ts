// @vitest-environment happy-dom
import { expect, test } from "vitest";

import { createStream } from "../src/index.js";

/** A server that accepts every request, and never sends a byte. */
function silentServer() {
  const requests: Request[] = [];
  const fetch = (url: string | URL | Request, init?: RequestInit) => {
    requests.push(new Request(url, { signal: init?.signal ?? null }));
    const body = new ReadableStream<Uint8Array>({});
    return Promise.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
  };
  return { fetch, requests };
}

test("a page that was frozen makes a new connection, because its old one may be dead", async () => {
  const { fetch, requests } = silentServer();
  const stream = createStream("http://localhost/events", { fetch });
  await stream.connect();
  document.dispatchEvent(new Event("resume"));
  await expect.poll(() => requests.length).toBe(2);
  await expect.poll(() => stream.isConnected).toBe(true);
  stream.disconnect();
  document.dispatchEvent(new Event("resume"));
  await stream.connect();
  expect(requests.length).toBe(3);
  stream.disconnect();
});
