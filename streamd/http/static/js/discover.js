// Discovery of event types that have no listener.
//
// A native EventSource silently drops events whose type has no listener. The server counts the events that it sent on
// this connection; if that is more than the page received, a long poll fetches the missing ones with their types, and
// listeners are added for these.

import { toQuery } from "./selection.js";

const MAX_PAGES = 4; // more would not fit into the list

export class Discovery {
  #stream;
  #onEvent;
  #selection = null;
  #after = null;
  #explained = 0; // events in the server's count that the page never receives
  #connectionId = null;
  #busy = false;

  constructor(stream, onEvent) {
    this.#stream = stream;
    this.#onEvent = onEvent;
  }

  reset(selection, after) {
    this.#selection = selection;
    this.#after = after;
  }

  // Compare with the server's counters of this connection.
  async check(connections = []) {
    const own = connections.find((connection) => connection.id === this.#stream.connectionId);
    if (!own || this.#busy || !this.#selection) return;
    if (this.#connectionId !== own.id) this.#explained = 0;
    this.#connectionId = own.id;
    const missing = () => own.events_sent - this.#stream.receivedOnConnection - this.#explained;
    if (missing() <= 0) return;
    this.#busy = true;
    try {
      await this.#catchUp();
      this.#explained += Math.max(0, missing());
    } catch {
      // The stream's state shows that the server is unreachable; the next check tries again.
    } finally {
      this.#busy = false;
    }
  }

  async #catchUp() {
    const selection = this.#selection;
    const fresh = new Set(); // types found in this round: their earlier events were not delivered
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const query = `${toQuery(selection)}&after=${this.#after}&wait=0`;
      const response = await fetch(new URL(`events/poll?${query}`, document.baseURI));
      if (!response.ok) throw new Error(`status ${response.status}`);
      const answer = await response.json();
      if (selection !== this.#selection) return; // the selection changed meanwhile
      for (const event of answer.events) {
        if (!this.#stream.knows(event.type)) {
          this.#stream.learn(event.type);
          fresh.add(event.type);
        }
        if (fresh.has(event.type)) this.#onEvent(event);
      }
      this.#after = answer.next;
      if (!answer.events.length) return;
    }
  }
}
