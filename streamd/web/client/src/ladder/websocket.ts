/** Events over WebSocket (RFC 6455), for networks that buffer event streams. */

import { StreamFailure, readFailure } from "../failure.js";
import { request } from "../sse.js";
import type { ConnectionRequest, ConnectionSink, MessageSocket, Transport } from "../transport.js";
import { readMessage, type Message } from "./messages.js";
import { pollOnce } from "./poll.js";

/**
 * Messages that wait for the reader of the events. A page cannot stop reading a WebSocket: at this number it closes the
 * socket, and resumes after the last event that was read.
 */
const BACKLOG_MAX = 10_000;
/** Longest message to send (characters): a server takes 65,536 bytes by default, and a character has up to 3. */
const SENT_CHARS_MAX = 20_000;
/** The browser's own close code for a connection without a close frame (RFC 6455 section 7.4.1). */
const LOST = 1006;
/** Close codes that reject the connection itself: protocol error, unsupported data, invalid data, policy violation. */
const REFUSING: readonly number[] = [1002, 1003, 1007, 1008];

/** Events over WebSocket, from the URL of `/events`. */
export const websocket: Transport = { name: "websocket", connect };

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  // Browsers cannot send headers with a WebSocket. A ticket stands in a URL, so a server lets it publish nothing.
  const hasTicket = connection.headers.has("Authorization");
  const ticket = hasTicket ? await fetchTicket(connection) : "";
  connection.signal.throwIfAborted();
  const socket = open(connection, ticket);
  connection.signal.addEventListener("abort", () => socket.close());
  const answers = new Answers(socket);
  const backlog: string[] = [];
  let hasOpened = false;
  let isClosing = false; // the server has told why it ends the connection
  let closeCode = 0;
  let changed = () => {};
  socket.onopen = () => {
    hasOpened = true;
    sink.opened(101, hasTicket ? undefined : answers);
  };
  socket.onmessage = ({ data }) => {
    sink.heard();
    if (backlog.push(`${data}`) > BACKLOG_MAX) socket.close();
    changed();
  };
  socket.onclose = ({ code }) => {
    closeCode = code;
    changed();
  };
  try {
    while (backlog.length > 0 || closeCode === 0) {
      const text = backlog.shift();
      if (text === undefined) {
        await new Promise<void>((resolve) => (changed = resolve));
        continue;
      }
      const message = readMessage(text);
      isClosing ||= message.type === "closing";
      if (!answers.settle(message)) sink.take(message);
      await sink.ready();
    }
  } finally {
    socket.close();
    answers.abandon();
  }
  if (!hasOpened) return await explainRefusal(connection);
  if (!isClosing && (closeCode === LOST || REFUSING.includes(closeCode))) {
    throw new StreamFailure(`the WebSocket was closed (${closeCode})`, { fatal: closeCode !== LOST });
  }
  return false;
}

function open({ url, cursor, resumeSecret }: ConnectionRequest, ticket: string): WebSocket {
  const target = new URL(url);
  target.protocol = url.protocol.replace("http", "ws");
  target.hash = "";
  const query = { last_event_id: cursor, resume_secret: resumeSecret, ticket };
  for (const [name, value] of Object.entries(query)) if (value) target.searchParams.set(name, value);
  try {
    return new WebSocket(target);
  } catch (error) {
    throw new StreamFailure(`${error}`, { fatal: true });
  }
}

/** Exchange the token for a ticket, which opens one stream and may stand in a URL. */
async function fetchTicket(connection: ConnectionRequest): Promise<string> {
  const url = new URL("auth/ticket", connection.url); // a sibling of /events, also below a prefix
  const response = await request(url, { ...connection, method: "POST", body: null });
  if (!response.ok) throw await readFailure(response);
  return ((await response.json()) as { ticket: string }).ticket;
}

/**
 * Tell why a socket did not open, which browsers do not say: ask by a poll.
 *
 * Throws the server's answer to the poll; a fatal failure if that is friendly, because then the network refuses WebSockets.
 */
async function explainRefusal(connection: ConnectionRequest): Promise<boolean> {
  if ((await pollOnce(connection)) === null) return true;
  throw new StreamFailure("only WebSocket is refused", { fatal: true });
}

interface PendingAnswer {
  resolve(fields: Readonly<Record<string, unknown>>): void;
  reject(failure: StreamFailure): void;
}

/** The messages that a page sends, and the server's answers, which come in the same order. */
class Answers implements MessageSocket {
  #socket: WebSocket;
  #pending: PendingAnswer[] = [];

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  request(message: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> | null {
    const text = JSON.stringify(message);
    if (text.length > SENT_CHARS_MAX || this.#socket.readyState !== WebSocket.OPEN) return null;
    this.#socket.send(text);
    return new Promise((resolve, reject) => this.#pending.push({ resolve, reject }));
  }

  /** Settle the request that a message answers; return false if it answers none. */
  settle({ fields }: Message): boolean {
    const { control, detail, code } = fields;
    if (control !== "published" && control !== "error") return false;
    const pending = this.#pending.shift();
    const failure = new StreamFailure(`${detail}`, { code: `${code}`, fatal: true });
    if (control === "published") pending?.resolve(fields);
    else if (pending) pending.reject(failure);
    else throw failure; // nothing was asked, so the error is about the subscription
    return true;
  }

  /** Reject what was not answered: it may have been done or not. */
  abandon(): void {
    for (const { reject } of this.#pending) reject(new StreamFailure("the connection was lost before the answer"));
  }
}
