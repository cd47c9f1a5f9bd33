/** Handlers of events, by type. */

import type { StreamEvent } from "./event.js";

export type EventHandler = (event: StreamEvent) => void;

/** Calls handlers. One that throws does not keep the others, or the stream, from working. */
export class EventEmitter {
  #handlers = new Map<string | null, Set<EventHandler>>();

  /** The handlers of one type of event; those of null are called with all events. */
  of(type: string | null): Set<EventHandler> {
    let handlers = this.#handlers.get(type);
    if (!handlers) this.#handlers.set(type, (handlers = new Set()));
    return handlers;
  }

  emit(event: StreamEvent): void {
    for (const type of [null, event.type]) callAll(this.#handlers.get(type), event);
  }
}

/** Call functions of the application; report what they throw as uncaught errors. */
export function callAll<T>(calls: Iterable<(argument: T) => void> | undefined, argument: T): void {
  for (const call of [...(calls ?? [])]) {
    try {
      call(argument);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
