/** The events that a `for await` loop has not taken yet. */

import type { StreamEvent } from "./event.js";

const READ_AHEAD_EVENTS = 1000; // then the transport stops reading, which pushes back to the server

/** A queue between a stream and one loop over its events. */
export class EventQueue {
  #events: (StreamEvent | null)[] = [];
  #failure: Error | null = null;
  #changed = () => {}; // wakes the loop, or the transport that waits for the loop

  /** Add an event; null is the end. */
  push(event: StreamEvent | null, failure: Error | null = null): void {
    this.#events.push(event);
    this.#failure = failure;
    this.#changed();
  }

  /** Wait until the loop is not far behind. */
  async ready(): Promise<void> {
    while (this.#events.length > READ_AHEAD_EVENTS) await this.#change();
  }

  /** Wait for the next event; null at the end. Throws the failure that has ended the stream. */
  async next(): Promise<StreamEvent | null> {
    while (this.#events.length === 0) await this.#change();
    const event = this.#events.shift()!;
    this.#changed();
    if (event === null && this.#failure) throw this.#failure;
    return event;
  }

  /** Drop the events: the loop was left. */
  stop(): void {
    this.#events = [];
    this.#changed();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#changed = resolve));
  }
}
