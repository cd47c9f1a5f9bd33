/** Events by long polling, for networks that let no stream through (RFC 6202). */

import { StreamFailure, readFailure } from "../failure.js";
import { request } from "../sse.js";
import type { ConnectionRequest, ConnectionSink, Transport } from "../transport.js";
import { elementsOf, membersOf, readMessage } from "./messages.js";

/** How long the server may wait for an event: many proxies time out after 30 s. */
const WAIT_SECONDS = 25;
/** After an early answer without events, to avoid a busy loop. */
const PAUSE_MS = 500;

/** Events by long polling, from the URL of `/events` with `/poll`. */
export const poll: Transport = { name: "poll", connect };

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  let { cursor, resumeSecret } = connection;
  // The first poll does not wait: its answer has the head, and nothing after it may be missed.
  let waitSeconds = 0;
  while (!connection.signal.aborted) {
    const started = Date.now();
    const text = await pollOnce({ ...connection, cursor, resumeSecret }, waitSeconds);
    if (text === null) return true;
    const answer = membersOf(text);
    if (!answer.has("next")) throw new StreamFailure("the server answered something else than events", { fatal: true });
    const events = elementsOf(answer.get("events") ?? "[]");
    const gap = answer.get("gap") ?? "null";
    const next = stringIn(answer, "next");
    const hasMoved = next !== cursor;
    resumeSecret = stringIn(answer, "resume_secret") || resumeSecret;
    cursor = next || cursor;
    if (waitSeconds === 0) {
      sink.opened(200);
      // With events in the answer, `next` is behind them and not the head at the start.
      const head = events.length === 0 ? { head: next } : {};
      // Each answer is a sign of life.
      const secret = resumeSecret ? { resume_secret: resumeSecret } : {};
      sink.take(control("connected", JSON.stringify({ ...head, heartbeat_seconds: WAIT_SECONDS, ...secret })));
    }
    sink.heard();
    if (gap !== "null") sink.take(control("gap", gap));
    for (const event of events) sink.take(readMessage(event).block);
    // It may be ahead of the last event; at or behind it, the stream drops it.
    if (hasMoved) sink.take({ ...control("message", null), id: cursor });
    for (const message of elementsOf(answer.get("control") ?? "[]")) {
      const { control: name, block } = readMessage(message);
      sink.take(block);
      if (name === "closing") return false;
    }
    await sink.ready();
    if (!hasMoved && Date.now() - started < Math.min(PAUSE_MS, 1000 * waitSeconds)) await sleep(PAUSE_MS);
    waitSeconds = WAIT_SECONDS;
  }
  return false;
}

/** Poll once; return the text of the answer, or null if the stream is over for good (204). Throws a StreamFailure. */
export async function pollOnce(connection: ConnectionRequest, waitSeconds = 0): Promise<string | null> {
  const url = new URL(connection.url);
  url.pathname = url.pathname.replace(/\/?$/, "/poll");
  url.searchParams.set("wait", String(waitSeconds));
  if (connection.cursor) url.searchParams.set("after", connection.cursor);
  const headers = new Headers(connection.headers);
  if (connection.resumeSecret) headers.set("Resume-Secret", connection.resumeSecret);
  const response = await request(url, { ...connection, headers });
  if (response.status === 204) return null;
  if (response.status !== 200) throw await readFailure(response);
  return await response.text().catch(() => {
    throw new StreamFailure("the connection was lost");
  });
}

function control(type: string, data: string | null) {
  return { id: null, type, data, encoding: "", topics: [], retry: null };
}

function stringIn(members: ReadonlyMap<string, string>, name: string): string {
  const value: unknown = JSON.parse(members.get(name) ?? '""');
  return typeof value === "string" ? value : "";
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
