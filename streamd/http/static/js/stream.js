// One native EventSource that is kept connected: its state, its cursor, and its counters.
//
// EventSource reconnects by itself after a lost connection, with the Last-Event-ID header. It never reconnects after a
// response like 503 or 204, and it does not detect a connection that died silently. In both cases this class opens a
// new EventSource at the last id seen (WHATWG HTML section 9.2).

import { toQuery } from "./selection.js";

const CONTROLS = ["connected", "heartbeat", "gap", "token-expiring", "closing"];
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;
const RATE_WINDOW_MS = 10_000;

export class Stream {
  // states: connecting, connected, reconnecting (by EventSource), waiting (for this class's timer), closing
  state = "connecting";
  reason = ""; // from the server's closing frame
  stateSince = Date.now();
  retryAt = null;
  connectionId = null;
  heartbeatSeconds = null;
  lastEventId = null;
  received = 0;
  receivedOnConnection = 0;
  reconnects = 0;
  gaps = 0;
  lastHeard = null;
  latencyMs = null;

  #source = null;
  #selectors = null;
  #start = null; // the cursor before the first event
  #head = null; // the newest id when the connection opened: events up to it are history
  #types = new Set(["message", "error"]); // EventSource reports its own failures as "error" too: see #onError
  #everConnected = false;
  #retryMs = FIRST_RETRY_MS;
  #timer = null;
  #arrivals = [];
  #handlers;

  // handlers: state(), event({id, type, data}), gap({requested, resumed_after}), resumed(secondsAway), closing(reason)
  constructor(types, handlers) {
    types.forEach((type) => this.#types.add(type));
    this.#handlers = handlers;
    addEventListener("online", () => this.retryAt && this.#connect());
  }

  // Follow other selectors, from the event after the id `start`.
  open(selectors, start) {
    this.#selectors = selectors;
    this.#start = start;
    this.lastEventId = null;
    this.#everConnected = false;
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    this.retryAt = null;
    this.#source?.close();
  }

  resume() {
    if (this.#selectors) this.#connect();
  }

  get cursor() {
    return this.lastEventId ?? this.#start;
  }

  get rate() {
    const since = Date.now() - RATE_WINDOW_MS;
    this.#arrivals = this.#arrivals.filter((arrival) => arrival > since);
    const seconds = Math.min(RATE_WINDOW_MS, Math.max(1000, Date.now() - this.stateSince)) / 1000;
    return this.#arrivals.length / seconds;
  }

  knows(type) {
    return this.#types.has(type);
  }

  // EventSource delivers only types that have a listener; add one for a new type.
  learn(type) {
    if (this.#types.has(type) || CONTROLS.includes(type)) return;
    this.#types.add(type);
    this.#source?.addEventListener(type, this.#onEvent);
  }

  // Reconnect after a silent failure. Call it about once a second: no other code detects one.
  watch() {
    const silentMs = Date.now() - this.lastHeard;
    if (this.state === "connected" && this.heartbeatSeconds && silentMs > 2000 * this.heartbeatSeconds + 5000) {
      this.#connect();
    }
  }

  countUnseen(events) {
    this.received += events;
    this.receivedOnConnection += events;
  }

  #connect() {
    this.close();
    const query = `${toQuery(this.#selectors)}&last_event_id=${this.cursor}`;
    const source = new EventSource(new URL(`events?${query}`, document.baseURI));
    this.#source = source;
    source.addEventListener("connected", this.#onConnected);
    source.addEventListener("heartbeat", this.#heard);
    source.addEventListener("gap", this.#onGap);
    source.addEventListener("closing", this.#onClosing);
    source.addEventListener("error", this.#onError);
    this.#types.forEach((type) => type !== "error" && source.addEventListener(type, this.#onEvent));
    this.#enter(this.#everConnected ? "reconnecting" : "connecting");
  }

  #enter(state) {
    const changed = state !== this.state;
    this.state = state;
    if (changed) this.stateSince = Date.now();
    this.#handlers.state();
  }

  #heard = (event) => {
    this.lastHeard = Date.now();
    // Control frames report the cursor too, which blocks with an id alone also move.
    if (event.lastEventId) this.lastEventId = event.lastEventId;
  };

  #onConnected = (event) => {
    const secondsAway = (Date.now() - this.lastHeard) / 1000;
    this.#heard(event);
    const greeting = parse(event.data);
    this.connectionId = greeting.connection_id ?? null;
    this.heartbeatSeconds = greeting.heartbeat_seconds ?? null;
    this.#head = greeting.head ?? null;
    this.receivedOnConnection = 0;
    this.#arrivals = [];
    this.#retryMs = FIRST_RETRY_MS;
    if (this.#everConnected) {
      this.reconnects += 1;
      this.#handlers.resumed(secondsAway);
    }
    this.#everConnected = true;
    this.reason = "";
    this.#enter("connected");
  };

  #onEvent = (event) => {
    this.#heard(event);
    this.received += 1;
    this.receivedOnConnection += 1;
    if (!this.#head || event.lastEventId > this.#head) this.#arrivals.push(this.lastHeard);
    this.#measure(event.lastEventId);
    this.#handlers.event({ id: event.lastEventId, type: event.type, data: event.data });
  };

  #measure(id) {
    const sent = Number(id.split("-")[0]);
    if (sent && this.#head && id > this.#head) this.latencyMs = this.lastHeard - sent;
  }

  #onGap = (event) => {
    this.#heard(event);
    const gap = parse(event.data);
    if (gap.requested === this.#start) return; // the request was for more history than the log keeps: nothing is missing
    this.gaps += 1;
    this.#handlers.gap(gap);
    this.#handlers.state();
  };

  #onClosing = (event) => {
    this.#heard(event);
    this.reason = parse(event.data).reason ?? "closed";
    this.#handlers.closing(this.reason);
    this.#enter("closing");
  };

  #onError = (event) => {
    // An event published with the type "error" arrives here as well.
    if (event instanceof MessageEvent) return this.#onEvent(event);
    if (event.target !== this.#source) return undefined;
    if (this.#source.readyState === EventSource.CONNECTING) return this.#enter("reconnecting");
    const waitMs = this.#retryMs * (0.8 + 0.4 * Math.random()); // jitter, so that not all pages reconnect at once
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.retryAt = Date.now() + waitMs;
    this.#timer = setTimeout(() => this.#connect(), waitMs);
    return this.#enter("waiting");
  };
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
