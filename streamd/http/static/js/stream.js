// One event stream that is kept connected: its state, its cursor, and its counters.
//
// It is read by fetch, because a native EventSource drops events whose type has no listener, reports no reason for a
// rejection, and stops for good after a response like 503. It resumes by Last-Event-ID, waits for the reconnection time
// that the server asks for (`retry`, Retry-After), longer after each failure, and detects a connection that died silently.

import { toQuery } from "./selection.js";
import { EventStreamParser } from "./sse.js";

const RETRY_MS = 1000; // until the server sends its own
const MAX_BACKOFF_MS = 30_000;
const MAX_TIMER_MS = 2 ** 31 - 1;
const CONNECT_TIMEOUT_MS = 15_000; // for `connected`; a proxy that buffers the stream never passes it on
const CLOSING_TIMEOUT_MS = 10_000; // from the closing frame to the end of the body, which a proxy may never pass on
const RATE_WINDOW_MS = 10_000;
const WORTH_RETRYING = new Set([408, 425, 429]); // of the statuses below 500

// Intervals are measured by performance.now(), because the wall clock (Date.now()) may be set meanwhile.
export class Stream {
  // states: connecting (the first time), connected, closing (the server said so), waiting (for the timer), reconnecting,
  // rejected (the request is wrong, and a retry would fail too)
  state = "connecting";
  reason = ""; // of the last closing frame, failure or rejection
  stateSince = Date.now(); // to be shown
  enteredAt = performance.now(); // the same moment; so are retryAt and lastHeard
  status = 0; // of the last response
  retryAt = null;
  connectionId = null;
  heartbeatSeconds = null;
  lastEventId = null;
  received = 0;
  reconnects = 0;
  gaps = 0;
  lastHeard = null;
  latencyMs = null;

  #attempt = null; // the AbortController of the present connection
  #selectors = null;
  #start = null; // the cursor before the first event
  #head = null; // the newest id when the connection opened: events up to it are history
  #everConnected = false;
  #retryMs = RETRY_MS;
  #failures = 0; // attempts since the last `connected`
  #timer = null;
  #arrivals = [];
  #handlers;

  // handlers: state(), event({id, type, data, encoding, topics}), gap({requested, resumed_after}), resumed(secondsAway),
  // closing(reason). An event without an id is a message to this connection alone.
  constructor(handlers) {
    this.#handlers = handlers;
    addEventListener("online", () => this.retryAt && this.#connect());
  }

  // Follow other selectors, from the event after the id `start`.
  open(selectors, start) {
    this.#selectors = selectors;
    this.#start = start;
    this.lastEventId = null;
    this.#everConnected = false;
    this.#failures = 0;
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    this.retryAt = null;
    this.#attempt?.abort();
    this.#attempt = null;
  }

  resume() {
    if (this.#selectors) this.#connect();
  }

  get rate() {
    const since = performance.now() - RATE_WINDOW_MS;
    this.#arrivals = this.#arrivals.filter((arrival) => arrival > since);
    const seconds = Math.min(RATE_WINDOW_MS, Math.max(1000, performance.now() - this.enteredAt)) / 1000;
    return this.#arrivals.length / seconds;
  }

  // Give up a connection that died silently. Call it about once a second.
  watch() {
    const silentMs = performance.now() - Math.max(this.lastHeard, this.enteredAt);
    if (["connecting", "reconnecting"].includes(this.state) && this.#attempt && silentMs > CONNECT_TIMEOUT_MS) {
      this.#retryLater("no answer");
    } else if (this.state === "connected" && this.heartbeatSeconds && silentMs > 2000 * this.heartbeatSeconds + 5000) {
      this.#connect();
    } else if (this.state === "closing" && silentMs > CLOSING_TIMEOUT_MS) {
      this.#retryLater(this.reason);
    }
  }

  async #connect() {
    this.close();
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#enter(this.#everConnected ? "reconnecting" : "connecting");
    let failure = "the server cannot be reached";
    let leastMs = 0;
    try {
      const response = await fetch(new URL(`events?${toQuery(this.#selectors)}&include=topics`, document.baseURI), {
        headers: { Accept: "text/event-stream", "Last-Event-ID": this.lastEventId ?? this.#start },
        cache: "no-store",
        signal: attempt.signal,
      });
      failure = "the connection was lost";
      if (attempt === this.#attempt) this.status = response.status;
      if (response.status === 200 && isEventStream(response)) {
        await this.#read(response.body, attempt);
      } else {
        failure = await rejection(response);
        if (attempt !== this.#attempt) return;
        if (response.status < 500 && response.status !== 200 && !WORTH_RETRYING.has(response.status)) return this.#reject(failure);
        leastMs = 1000 * (Number(response.headers.get("Retry-After")) || 0);
      }
    } catch (error) {
      if (!(error instanceof TypeError)) failure = error.message; // a TypeError is the network's
    }
    if (attempt === this.#attempt) this.#retryLater(this.state === "closing" ? this.reason : failure, leastMs);
  }

  // Take the blocks of a response until it ends; a later connection makes it stop.
  async #read(body, attempt) {
    const parser = new EventStreamParser();
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      for (const block of parser.receive(part.value)) {
        if (attempt !== this.#attempt) return;
        this.#take(block);
      }
    }
  }

  #retryLater(reason, leastMs = 0) {
    this.close();
    this.reason = reason;
    const backoffMs = Math.max(this.#retryMs, Math.min(this.#retryMs * 2 ** this.#failures, MAX_BACKOFF_MS));
    this.#failures += 1;
    const waitMs = Math.max(backoffMs, leastMs) * (1 + 0.25 * Math.random()); // jitter, so that not all pages come at once
    this.retryAt = performance.now() + waitMs;
    this.#timer = setTimeout(() => this.#connect(), Math.min(waitMs, MAX_TIMER_MS));
    this.#enter("waiting");
  }

  #reject(reason) {
    this.close();
    this.reason = reason;
    this.#enter("rejected");
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

  #take({ id, type, data, encoding, topics, retry }) {
    const heardBefore = this.lastHeard;
    this.lastHeard = performance.now();
    if (retry !== null) this.#retryMs = retry;
    if (id) this.lastEventId = id;
    if (data === null) return;
    if (Object.hasOwn(this.#controls, type)) this.#controls[type](parse(data), heardBefore);
    else this.#takeEvent({ id, type, data, encoding, topics });
  }

  // By type, the control frames of the server.
  #controls = {
    connected: (greeting, heardBefore) => {
      this.connectionId = greeting.connection_id ?? null;
      this.heartbeatSeconds = greeting.heartbeat_seconds ?? null;
      this.#head = greeting.head ?? null;
      this.#arrivals = [];
      this.#failures = 0;
      this.reason = "";
      if (this.#everConnected) {
        this.reconnects += 1;
        this.#handlers.resumed((performance.now() - heardBefore) / 1000);
      }
      this.#everConnected = true;
      this.#enter("connected");
    },
    heartbeat: () => {},
    "token-expiring": () => {},
    gap: (gap) => {
      if (gap.requested === this.#start) return; // the request was for more history than the log keeps: nothing is missing
      this.gaps += 1;
      this.#handlers.gap(gap);
      this.#handlers.state();
    },
    closing: ({ reason }) => {
      this.reason = closingText(reason);
      this.#handlers.closing(this.reason);
      this.#enter("closing");
    },
  };

  #takeEvent(event) {
    this.received += 1;
    if (!event.id || !this.#head || event.id > this.#head) {
      this.#arrivals.push(this.lastHeard);
      const sent = Number(event.id?.split("-")[0]);
      if (sent && this.#head) this.latencyMs = Date.now() - sent;
    }
    this.#handlers.event(event);
  }
}

const isEventStream = (response) => (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");

// Return the reason of a response that is no event stream: the detail of its problem (RFC 9457), if it has one.
async function rejection(response) {
  try {
    const problem = await response.json();
    if (typeof problem.detail === "string") return problem.detail;
  } catch {
    // not JSON: the response of a proxy
  }
  return response.status === 200 ? "the answer is no event stream" : `the server answered ${response.status}`;
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

function parse(text) {
  try {
    const fields = JSON.parse(text);
    return typeof fields === "object" && fields ? fields : {};
  } catch {
    return {};
  }
}
