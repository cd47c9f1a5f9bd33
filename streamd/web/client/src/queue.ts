/** The events that a `for await` loop has not taken yet. */

const READ_AHEAD_EVENTS = 1000; // then the transport stops reading, which pushes back to the server

/**
 * The iterator of one loop. Unlike a generator's, its `return()` ends a `next()` that waits.
 */
export class EventQueue<T extends object> implements AsyncIterableIterator<T> {
  #events: T[] = [];
  #failure: Error | null | undefined; // set at the end of the stream
  #waiting: (() => void)[] = []; // calls of next(), and transports that wait for the loop
  #onReturn: () => void;

  /** @param onReturn called when the loop is left. */
  constructor(onReturn: () => void) {
    this.#onReturn = onReturn;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Add an event; return the number of those that are queued. */
  push(event: T): number {
    this.#wakeAll(); // they look at the queue after this call
    return this.#events.push(event);
  }

  /** End the loop after the events that are queued. */
  end(failure: Error | null): void {
    this.#failure = failure;
    this.#wakeAll();
  }

  /** Wait until the loop is not far behind. */
  async ready(): Promise<void> {
    while (this.#events.length > READ_AHEAD_EVENTS) await this.#change();
  }

  /** Wait for the next event. Throws the failure that has ended the stream. */
  async next(): Promise<IteratorResult<T, undefined>> {
    while (this.#events.length === 0 && this.#failure === undefined) await this.#change();
    const value = this.#events.shift();
    this.#wakeAll();
    if (value) return { done: false, value };
    if (this.#failure) throw this.#failure;
    return { done: true, value };
  }

  /** Leave the loop, and drop its events. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#onReturn();
    this.#events = [];
    this.end(null);
    return this.next();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
