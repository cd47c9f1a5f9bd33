/** Events by long polling, for networks that let no stream through (RFC 6202). */

import { StreamFailure, readFailure } from "../failure.js";
import { request } from "../sse.js";
import type { ConnectionRequest, ConnectionSink, Transport } from "../transport.js";
import { cutElements, cutMember, readMessage, readObject } from "./messages.js";

/** How long the server may wait for an event: many proxies time out after 30 s. */
const WAIT_SECONDS = 25;
/** After an early answer without events, to avoid a busy loop. */
const PAUSE_MS = 500;

/** Events by long polling, from the URL of `/events` with `/poll`. */
export const poll: Transport = { name: "poll", connect };

/** The members of an answer; `events` and `control` are arrays of messages. */
interface Answer {
  readonly next?: string;
  readonly gap?: object | null;
  readonly resume_secret?: string;
}

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  let { cursor, resumeSecret } = connection;
  const control = (type: string, fields: object) => sink.take(readMessage(JSON.stringify({ control: type, ...fields })));
  // The first poll does not wait: its answer has the head, and nothing after it may be missed.
  for (let waitSeconds = 0; ; waitSeconds = WAIT_SECONDS) {
    const startedAt = Date.now();
    const text = await pollOnce({ ...connection, cursor, resumeSecret }, waitSeconds);
    if (text === null) return true;
    const { next = cursor, gap, resume_secret = resumeSecret }: Answer = readObject(text, "next");
    const events = cutElements(cutMember(text, "events"));
    const hasMoved = next !== cursor;
    cursor = next;
    resumeSecret = resume_secret;
    if (waitSeconds === 0) {
      sink.opened(200);
      // With events in the answer, `next` is behind them and not the head at the start. Each answer is a sign of life.
      control("connected", { head: events.length ? "" : next, heartbeat_seconds: WAIT_SECONDS, resume_secret });
    }
    if (gap) control("gap", gap);
    for (const event of events) sink.take(readMessage(event));
    // It may be ahead of the last event; at or behind it, the stream drops it.
    control("cursor", { id: next });
    for (const message of cutElements(cutMember(text, "control")).map(readMessage)) {
      sink.take(message);
      if (message.type === "closing") return false;
    }
    await sink.ready();
    if (!hasMoved && waitSeconds > 0 && Date.now() - startedAt < PAUSE_MS) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** Poll once; return the text of the answer, or null if the stream is over for good (204). Throws a StreamFailure. */
export async function pollOnce(connection: ConnectionRequest, waitSeconds = 0): Promise<string | null> {
  const url = new URL(connection.url);
  url.pathname = url.pathname.replace(/\/?$/, "/poll");
  url.searchParams.set("wait", `${waitSeconds}`);
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
