// The page's event stream: what it is doing, in the page's words, and its counters. The client keeps it connected.

import { ladder } from "../../client/ladder.js";
import { CONTROL_NAMES, createStream } from "../../client/streamd.js";

const RATE_WINDOW_MS = 10_000;
const FOREIGN_RETRY_MS = 30_000; // after answers that are not streamd's, such as the page of a captive portal

// Intervals are measured by performance.now(), because the wall clock (Date.now()) may be set meanwhile.
export class Stream {
  // states: connecting (the first time), connected, closing (the server said so), waiting (for the next attempt),
  // reconnecting, rejected (the request is wrong, and a retry would fail too)
  state = "connecting";
  reason = ""; // of the last closing frame, failure or rejection
  stateSince = Date.now(); // to be shown
  enteredAt = performance.now(); // the same moment; so are retryAt and lastHeard
  retryAt = null;
  connectionId = null;
  received = 0;
  reconnects = 0;
  gaps = 0;
  lastHeard = null;
  latencyMs = null;

  #stream = null; // the client's
  #start = null; // the cursor before the first event
  #head = null; // the newest id when the connection opened: events up to it are history
  #everConnected = false;
  #isHeld = false; // by close()
  #closing = ""; // the reason in the closing frame of this connection
  #timer = null;
  #arrivals = [];
  #handlers;

  // handlers: state(), event({id, type, data, encoding, topics}), gap({requested, resumed_after}), resumed(secondsAway),
  // closing(reason). An event with an empty id is a message to this connection alone.
  constructor(handlers) {
    this.#handlers = handlers;
  }

  // Follow other selectors {topics, patterns}, from the event after the id `start`.
  open(selectors, start) {
    this.close();
    this.#start = start;
    this.#everConnected = false;
    const stream = createStream("events", { ...selectors, after: start, transports: ladder() });
    this.#stream = stream;
    stream.onState((state) => stream === this.#stream && this.#follow(state));
    stream.on((event) => stream === this.#stream && this.#take(event));
    this.resume();
  }

  // Give the connection up until resume().
  close() {
    clearTimeout(this.#timer);
    this.retryAt = null;
    this.#isHeld = true;
    this.#stream?.disconnect();
  }

  resume() {
    clearTimeout(this.#timer);
    this.#isHeld = false;
    this.#stream?.connect().catch(() => {}); // the state has the failure
  }

  // HTTP status of the last response; null without one.
  get status() {
    return this.#stream?.state.status ?? null;
  }

  // sse, websocket or poll; null before the first attempt.
  get transport() {
    return this.#stream?.state.transport ?? null;
  }

  // Null before the first event.
  get lastEventId() {
    const id = this.#stream?.lastEventId;
    return id && id !== this.#start ? id : null;
  }

  get rate() {
    const since = performance.now() - RATE_WINDOW_MS;
    this.#arrivals = this.#arrivals.filter((arrival) => arrival > since);
    const seconds = Math.min(RATE_WINDOW_MS, Math.max(1000, performance.now() - this.enteredAt)) / 1000;
    return this.#arrivals.length / seconds;
  }

  // Follow the client's state. That a connection is open, its `connected` frame tells.
  #follow({ phase, status, failure, retryAt }) {
    if (phase === "connecting") {
      this.retryAt = null;
      this.#closing = "";
      this.#enter(this.#everConnected ? "reconnecting" : "connecting");
    } else if (phase === "waiting") {
      this.#wait(this.#closing || failure?.message || "the connection was lost", retryAt && retryAt - Date.now());
    } else if (phase === "closed" && !this.#isHeld) {
      this.reason = failure?.message ?? "there is nothing more to send";
      if (failure?.code || status >= 300) return this.#enter("rejected");
      this.#timer = setTimeout(() => this.resume(), FOREIGN_RETRY_MS);
      this.#wait(this.reason, FOREIGN_RETRY_MS);
    }
  }

  // waitMs: null without a network, whose return ends the wait.
  #wait(reason, waitMs) {
    this.reason = reason;
    this.retryAt = waitMs === null ? null : performance.now() + waitMs;
    this.#enter("waiting");
  }

  #enter(state) {
    const changed = state !== this.state;
    this.state = state;
    if (changed || state === "connecting") {
      this.stateSince = Date.now();
      this.enteredAt = performance.now();
    }
    this.#handlers.state();
  }

  #take(event) {
    const heardBefore = this.lastHeard;
    this.lastHeard = performance.now();
    if (!event.id && CONTROL_NAMES.includes(event.type)) this.#controls[event.type]?.(event.json(), heardBefore);
    else this.#takeEvent(event);
  }

  // By type, the control frames that the page shows.
  #controls = {
    connected: (greeting, heardBefore) => {
      this.connectionId = greeting.connection_id ?? null;
      this.#head = greeting.head ?? null;
      this.#arrivals = [];
      this.reason = "";
      if (this.#everConnected) {
        this.reconnects += 1;
        this.#handlers.resumed((performance.now() - heardBefore) / 1000);
      }
      this.#everConnected = true;
      this.#enter("connected");
    },
    gap: (gap) => {
      if (gap.requested === this.#start) return; // the request was for more history than the log keeps: nothing is missing
      this.gaps += 1;
      this.#handlers.gap(gap);
      this.#handlers.state();
    },
    closing: ({ reason }) => {
      this.#closing = this.reason = closingText(reason);
      this.#handlers.closing(this.reason);
      this.#enter("closing");
    },
  };

  #takeEvent(event) {
    this.received += 1;
    if (!event.id || !this.#head || event.id > this.#head) {
      this.#arrivals.push(this.lastHeard);
      const sent = Number(event.id.split("-")[0]);
      if (sent && this.#head) this.latencyMs = Date.now() - sent;
    }
    this.#handlers.event(event);
  }
}

const CLOSING = {
  shutdown: "the server is restarting",
  lifetime: "the connection has reached its maximum lifetime",
  replaced: "another connection has taken over",
  overflow: "this page was too slow",
  closed: "an operator has closed it",
  ended: "there is nothing more to send",
  error: "the server had an error",
  expired: "the token has expired",
  revoked: "the token is revoked",
};

const closingText = (reason) => (Object.hasOwn(CLOSING, reason) ? CLOSING[reason] : String(reason ?? "closed"));
