/** Handlers of events, by type. */

import type { StreamEvent } from "./event.js";

export type EventHandler = (event: StreamEvent) => void;

type HandlerArguments = [EventHandler] | [string, EventHandler];

/** Calls handlers. One that throws does not keep the others, or the stream, from working. */
export class EventEmitter {
  #handlers = new Map<string, Set<EventHandler>>(); // those of all events under the empty type, which no event has

  /** Call a handler with each event of a type; without a type, with all of them, control frames included. */
  on(handler: EventHandler): this;
  on(type: string, handler: EventHandler): this;
  on(...args: HandlerArguments): this {
    this.#of(args).add(args.pop() as EventHandler);
    return this;
  }

  off(handler: EventHandler): this;
  off(type: string, handler: EventHandler): this;
  off(...args: HandlerArguments): this {
    this.#of(args).delete(args.pop() as EventHandler);
    return this;
  }

  protected emit(event: StreamEvent): void {
    for (const type of ["", event.type]) callAll(this.#handlers.get(type) ?? [], event);
  }

  #of([type]: readonly unknown[]): Set<EventHandler> {
    const key = typeof type === "string" ? type : "";
    const handlers = this.#handlers.get(key) ?? new Set();
    this.#handlers.set(key, handlers);
    return handlers;
  }
}

/** Call functions of the application; report what they throw as uncaught errors. */
export function callAll<T>(calls: Iterable<(argument: T) => void>, argument: T): void {
  for (const call of [...calls]) {
    try {
      call(argument);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
