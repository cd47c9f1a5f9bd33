/** Events by long polling, for networks that let no stream through (RFC 6202). */

import { request } from "../sse.js";
import type { ConnectionRequest, ConnectionSink, Transport } from "../transport.js";
import { asBlock, readFields, type Message } from "./messages.js";

/** How long the server may wait for an event: many proxies time out after 30 s. */
const WAIT_SECONDS = 25;
/** After an answer that brings nothing, to avoid a busy loop where a proxy answers at once. */
const PAUSE_MS = 500;
/** Length of a connection, which may be any number of polls: at its end, a ladder can try a better transport. */
const POLLING_MS = 600_000;

/** Events by long polling, from the URL of `/events` with `/poll`. */
export const poll: Transport = { name: "poll", connect };

interface Answer {
  readonly events: readonly Message[];
  readonly control?: readonly Message[];
  readonly next: string;
  readonly gap: object | null;
  readonly resume_secret?: string;
}

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  let { cursor, resumeSecret } = connection;
  const endsAt = Date.now() + POLLING_MS;
  // The first poll does not wait: its answer has the head, and nothing after it may be missed.
  for (let waitSeconds = 0; ; waitSeconds = WAIT_SECONDS) {
    const answer = await pollOnce({ ...connection, cursor, resumeSecret }, waitSeconds);
    if (answer === null) return true;
    const { events, control = [], next, gap, resume_secret = resumeSecret } = answer;
    if (waitSeconds === 0) {
      sink.opened(200);
      // With events in the answer, `next` is behind them and not the head at the start. Each answer is a sign of life.
      const head = events.length ? "" : next;
      sink.take(asBlock({ control: "connected", head, heartbeat_seconds: WAIT_SECONDS, resume_secret }));
    }
    if (gap) sink.take(asBlock({ control: "gap", ...gap }));
    // `next` may be ahead of the last event; at or behind it, the stream drops it.
    for (const message of [...events, { control: "cursor", id: next }, ...control]) {
      sink.take(asBlock(message));
      if (message.control === "closing") return false;
    }
    if (Date.now() >= endsAt) return false;
    await sink.ready();
    if (waitSeconds > 0 && next === cursor) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    cursor = next;
    resumeSecret = resume_secret;
  }
}

/** Poll once; return the answer, or null if the stream is over for good (204). Throws a StreamFailure. */
export async function pollOnce(connection: ConnectionRequest, waitSeconds = 0): Promise<Answer | null> {
  const { headers, cursor, resumeSecret } = connection;
  const url = new URL(connection.url);
  url.pathname += "/poll";
  url.searchParams.set("wait", `${waitSeconds}`);
  if (cursor) url.searchParams.set("after", cursor);
  if (resumeSecret) headers.set("Resume-Secret", resumeSecret);
  const response = await request(url, connection);
  return response.status === 204 ? null : (readFields(await response.text()) as unknown as Answer);
}
