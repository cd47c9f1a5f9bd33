// One native EventSource, kept alive: its state, its place in the log, and what it received.
//
// EventSource reconnects by itself after a lost connection, with the Last-Event-ID header. It gives up for good after
// an answer like 503 or 204, and it does not notice a connection that died silently; those two are handled here, by
// opening a new one at the last id seen (WHATWG HTML section 9.2).

import { toQuery } from "./selection.js";

const CONTROLS = ["connected", "heartbeat", "gap", "token-expiring", "closing"];
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;
const RATE_WINDOW_MS = 10_000;

export class Stream {
  // states: connecting, connected, reconnecting (EventSource is at it), waiting (for our own timer), closing
  state = "connecting";
  reason = ""; // what the server said when it closed
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
  #start = null; // the place asked for before any event was seen
  #head = null; // the newest id when the connection opened: up to there it is history, not news
  #types = new Set(["message", "error"]); // "error" is also what EventSource calls its own troubles: see #onError
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

  // Follow other selectors; history begins after the id `start`.
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

  get place() {
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

  // EventSource delivers only types it has a listener for; others pass unseen until they are named here.
  learn(type) {
    if (this.#types.has(type) || CONTROLS.includes(type)) return;
    this.#types.add(type);
    this.#source?.addEventListener(type, this.#onEvent);
  }

  // Call about once a second: nothing else notices a connection that died without a word.
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
    const query = `${toQuery(this.#selectors)}&last_event_id=${this.place}`;
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
    // Also on control frames: it tells where the cursor is, moved by id-only blocks too.
    if (event.lastEventId) this.lastEventId = event.lastEventId;
  };

  #onConnected = (event) => {
    const secondsAway = (Date.now() - this.lastHeard) / 1000;
    this.#heard(event);
    const said = parse(event.data);
    this.connectionId = said.connection_id ?? null;
    this.heartbeatSeconds = said.heartbeat_seconds ?? null;
    this.#head = said.head ?? null;
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
    if (gap.requested === this.#start) return; // we asked for more history than is kept: nothing is missing
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
    const waitMs = this.#retryMs * (0.8 + 0.4 * Math.random()); // spread, so that not all pages return at once
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
