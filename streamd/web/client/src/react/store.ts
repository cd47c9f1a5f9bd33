/** A stream as an external store of React. */

import { useInsertionEffect, useMemo, useSyncExternalStore } from "react";

import type { StreamEvent } from "../event.js";
import type { StreamFailure } from "../failure.js";
import type { Phase, StreamOptions } from "../options.js";
import { readHeaders } from "../send.js";
import { createStream, type EventStream } from "../stream.js";

/** The options of a stream that the hooks pass on: unmounting is their signal. */
export type HookStreamOptions = Omit<StreamOptions, "signal">;

/** What a hook knows about its stream, and has received from it. */
export interface HookState<V, E = StreamFailure> {
  readonly value: V;
  readonly phase: Phase;
  /** Why there is no connection, or the error of the task; null otherwise. */
  readonly error: E | null;
}

export interface StoreOptions<V, E> extends HookStreamOptions {
  /** Return the value after an event, the same one if the event changes nothing. */
  take: (value: V, event: StreamEvent) => V;
  /** Called after each change. */
  onChange?: (state: HookState<V, E>, before: HookState<V, E>, store: StreamStore<V, E>) => void;
}

/**
 * The state of a hook, and the stream that changes it.
 *
 * The stream is made at the first subscription, so that rendering opens nothing. It is closed a moment after the last
 * subscription has ended: StrictMode subscribes, unsubscribes and subscribes again at once, and must keep its connection.
 */
export class StreamStore<V, E> {
  /** Those of the last render. */
  options!: StoreOptions<V, E>;
  #url: string | URL | null;
  #state: HookState<V, E>;
  #stream: EventStream | undefined;
  #subscribers = new Set<() => void>();
  #isWanted = true;

  /** @param url of the stream; null: there is none. */
  constructor(url: string | URL | null, value: V) {
    this.#url = url;
    this.#state = { value, phase: "closed", error: null };
  }

  readonly subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    if (this.#isWanted) void this.#open()?.connect();
    return () => {
      this.#subscribers.delete(subscriber);
      queueMicrotask(() => this.#subscribers.size || this.#stream?.disconnect());
    };
  };

  readonly getState = (): HookState<V, E> => this.#state;

  set(change: Partial<HookState<V, E>>): void {
    const before = this.#state;
    this.#state = { ...before, ...change };
    for (const notify of this.#subscribers) notify();
    this.options.onChange?.(this.#state, before, this);
  }

  /** Make a new connection now. Without a stream nothing happens. */
  readonly reconnect = async (): Promise<void> => {
    this.#isWanted = true;
    await this.#open()?.reconnect();
  };

  /** Close the stream, until `reconnect()`. */
  readonly disconnect = (): void => {
    this.#isWanted = false;
    this.#stream?.disconnect();
  };

  #open(): EventStream | undefined {
    if (this.#url !== null) {
      this.#stream ??= createStream(this.#url, {
        ...this.options,
        headers: () => readHeaders(this.options.headers),
        onEvent: (event) => {
          const value = this.options.take(this.#state.value, event);
          if (value !== this.#state.value) this.set({ value });
          this.options.onEvent?.(event);
        },
        onState: (state) => {
          this.set({ phase: state.phase, error: state.failure as E | null });
          this.options.onState?.(state);
        },
      });
    }
    return this.#stream;
  }
}

/** Names of the options that make another request; the others apply from the next connection on, callbacks at once. */
const REQUEST = ["topics", "patterns", "method", "body", "credentials", "after"];

/**
 * Use a stream: return its state, and the functions that control it. Another request is another stream.
 *
 * @param url of the stream; null: there is none.
 * @param value before the first event.
 */
export function useStream<V, E = StreamFailure>(
  url: string | URL | null,
  value: V,
  options: StoreOptions<V, E>,
): HookState<V, E> & Pick<StreamStore<V, E>, "reconnect" | "disconnect"> {
  const store = useMemo(() => new StreamStore<V, E>(url, value), [JSON.stringify([url, options], REQUEST)]);
  useInsertionEffect(() => void (store.options = options));
  const { reconnect, disconnect, subscribe, getState } = store;
  return { ...useSyncExternalStore(subscribe, getState, getState), reconnect, disconnect };
}

/** Return the URL of a path of a server, by default of the page's. */
export function urlOf(baseUrl: string | URL = "", path: string): string {
  return String(baseUrl).replace(/\/$/, "") + path;
}
