// The state and the counters of the stream.

import * as format from "./format.js";

const STATES = {
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  waiting: "Disconnected",
  closing: "Closing",
  rejected: "Rejected",
};

export class StreamPanel {
  #stream;
  #protocol = null;

  constructor(stream) {
    this.#stream = stream;
    // A stream has no timing entry before it ends: show the protocol of this page's other requests.
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => this.#noteProtocol(entry)))
      .observe({ type: "resource", buffered: true });
    performance.getEntriesByType("navigation").forEach((entry) => this.#noteProtocol(entry));
  }

  showState() {
    const { state } = this.#stream;
    const element = document.getElementById("state");
    element.dataset.state = state;
    setText(element, STATES[state]);
    document.body.dataset.state = state;
    document.title = state === "connected" ? "streamd" : `${STATES[state].toLowerCase()} · streamd`;
    this.showFigures();
  }

  showFigures() {
    const stream = this.#stream;
    put("state-detail", this.#detail());
    put("protocol", format.transport(stream.transport, this.#protocol));
    putId("connection-id", stream.connectionId);
    putId("last-event-id", stream.lastEventId);
    put("received-count", format.count(stream.received));
    put("event-rate", format.rate(stream.state === "connected" ? stream.rate : null));
    put("last-heard", stream.lastHeard ? `${format.duration((performance.now() - stream.lastHeard) / 1000)} ago` : "–");
    put("latency", format.latency(stream.latencyMs));
    put("reconnect-count", format.count(stream.reconnects));
    put("gap-count", format.count(stream.gaps));
    document.getElementById("gap-count").toggleAttribute("data-warn", stream.gaps > 0);
  }

  #detail() {
    const { state, reason, stateSince, retryAt } = this.#stream;
    const seconds = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
    if (state === "connected") return `since ${format.clock(stateSince)}`;
    if (state === "waiting" && retryAt !== null) return `${reason}, retry in ${seconds}\u00a0s`;
    if (state === "connecting") return "";
    return reason || `since ${format.clock(stateSince)}`;
  }

  #noteProtocol(entry) {
    if (entry.nextHopProtocol) this.#protocol = entry.nextHopProtocol;
  }
}

function put(id, text) {
  setText(document.getElementById(id), text);
}

// An id stays on one line. A narrow screen cuts it off, and its title has all of it.
function putId(id, text) {
  put(id, text ?? "–");
  document.getElementById(id).title = text ?? "";
}

// Write changes only: otherwise a live region is announced again, and a text selection is lost.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
