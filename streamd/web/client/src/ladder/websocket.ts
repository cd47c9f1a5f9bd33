/** Events over WebSocket (RFC 6455), for networks that buffer event streams. */

import { parseFields } from "../event.js";
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
/** Close codes that reject the connection itself (RFC 6455 section 7.4.1), as HTTP statuses. */
const REFUSING_CODES: Readonly<Record<number, number>> = { 1002: 400, 1003: 415, 1007: 400, 1008: 400 };
const REPLACED = 4001; // streamd's own code
const LOST = 1006; // the browser's own code, for a connection without a close frame

/** Events over WebSocket, from the URL of `/events`. */
export const websocket: Transport = { name: "websocket", connect };

async function connect(connection: ConnectionRequest, sink: ConnectionSink): Promise<boolean> {
  // Browsers cannot send headers with a WebSocket.
  const hasTicket = connection.headers.has("Authorization");
  const ticket = hasTicket ? await fetchTicket(connection) : null;
  connection.signal.throwIfAborted();
  const url = new URL(connection.url);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const query = { last_event_id: connection.cursor, resume_secret: connection.resumeSecret, ticket };
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  return await new Socket(open(url), connection, sink, hasTicket).run();
}

function open(url: URL): WebSocket {
  try {
    return new WebSocket(url);
  } catch (error) {
    throw new StreamFailure(`no WebSocket can be opened here: ${String(error)}`, { fatal: true });
  }
}

/** Exchange the token for a ticket, which opens one stream and may stand in a URL. */
async function fetchTicket(connection: ConnectionRequest): Promise<string> {
  const url = new URL("auth/ticket", connection.url); // a sibling of /events, also below a prefix
  const response = await request(url, { ...connection, method: "POST", body: null });
  if (!response.ok) throw await readFailure(response);
  return String(parseFields(await response.text().catch(() => ""))["ticket"]);
}

interface PendingAnswer {
  resolve(fields: Record<string, unknown>): void;
  reject(failure: StreamFailure): void;
}

class Socket implements MessageSocket {
  #socket: WebSocket;
  #connection: ConnectionRequest;
  #sink: ConnectionSink;
  #backlog: string[] = [];
  #pending = new Map<number, PendingAnswer>();
  #sent = 0;
  #hasOpened = false;
  #closed: CloseEvent | null = null;
  #changed = () => {};

  /** @param isReadOnly true after a ticket: it stands in a URL, so the server takes nothing from it that changes something. */
  constructor(socket: WebSocket, connection: ConnectionRequest, sink: ConnectionSink, isReadOnly: boolean) {
    this.#socket = socket;
    this.#connection = connection;
    this.#sink = sink;
    socket.onopen = () => {
      this.#hasOpened = true;
      sink.opened(101, isReadOnly ? undefined : this);
    };
    socket.onmessage = ({ data }) => {
      sink.heard();
      this.#backlog.push(String(data));
      if (this.#backlog.length > BACKLOG_MAX) socket.close();
      this.#changed();
    };
    socket.onclose = (event) => {
      this.#closed = event;
      this.#changed();
    };
    connection.signal.addEventListener("abort", () => socket.close());
  }

  /** Pass on the messages until the connection has ended. */
  async run(): Promise<boolean> {
    let isClosing = false; // the server has told why it ends the connection
    try {
      while (this.#backlog.length > 0 || !this.#closed) {
        const text = this.#backlog.shift();
        if (text === undefined) {
          await new Promise<void>((resolve) => (this.#changed = resolve));
          continue;
        }
        const message = readMessage(text);
        isClosing ||= message.control === "closing";
        if (!this.#answer(message)) this.#sink.take(message.block);
        await this.#sink.ready();
      }
      if (!this.#hasOpened) return await explainRefusal(this.#connection);
      if (!isClosing) checkCode(this.#closed);
      return false;
    } finally {
      this.#socket.close();
      const failure = new StreamFailure("the connection was lost before the answer");
      for (const { reject } of this.#pending.values()) reject(failure);
    }
  }

  request(message: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> | null {
    const nonce = (this.#sent += 1);
    const text = JSON.stringify({ ...message, nonce });
    if (text.length > SENT_CHARS_MAX || this.#socket.readyState !== WebSocket.OPEN) return null;
    return new Promise((resolve, reject) => {
      this.#pending.set(nonce, { resolve, reject });
      this.#socket.send(text);
    });
  }

  /** Settle the request that a message answers; return false if it answers none. */
  #answer({ control, fields }: Message): boolean {
    if (control !== "published" && control !== "error") return false;
    // A server that could not read a message does not know its nonce. It answers in order.
    const [oldest] = this.#pending.keys();
    const nonce = Number(fields["nonce"] ?? oldest);
    const pending = this.#pending.get(nonce);
    this.#pending.delete(nonce);
    if (control === "published") pending?.resolve(fields);
    else {
      const { detail, code } = fields;
      const failure = new StreamFailure(String(detail), { code: String(code), fatal: true });
      if (!pending) throw failure; // nothing was asked, so the error is about the subscription
      pending.reject(failure);
    }
    return true;
  }
}

/** Throw the failure that a close code stands for; return at an orderly end. */
function checkCode(closed: CloseEvent | null): void {
  const { code = LOST, reason = "" } = closed ?? {};
  const status = REFUSING_CODES[code];
  if (code === LOST) throw new StreamFailure("the connection was lost");
  if (code === REPLACED) throw new StreamFailure(reason || "replaced", { code: "replaced", fatal: true });
  if (status) throw new StreamFailure(reason || `the socket was closed with ${code}`, { status, fatal: true });
}

/**
 * Tell why a socket did not open, which browsers do not say: ask by a poll.
 *
 * Throws the server's answer to the poll; a fatal failure if that is friendly, because then the network refuses WebSockets.
 */
async function explainRefusal(connection: ConnectionRequest): Promise<boolean> {
  if ((await pollOnce(connection)) === null) return true;
  throw new StreamFailure("the server can be reached, but not by WebSocket", { fatal: true });
}
