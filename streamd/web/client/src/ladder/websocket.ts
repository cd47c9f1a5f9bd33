/** Events over WebSocket (RFC 6455), for networks that buffer event streams. */

import { StreamFailure } from "../failure.js";
import { EventQueue } from "../queue.js";
import { request } from "../sse.js";
import type { ConnectionRequest, ConnectionSink, MessageSocket, Transport } from "../transport.js";
import { asBlock, readFields } from "./messages.js";
import { pollOnce } from "./poll.js";

/**
 * Messages that wait for the reader of the events. A page cannot stop reading a WebSocket: at this number it closes the
 * socket, and resumes after the last event that was read.
 */
const BACKLOG_MAX = 10_000;
/** Longest message to send (characters): a server takes 65,536 bytes by default, and a character has up to 3. */
const SENT_CHARS_MAX = 20_000;
const REFUSED = "no WebSocket can be opened";

/** Events over WebSocket, from the URL of `/events`. */
export const websocket: Transport = { name: "websocket", connect };

interface PendingAnswer {
  resolve(fields: Readonly<Record<string, unknown>>): void;
  reject(failure: StreamFailure): void;
}

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  // Browsers do not say why a socket does not open. The server's answer to a poll does; if that is friendly, the network
  // refuses WebSockets. Or the server has started in between: hence the second socket, and the second poll.
  for (let attempt = 0; attempt < 2; attempt++) {
    if (await converse(connection, sink)) return false;
    if ((await pollOnce(connection)) === null) return true;
  }
  throw new StreamFailure(REFUSED, { fatal: true });
}

/** Open a socket, and pass on what arrives until the server ends it. Returns false if it did not open. */
async function converse(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  const { headers, signal } = connection;
  // Browsers cannot send headers with a WebSocket. A ticket stands in a URL, so a server lets it publish nothing.
  const hasTicket = headers.has("Authorization");
  const socket = open(connection, hasTicket ? await fetchTicket(connection) : "");
  const backlog = new EventQueue<MessageEvent<string>>(() => {});
  const pending: PendingAnswer[] = []; // of requests; the server answers them in their order
  const closed = () => new StreamFailure("the server closed the connection");
  let hasOpened = false;
  const request: MessageSocket["request"] = (message) => {
    const text = JSON.stringify(message);
    if (text.length > SENT_CHARS_MAX || socket.readyState !== WebSocket.OPEN) return null;
    socket.send(text);
    return new Promise((resolve, reject) => pending.push({ resolve, reject }));
  };
  signal.addEventListener("abort", () => {
    socket.close();
    for (const { reject } of pending) reject(closed()); // they may have been done or not
  });
  socket.onopen = () => {
    hasOpened = true;
    sink.opened(101, hasTicket ? undefined : { request });
  };
  socket.onmessage = (event) => {
    sink.heard();
    if (backlog.push(event) > BACKLOG_MAX) socket.close();
  };
  socket.onclose = () => backlog.end(null);
  for await (const { data } of backlog) {
    const fields = readFields(data);
    const { control, detail, code } = fields;
    if (control === "published") pending.shift()?.resolve(fields);
    else if (control === "error") pending.shift()?.reject(new StreamFailure(`${detail}`, { code: `${code}`, fatal: true }));
    else sink.take(asBlock(fields));
    if (control === "closing") return true;
    await sink.ready();
  }
  if (hasOpened) throw closed();
  return false;
}

function open({ url, cursor, resumeSecret, signal }: ConnectionRequest, ticket: string): WebSocket {
  signal.throwIfAborted(); // while the ticket was asked for
  const target = new URL(url);
  target.protocol = url.protocol.replace("http", "ws");
  const query = { last_event_id: cursor, resume_secret: resumeSecret, ticket };
  for (const [name, value] of Object.entries(query)) if (value) target.searchParams.set(name, value);
  try {
    return new WebSocket(target);
  } catch {
    throw new StreamFailure(REFUSED, { fatal: true });
  }
}

/** Exchange the token for a ticket, which opens one stream and may stand in a URL. */
async function fetchTicket(connection: ConnectionRequest): Promise<string> {
  const url = new URL("auth/ticket", connection.url); // a sibling of /events, also below a prefix
  const response = await request(url, { ...connection, method: "POST" });
  return ((await response.json()) as { ticket: string }).ticket;
}
