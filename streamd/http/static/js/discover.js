// Events of types nobody told the page about.
//
// A native EventSource drops events whose type has no listener, without a trace. The server knows how many events it
// sent on our connection; when it is more than we saw, a long-poll tells the missing ones and their types, and from then
// on they arrive by themselves.

import { toQuery } from "./selection.js";

const MAX_PAGES = 4; // the list shows no more than these hold anyway

export class Discovery {
  #stream;
  #onEvent;
  #selection = null;
  #after = null;
  #explained = 0; // events the server counts that are none of ours to see
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

  // Compare with the server's figures of our own connection.
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
      // The stream's own state tells that the server is away; the next check tries again.
    } finally {
      this.#busy = false;
    }
  }

  async #catchUp() {
    const selection = this.#selection;
    const fresh = new Set(); // types learnt in this round: their earlier events were not delivered
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const query = `${toQuery(selection)}&after=${this.#after}&wait=0`;
      const response = await fetch(new URL(`events/poll?${query}`, document.baseURI));
      if (!response.ok) throw new Error(`status ${response.status}`);
      const answer = await response.json();
      if (selection !== this.#selection) return; // the reader went on to something else
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
