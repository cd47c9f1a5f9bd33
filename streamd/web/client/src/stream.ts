/** A stream that is kept connected, and resumes after the last event id. */

import { backoffMs, TIMER_MS_MAX } from "./backoff.js";
import { Cursor } from "./cursor.js";
import { EventEmitter, callAll } from "./emitter.js";
import { CONTROL_NAMES, StreamEvent } from "./event.js";
import { StreamFailure, asFailure } from "./failure.js";
import { isRepeatable, withDefaults, type OutgoingEvent, type StreamOptions, type StreamSettings, type StreamState } from "./options.js";
import { isHidden, isOffline, isRestored, resolveUrl, watchPage } from "./page.js";
import type { Block } from "./parser.js";
import { EventQueue } from "./queue.js";
import { post, readHeaders } from "./send.js";
import type { ConnectionOutcome, ConnectionSink, MessageSocket, Transport } from "./transport.js";

const HEARTBEATS = 2.5; // of silence, after which a connection counts as lost
const TICK_MS = 1000;
const SLEEP_MS = 120_000; // between two ticks; browsers slow the timers of hidden pages down to one a minute

const STABLE_MS = 10_000; // a connection that was open for this time was a success, even if no event arrived on it

const OPEN = { phase: "open", failure: null } as const;
const CONTROLS: readonly string[] = CONTROL_NAMES;

/**
 * Make a stream; `connect()`, or a `for await` loop, opens it.
 *
 * @param url of the stream, relative to the page.
 */
export function createStream(url: string | URL, options: StreamOptions = {}): EventStream {
  return new EventStream(url, options);
}

/**
 * A stream that is kept connected. Made by {@link createStream}.
 *
 * One call of `#run` goes from `connect()` to the end: it attempts, and waits, in turns. All else only ends the present
 * connection (`stop`, `fail`) or the present wait (`#wake`), and leaves the rest to it. Handlers may call any method: code
 * that follows a call of theirs looks whether its connection still stands.
 */
export class EventStream extends EventEmitter implements AsyncIterable<StreamEvent> {
  readonly url: URL;
  #settings: StreamSettings;
  #cursor: Cursor;
  #state: StreamState;
  #listeners = new Set<() => void>();
  #queues = new Set<EventQueue<StreamEvent>>();
  #running: AbortController | null = null; // while connections are made
  #onAbort = () => this.disconnect();
  #openings: { resolve: () => void; reject: (failure: StreamFailure) => void }[] = []; // of calls that wait until it is open
  #connection: AbortController | null = null; // aborted with null to end it, and with a failure to give it up
  #socket: MessageSocket | null = null;
  #openedAt = 0; // the present connection (ms since 1970)
  #heardAt = 0; // the last bytes; until it is open, when the attempt began
  #heardBlock = false; // on the present connection
  #heardEvent = false;
  #isPaused = false; // a slow loop keeps the transport from reading, so silence tells nothing about the server
  #wake = () => {}; // ends the present wait
  #failures = 0; // attempts in succession that have ended, without those before one that succeeded
  #leastUntil = 0; // the server asked not to come before (ms since 1970)
  #tickedAt = 0;

  constructor(url: string | URL, options: StreamOptions) {
    super();
    this.#settings = withDefaults(options);
    const { topics = [], patterns = [], after, snapshots = false, onEvent, onState } = options;
    this.url = resolveUrl(url);
    const query = this.url.searchParams;
    for (const topic of topics) query.append("topic", topic);
    for (const pattern of patterns) query.append("pattern", pattern);
    if (topics.length + patterns.length) query.set("include", "topics");
    this.#cursor = new Cursor(after ?? query.get("last_event_id") ?? "", snapshots);
    this.#state = {
      phase: "closed",
      status: null,
      attempt: 0,
      transport: null,
      failure: null,
      retryAt: null,
      lastEventId: this.lastEventId,
    };
    if (onEvent) this.on(onEvent);
    if (onState) this.onState(onState);
  }

  /** The state; each change makes a new object. */
  get state(): StreamState {
    return this.#state;
  }

  get isConnected(): boolean {
    return this.#state.phase === "open";
  }

  /** The id to resume after: that of the last event, or where the stream began. Pass it as `after` in another page. */
  get lastEventId(): string {
    return this.#cursor.id;
  }

  // --- control ------------------------------------------------------------------------------------

  /**
   * Open the stream, and keep it open until `disconnect()`, a fatal failure, or its end.
   *
   * Resolves when it is open. Rejects with a StreamFailure if it closes before. An ignored rejection is no unhandled one:
   * the state has the failure.
   */
  connect(): Promise<void> {
    const opening = this.#whenOpen();
    if (this.#state.phase === "closed") {
      const { signal } = this.#settings;
      signal?.addEventListener("abort", this.#onAbort);
      if (signal?.aborted) this.disconnect();
      else this.start();
    }
    return opening;
  }

  /** Close the stream. `connect()` opens it again, after the last event id. */
  disconnect(): void {
    this.close(null);
  }

  /** Make a new connection now. Resolves and rejects like `connect()`. */
  reconnect(): Promise<void> {
    if (this.#state.phase === "closed") return this.connect();
    this.restart();
    if (this.isConnected) this.set({ phase: "connecting" });
    return this.#whenOpen();
  }

  /**
   * Publish an event: by the open WebSocket, else by a POST. Returns its id.
   *
   * Rejects with a StreamFailure. Without an answer, the event may be published or not; with an `idempotency_key` it may be
   * sent again.
   */
  async send(event: OutgoingEvent): Promise<string> {
    const { publishUrl = this.url.pathname } = this.#settings;
    const bySocket = this.#socket?.request({ control: "publish", ...event });
    const answer = await (bySocket ?? post(new URL(publishUrl, this.url), this.#settings, event));
    return String(answer["id"]);
  }

  // --- events -------------------------------------------------------------------------------------

  /** Call a listener after each change of the state; returns a function that removes it. */
  onState(listener: (state: StreamState) => void): () => void {
    const call = () => listener(this.#state); // the present one, which an earlier listener may have changed
    this.#listeners.add(call);
    return () => void this.#listeners.delete(call);
  }

  /**
   * Iterate over the events from now on, control frames left out; opens the stream. Events wait for the loop, and push back
   * to the server. The loop ends with the stream, and throws its fatal failure; leaving the loop does not close the stream.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<StreamEvent> {
    const queue: EventQueue<StreamEvent> = new EventQueue(() => this.#queues.delete(queue));
    this.#queues.add(queue);
    void this.connect(); // the loop throws its failure
    return queue;
  }

  // --- connections: the protected methods are for `streamd-client/sharing` --------------------------

  /** Begin to connect. */
  protected start(): void {
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  /** End the present connection, or wait, so that the next attempt follows now. */
  protected restart(): void {
    this.#interrupt();
  }

  /** Stop connecting, without a change of the state. */
  protected halt(): void {
    this.#running?.abort();
    this.#interrupt();
    this.#running = this.#connection = this.#socket = null;
  }

  #interrupt(): void {
    this.#failures = this.#leastUntil = 0;
    this.#connection?.abort(null);
    this.#wake();
  }

  /** Connect, and wait, in turns, until the signal is aborted. */
  async #run(signal: AbortSignal): Promise<void> {
    watchPage((event) => this.#onPageChange(event), signal);
    this.#tickedAt = Date.now();
    const ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#state = { ...this.#state, status: null, failure: null };
    while (!signal.aborted) {
      const waitMs = this.#mayOpen ? this.#leastUntil - Date.now() : Infinity;
      await (waitMs > 0 ? this.#pause(waitMs) : this.#attempt(signal));
    }
    clearInterval(ticker);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const transport = this.#settings.transports.choose(this.url);
    const connection = (this.#connection = new AbortController());
    const ended = new Promise<never>((_, reject) => {
      connection.signal.addEventListener("abort", () => reject(connection.signal.reason as Error | null));
    });
    this.#cursor.begin();
    this.#heardAt = Date.now();
    this.#openedAt = 0;
    this.#heardBlock = this.#heardEvent = this.#isPaused = false;
    this.set({ phase: "connecting", attempt: this.#failures + 1, transport: transport.name });
    let isOver = false;
    let failure: StreamFailure | null = null;
    try {
      isOver = await Promise.race([this.#talk(transport, connection.signal), ended]);
    } catch (error) {
      failure = asFailure(error);
    }
    connection.abort("closed"); // what is left of it must not be heard any more
    if (signal.aborted) return;
    this.#connection = this.#socket = null;
    const openMs = this.#openedAt && (Date.now() - this.#openedAt || 1);
    if (isOver) this.close(null, 204);
    else if (connection.signal.reason !== null) await this.#goOn({ transport, failure, heard: this.#heardBlock, openMs });
  }

  /** Decide what follows the end of a connection: the end of the stream, or another attempt. */
  async #goOn(outcome: ConnectionOutcome): Promise<void> {
    const { transports, headers, maxAttempts = Infinity, backoff } = this.#settings;
    const { failure, openMs } = outcome;
    // The token may just have expired: ask for another, once.
    const refreshes = failure?.status === 401 && this.#state.status !== 401 && typeof headers === "function";
    const retriesNow = transports.learn(outcome) || refreshes;
    const isAway = isOffline();
    if (this.#heardEvent || openMs > STABLE_MS) this.#failures = 0;
    if (!isAway) this.#failures += 1;
    if (this.#cursor.isReplaced) {
      this.close(new StreamFailure("the connection was replaced", { code: "replaced", fatal: true }));
    } else if (!isRepeatable(this.#settings) || (failure?.fatal && !retriesNow)) {
      this.close(failure);
    } else if (this.#failures >= maxAttempts) {
      this.close(failure ?? new StreamFailure("the connection was closed"));
    } else if (retriesNow) {
      this.set({ phase: "connecting", failure });
    } else {
      const leastMs = Math.max(this.#cursor.retryMs, failure?.retryAfterMs ?? 0);
      this.#leastUntil = Date.now() + leastMs;
      await this.#pause(backoffMs(isAway ? Infinity : this.#failures - 1, leastMs, backoff), failure);
    }
  }

  /** Wait, or until a wake-up; no time (Infinity) waits for a wake-up alone. */
  async #pause(waitMs: number, failure = this.#state.failure): Promise<void> {
    let timer;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(() => {
        this.#leastUntil = 0; // has passed, also by a clock that was set back
        resolve();
      }, Math.min(waitMs, TIMER_MS_MAX));
      this.set({ phase: "waiting", failure, retryAt: waitMs === Infinity ? null : Date.now() + waitMs });
    });
    clearTimeout(timer);
  }

  /** Look at the clock: a connection may be silent, and a computer may have slept. */
  #tick(): void {
    const { connectMs, silenceMs = HEARTBEATS * this.#cursor.heartbeatMs, transports } = this.#settings;
    const silenceMsMax = (this.isConnected ? silenceMs : Math.min(connectMs, transports.firstBlockMs ?? Infinity)) || Infinity;
    const now = Date.now();
    const isSilent = !this.#isPaused && now - this.#heardAt > silenceMsMax;
    const hasSlept = Math.abs(now - this.#tickedAt) > SLEEP_MS;
    this.#tickedAt = now;
    if (now >= (this.#state.retryAt ?? Infinity)) this.#wake();
    if (isSilent || hasSlept) this.#connection?.abort(new StreamFailure("the server is silent"));
  }

  #onPageChange(event: Event): void {
    if (!isRestored(event) && !isOffline() && this.#mayOpen) this.#wake();
    else if (isRepeatable(this.#settings)) this.#connection?.abort(null);
  }

  get #mayOpen(): boolean {
    return this.#settings.openWhenHidden !== false || !isRepeatable(this.#settings) || !isHidden();
  }

  /** End the stream, and its loops. */
  protected close(failure: StreamFailure | null, status: number | null = null): void {
    this.halt();
    this.#settings.signal?.removeEventListener("abort", this.#onAbort);
    for (const queue of this.#queues) queue.end(failure);
    this.#queues.clear();
    const reason = failure ?? new StreamFailure("the connection was closed", { fatal: true });
    for (const { reject } of this.#openings.splice(0)) reject(reason);
    if (this.#state.phase !== "closed") this.set({ phase: "closed", status, failure });
  }

  #whenOpen(): Promise<void> {
    const opening = new Promise<void>((resolve, reject) => {
      if (this.isConnected) resolve();
      else this.#openings.push({ resolve, reject });
    });
    opening.catch(() => {}); // an application may ignore it: the state has the failure
    return opening;
  }

  /** Change the state. Its status is that of the failure, without another. */
  protected set(change: Partial<StreamState>): void {
    const status = change.status ?? change.failure?.status ?? this.#state.status;
    this.#state = { ...this.#state, retryAt: null, ...change, status, lastEventId: this.lastEventId };
    if (this.isConnected) for (const { resolve } of this.#openings.splice(0)) resolve();
    callAll(this.#listeners, undefined);
  }

  // --- one connection -----------------------------------------------------------------------------

  /** Make the request of a connection, and take what arrives. */
  async #talk(transport: Transport, signal: AbortSignal): Promise<boolean> {
    const headers = await readHeaders(this.#settings.headers);
    signal.throwIfAborted();
    const { url } = this;
    const { id: cursor, resumeSecret } = this.#cursor;
    return await transport.connect({ ...this.#settings, url, headers, signal, cursor, resumeSecret }, this.#sink(signal));
  }

  #sink(signal: AbortSignal): ConnectionSink {
    const ifPresent = (action: () => void) => signal.aborted || action();
    const heard = () =>
      ifPresent(() => {
        if (this.isConnected) this.#heardAt = Date.now();
      });
    return {
      opened: (status, socket) =>
        ifPresent(() => {
          this.#openedAt = Date.now();
          this.#socket = socket ?? null;
          this.set({ status, ...(this.#settings.transports.firstBlockMs === null && OPEN) });
          heard();
        }),
      heard,
      take: (block) =>
        ifPresent(() => {
          this.#heardBlock = true;
          this.take(block);
        }),
      ready: async () => {
        this.#isPaused = true;
        for (const queue of this.#queues) await queue.ready();
        this.#isPaused = false;
        heard();
      },
    };
  }

  /** Take a block of the stream, in order. */
  protected take(block: Block): void {
    const { id, type, data, encoding, topics, retry } = block;
    if (!this.isConnected) {
      this.set(OPEN);
      if (!this.isConnected) return; // by a listener
    }
    if (retry !== null) this.#cursor.retryMs = retry;
    const isControl = id === null && data !== null && CONTROLS.includes(type);
    if (isControl) this.#cursor.control(type, data);
    if (id !== null && !this.#cursor.advance(id)) return;
    if (data === null) return;
    const event = new StreamEvent({ id: id ?? "", type, data, encoding, topics });
    if (!isControl) {
      this.#heardEvent = true;
      for (const queue of this.#queues) queue.push(event);
    }
    this.emit(event);
  }
}
