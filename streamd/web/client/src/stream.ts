/** A stream that is kept connected, and resumes after the last event id. */

import { backoffMs } from "./backoff.js";
import { Connection, type ConnectTimes } from "./connection.js";
import { Cursor } from "./cursor.js";
import { EventEmitter, callAll, type EventHandler } from "./emitter.js";
import { CONTROL_NAMES, StreamEvent } from "./event.js";
import { StreamFailure, readFailure } from "./failure.js";
import type { OutgoingEvent, StreamOptions, StreamState } from "./options.js";
import { isHidden, resolveUrl, watchPage, type PageChange } from "./page.js";
import type { Block } from "./parser.js";
import { EventQueue } from "./queue.js";
import { request, sse } from "./sse.js";
import type { ConnectionOutcome, ConnectionSink, MessageSocket, TransportChooser } from "./transport.js";

const HEARTBEATS = 2.5; // of silence, after which a connection counts as lost
const TICK_MS = 1000; // timers stand still while a computer sleeps, so timeouts are compared with the clock
const STABLE_MS = 10_000; // a connection of this age was a success, even if nothing arrived on it

const CONTROLS: readonly string[] = CONTROL_NAMES;
const SSE_ONLY: TransportChooser = { firstBlockMs: null, choose: () => sse, learn: () => false };
type DefaultName =
  | "after"
  | "snapshots"
  | "method"
  | "body"
  | "credentials"
  | "backoff"
  | "maxAttempts"
  | "connectMs"
  | "openWhenHidden"
  | "transports"
  | "fetch";
const DEFAULTS: Required<Pick<StreamOptions, DefaultName>> = {
  after: "",
  snapshots: false,
  method: "GET",
  body: null,
  credentials: "same-origin",
  backoff: {},
  maxAttempts: Infinity,
  connectMs: 15_000,
  openWhenHidden: true,
  transports: SSE_ONLY,
  fetch: (...args: Parameters<typeof fetch>) => fetch(...args),
};

/**
 * Make a stream; `connect()`, or a `for await` loop, opens it.
 *
 * @param url of the stream, relative to the page.
 */
export function createStream(url: string | URL, options: StreamOptions = {}): EventStream {
  return new EventStream(url, options);
}

/** A stream that is kept connected. Made by {@link createStream}. */
export class EventStream implements AsyncIterable<StreamEvent> {
  readonly url: URL;
  #options: typeof DEFAULTS & StreamOptions;
  #state: StreamState = { phase: "closed", status: null, attempt: 0, transport: null, failure: null, retryAt: null };
  #cursor: Cursor;
  #emitter = new EventEmitter();
  #listeners = new Set<(state: StreamState) => void>();
  #queues = new Set<EventQueue>();
  #connection: Connection | null = null;
  #socket: MessageSocket | null = null;
  #running: AbortController | null = null; // from connect() to the end
  #opening = deferred();
  #failures = 0; // in succession
  #leastUntil = 0; // the server asked not to come before (ms since 1970)
  #wake: (() => void) | null = null; // ends a pause
  #hasRefreshed = false; // the credentials, after a 401

  constructor(url: string | URL, options: StreamOptions) {
    this.url = resolveUrl(url);
    for (const topic of options.topics ?? []) this.url.searchParams.append("topic", topic);
    for (const pattern of options.patterns ?? []) this.url.searchParams.append("pattern", pattern);
    if (options.topics ?? options.patterns) this.url.searchParams.set("include", "topics");
    this.#options = { ...DEFAULTS, ...options };
    this.#cursor = new Cursor(this.#options);
    if (options.onEvent) this.on(options.onEvent);
    if (options.onState) this.onState(options.onState);
    options.signal?.addEventListener("abort", () => this.disconnect());
  }

  get state(): StreamState {
    return this.#state;
  }

  get isConnected(): boolean {
    return this.#state.phase === "open";
  }

  /** The id of the last event; empty before the first. Pass it as `after` to resume in another page. */
  get lastEventId(): string {
    return this.#cursor.id;
  }

  // --- control ------------------------------------------------------------------------------------

  /**
   * Open the stream, and keep it open until `disconnect()`, a fatal failure, or its end.
   *
   * Resolves at the first connection. Rejects with a StreamFailure if there will be none. An ignored rejection is no
   * unhandled one: the state has the failure.
   */
  connect(): Promise<void> {
    if (this.#state.phase === "closed") {
      if (this.#options.signal?.aborted) return Promise.reject(new StreamFailure("the stream was aborted", { fatal: true }));
      this.#opening = deferred();
      this.start();
    }
    return this.#opening.promise;
  }

  /** Close the stream. `connect()` opens it again, after the last event id. */
  disconnect(): void {
    this.close(null);
  }

  /** Make a new connection now. Resolves and rejects like `connect()`. */
  reconnect(): Promise<void> {
    if (this.#state.phase === "closed") return this.connect();
    if (this.isConnected) this.#opening = deferred();
    this.restart();
    return this.#opening.promise;
  }

  /**
   * Publish an event: by the open WebSocket, else by a POST. Returns its id.
   *
   * Rejects with a StreamFailure. Without an answer, the event may be published or not; with an `idempotency_key` it may be
   * sent again.
   */
  async send(event: OutgoingEvent): Promise<string> {
    const answer = await (this.#socket?.request({ control: "publish", ...event }) ?? this.#post(event));
    return String(answer["id"]);
  }

  // --- events -------------------------------------------------------------------------------------

  /** Call a handler with each event of a type; without a type, with all of them, control frames included. */
  on(handler: EventHandler): this;
  on(type: string, handler: EventHandler): this;
  on(type: string | EventHandler, handler?: EventHandler): this {
    if (typeof type === "function") this.#emitter.of(null).add(type);
    else if (handler) this.#emitter.of(type).add(handler);
    return this;
  }

  off(handler: EventHandler): this;
  off(type: string, handler: EventHandler): this;
  off(type: string | EventHandler, handler?: EventHandler): this {
    if (typeof type === "function") this.#emitter.of(null).delete(type);
    else if (handler) this.#emitter.of(type).delete(handler);
    return this;
  }

  /** Call a listener after each change of the state; returns a function that removes it. */
  onState(listener: (state: StreamState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Iterate over the events from now on, control frames left out; opens the stream. Events wait for the loop, and push back
   * to the server. The loop ends with the stream, and throws its fatal failure.
   */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<StreamEvent> {
    const queue = new EventQueue();
    this.#queues.add(queue);
    void this.connect(); // the loop throws its failure
    try {
      for (let event = await queue.next(); event !== null; event = await queue.next()) yield event;
    } finally {
      this.#queues.delete(queue);
      queue.stop();
    }
  }

  // --- connections: the protected methods are for `streamd-client/sharing` --------------------------

  /** Begin to connect. */
  protected start(): void {
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  /** End the present connection, or wait, so that the next attempt follows now. */
  protected restart(): void {
    this.#leastUntil = 0;
    if (this.#connection) this.#connection.stop("reconnect");
    else this.#wake?.();
  }

  /** Stop connecting, without a change of the state. */
  protected halt(): void {
    this.#running?.abort();
    this.#running = this.#socket = null;
    const connection = this.#connection;
    this.#connection = null;
    connection?.stop("disconnect");
    this.#leastUntil = 0;
    this.#wake?.();
  }

  /** Connect until the stream is over. */
  async #run(signal: AbortSignal): Promise<void> {
    watchPage((change) => this.#onPage(change), signal);
    const ticker = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener("abort", () => clearInterval(ticker));
    this.#failures = 0;
    while (!signal.aborted) {
      if (!this.#mayOpen) await this.#pause(null);
      else await this.#connectOnce();
    }
  }

  #onPage(change: PageChange): void {
    if (change === "restored") this.#connection?.stop("reconnect");
    else if (change !== "hidden") this.#wake?.();
    else if (!this.#mayOpen) this.#connection?.stop("hidden");
  }

  get #mayOpen(): boolean {
    return this.#options.openWhenHidden || !isHidden();
  }

  async #connectOnce(): Promise<void> {
    const connection = new Connection(this.#options.transports.choose(this.url), this.#connectBy);
    this.#connection = connection;
    this.#cursor.begin();
    this.set({ phase: "connecting", attempt: this.#failures + 1, transport: connection.transport.name, retryAt: null });
    let isOver = false;
    let failure: StreamFailure | null = null;
    try {
      isOver = await Promise.race([this.#talk(connection), connection.stopped]);
    } catch (error) {
      failure = error instanceof StreamFailure ? error : new StreamFailure(String(error));
    }
    const reason = connection.reason;
    connection.stop("disconnect"); // what is left of it must not be heard any more
    if (this.#connection !== connection) return; // disconnect() has come before
    this.#connection = this.#socket = null;
    if (isOver) this.close(null, 204);
    else if (reason === null) await this.#goOn(connection.outcome(failure));
    else if (reason === "reconnect") this.#failures = 0;
  }

  /** Make the request of a connection, and take what arrives. */
  async #talk(connection: Connection): Promise<boolean> {
    const headers = await this.#headers();
    const { url } = this;
    const { signal } = connection;
    const { id: cursor, resumeSecret } = this.#cursor;
    return await connection.transport.connect({ ...this.#options, url, headers, signal, cursor, resumeSecret }, this.#sink(connection));
  }

  async #headers(): Promise<Headers> {
    const { headers } = this.#options;
    return new Headers(typeof headers === "function" ? await headers() : headers);
  }

  #sink(connection: Connection): ConnectionSink {
    const present = (action: () => void) => this.#connection === connection && action();
    return {
      opened: (status, socket) =>
        present(() => {
          connection.opened();
          this.#socket = socket ?? null;
          this.#hasRefreshed = false;
          this.set({ status });
          if (this.#options.transports.firstBlockMs === null) this.#enterOpen();
        }),
      heard: () => present(() => connection.hear()),
      take: (block) =>
        present(() => {
          connection.heardBlock = true;
          this.take(block);
        }),
      ready: async () => {
        for (const queue of this.#queues) await queue.ready();
        connection.hear(); // the wait was ours
      },
    };
  }

  #enterOpen(): void {
    if (this.isConnected) return;
    this.set({ phase: "open", failure: null });
  }

  /** Take a block of the stream, in order. */
  protected take(block: Block): void {
    const { id, type, data, encoding, topics, retry } = block;
    this.#enterOpen();
    if (retry !== null) this.#cursor.retryMs = retry;
    const isControl = id === null && data !== null && CONTROLS.includes(type);
    if (isControl) this.#cursor.control(type, data);
    if (type !== "connected") this.#failures = 0;
    if (id !== null && !this.#cursor.advance(id)) return;
    if (data === null) return;
    const event = new StreamEvent({ id: id ?? "", type, data, encoding, topics });
    if (!isControl) for (const queue of this.#queues) queue.push(event);
    this.#emitter.emit(event);
  }

  /** Decide what follows the end of a connection: the end of the stream, or another attempt. */
  async #goOn(outcome: ConnectionOutcome): Promise<void> {
    const { failure, openMs } = outcome;
    const status = failure?.status ?? this.#state.status;
    const triesAnother = this.#options.transports.learn(outcome);
    if (openMs > STABLE_MS) this.#failures = 0;
    this.#failures += 1;
    if (this.#cursor.closing === "replaced") {
      this.close(new StreamFailure("another connection of this client has taken over", { code: "replaced", fatal: true }));
    } else if (!this.#isRepeatable) {
      this.close(failure, status);
    } else if (status === 401 && typeof this.#options.headers === "function" && failure && !this.#hasRefreshed) {
      this.#hasRefreshed = true; // the token may just have expired: ask for another, once
    } else if (failure?.fatal && !triesAnother) {
      this.close(failure, status);
    } else if (this.#failures >= this.#options.maxAttempts) {
      this.close(failure ?? new StreamFailure("the server ends the stream again and again"), status);
    } else if (!triesAnother) {
      this.set({ status, failure });
      const leastMs = Math.max(this.#cursor.retryMs, failure?.retryAfterMs ?? 0);
      this.#leastUntil = Date.now() + leastMs;
      await this.#pause(backoffMs(this.#failures - 1, leastMs, this.#options.backoff));
    }
  }

  /** True if the same request may be sent again without being asked to (RFC 9110 section 9.2.2). */
  get #isRepeatable(): boolean {
    const { method, body } = this.#options;
    return method.toUpperCase() === "GET" && body === null;
  }

  /** Wait, or until a wake-up after the time that the server asked for; null waits for a wake-up alone. */
  async #pause(waitMs: number | null): Promise<void> {
    this.set({ phase: "waiting", retryAt: waitMs === null ? null : Date.now() + waitMs });
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wake: (() => void) | null = null;
    await new Promise<void>((resolve) => {
      const restart = (ms: number) => {
        clearTimeout(timer);
        timer = setTimeout(resolve, ms);
      };
      wake = () => (Date.now() >= this.#leastUntil ? resolve() : restart(this.#leastUntil - Date.now()));
      this.#wake = wake;
      if (waitMs !== null) restart(waitMs);
    });
    clearTimeout(timer);
    if (this.#wake === wake) this.#wake = null;
  }

  /** Compare the timeouts with the clock. */
  #tick(): void {
    const { phase, retryAt } = this.#state;
    const connection = this.#connection;
    const silenceMs = this.#options.silenceMs ?? HEARTBEATS * this.#cursor.heartbeatMs;
    if (phase === "waiting" && retryAt !== null && Date.now() >= retryAt) this.#wake?.();
    else if (connection?.isOverdue) connection.fail("the server did not answer in time");
    else if (phase === "open" && silenceMs > 0 && connection && connection.silentMs > silenceMs) {
      connection.fail(`the server was silent for ${Math.round(connection.silentMs / 1000)} s`);
    }
  }

  get #connectBy(): ConnectTimes {
    return { headMs: this.#options.connectMs, firstBlockMs: this.#options.transports.firstBlockMs };
  }

  /** End the stream. */
  protected close(failure: StreamFailure | null, status = this.#state.status): void {
    this.halt();
    for (const queue of this.#queues) queue.push(null, failure);
    this.#queues.clear();
    this.#opening.reject(failure ?? new StreamFailure("the stream was closed", { status, fatal: true }));
    if (this.#state.phase !== "closed") this.set({ phase: "closed", status, failure, retryAt: null });
  }

  /** Change the state. */
  protected set(change: Partial<StreamState>): void {
    const state = (this.#state = { ...this.#state, ...change });
    if (this.isConnected) this.#opening.resolve();
    callAll(this.#listeners, state);
  }

  async #post(event: OutgoingEvent): Promise<Record<string, unknown>> {
    const { publishUrl = new URL(this.url.pathname, this.url) } = this.#options;
    const headers = await this.#headers();
    headers.set("Content-Type", "application/json");
    const response = await request(resolveUrl(publishUrl), { ...this.#options, headers, method: "POST", body: JSON.stringify(event) });
    if (!response.ok) throw await readFailure(response);
    return (await response.json()) as Record<string, unknown>;
  }
}

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

function deferred(): Deferred {
  let settle: Omit<Deferred, "promise">;
  const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  promise.catch(() => {}); // an application may ignore it: the state has the failure
  return { promise, ...settle! };
}
