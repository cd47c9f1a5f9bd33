// The server's figures, polled every five seconds while the page is visible.

import * as format from "./format.js";

const PERIOD_MS = 5000;
const TIMEOUT_MS = 4000;
const FORBIDDEN = new Set([401, 403]);
const TRANSPORTS = { sse: "over SSE", websocket: "over WebSocket", poll: "by long polling" };

export class Server {
  #lastAnswer = null;
  #timer = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.ask());
  }

  // Poll now, then periodically. Returns the server's time in ms, from the Date header, or null.
  async ask() {
    clearTimeout(this.#timer);
    if (document.hidden) return null;
    this.#timer = setTimeout(() => this.ask(), PERIOD_MS);
    try {
      const response = await fetch(new URL("connections?limit=0", document.baseURI), { signal: AbortSignal.timeout(TIMEOUT_MS) });
      const time = Date.parse(response.headers.get("Date")) || null;
      if (FORBIDDEN.has(response.status)) {
        put("note", "for administrators");
        return time;
      }
      if (!response.ok) throw new Error(`status ${response.status}`);
      const answer = await response.json();
      this.#lastAnswer = Date.now();
      this.#show(answer);
      return time;
    } catch {
      this.#showSilence();
      return null;
    }
  }

  #show(answer) {
    put("note", "");
    put("connections", `${format.count(answer.active)} of at most ${format.count(answer.max_connections)}`);
    put("transports", parts(answer.by_transport, TRANSPORTS));
    put("health", parts(answer.by_health));
    put("average", format.duration(answer.average_connection_seconds));
    put("events", format.count(answer.events_sent));
    put("bytes", format.bytes(answer.bytes_sent));
    put("errors", format.count(answer.errors));
  }

  #showSilence() {
    put("note", this.#lastAnswer ? `no answer since ${format.clock(this.#lastAnswer)}` : "no answer");
  }
}

function put(name, text) {
  document.getElementById(`server-${name}`).textContent = text;
}

// Write the non-zero counts, largest first: "3 over SSE, 1 over WebSocket".
function parts(counts = {}, names = {}) {
  const present = Object.entries(counts).filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
  return present.map(([name, number]) => `${format.count(number)} ${names[name] ?? name}`).join(", ") || "none";
}
