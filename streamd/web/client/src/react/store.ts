/** A stream as an external store of React. */

import { useInsertionEffect, useMemo, useRef, useSyncExternalStore, type RefObject } from "react";

import type { StreamEvent } from "../event.js";
import type { Phase, StreamOptions, StreamState } from "../options.js";
import { readHeaders } from "../send.js";
import { createStream, type EventStream } from "../stream.js";

/** The options of a stream that the hooks pass on: unmounting is their signal. */
export type HookStreamOptions = Omit<StreamOptions, "signal">;

export type ConnectionStatus = "disconnected" | "connecting" | "connected";

/** Return the status of a connection in a stream's phase; a stream that waits for its next attempt is connecting. */
export function statusOf(phase: Phase): ConnectionStatus {
  return phase === "open" ? "connected" : phase === "closed" ? "disconnected" : "connecting";
}

/**
 * The state of a hook, and the stream that changes it.
 *
 * The stream is made at the first subscription, so that rendering opens nothing. It is closed a moment after the last
 * subscription has ended: StrictMode subscribes, unsubscribes and subscribes again at once, and must keep its connection.
 */
export class StreamStore<S> {
  #initial: S;
  #state: S;
  #make: ((store: StreamStore<S>) => EventStream) | null;
  #stream: EventStream | null = null;
  #subscribers = new Set<() => void>();
  #isWanted = true;

  /** @param make makes the stream; null: there is none. */
  constructor(initial: S, make: ((store: StreamStore<S>) => EventStream) | null) {
    this.#initial = this.#state = initial;
    this.#make = make;
  }

  readonly subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    if (this.#isWanted) void this.#open()?.connect();
    return () => {
      this.#subscribers.delete(subscriber);
      queueMicrotask(() => this.#subscribers.size > 0 || this.#stream?.disconnect());
    };
  };

  readonly getSnapshot = (): S => this.#state;

  readonly getServerSnapshot = (): S => this.#initial;

  set(change: Partial<S>): void {
    this.#state = { ...this.#state, ...change };
    for (const notify of this.#subscribers) notify();
  }

  /** Make a new connection now. Without a stream nothing happens. */
  readonly reconnect = (): Promise<void> => {
    this.#isWanted = true;
    return this.#open()?.reconnect() ?? Promise.resolve();
  };

  /** Close the stream, until `reconnect()`. */
  readonly disconnect = (): void => {
    this.#isWanted = false;
    this.#stream?.disconnect();
  };

  #open(): EventStream | null {
    return (this.#stream ??= this.#make?.(this) ?? null);
  }
}

/**
 * Use the store of one stream.
 *
 * @param key of the stream, a new key makes a new one; null: there is no stream.
 * @param make makes the stream of a key.
 */
export function useStreamStore<S>(key: string | null, initial: S, make: (store: StreamStore<S>) => EventStream): [S, StreamStore<S>] {
  const store = useMemo(() => new StreamStore(initial, key === null ? null : make), [key]);
  return [useSyncExternalStore(store.subscribe, store.getSnapshot, store.getServerSnapshot), store];
}

/** Keep the value of the last render, for callbacks that outlive theirs. */
export function useLatest<T>(value: T): RefObject<T> {
  const latest = useRef(value);
  useInsertionEffect(() => void (latest.current = value));
  return latest;
}

/** Names of the options that make another request; the others apply from the next connection on, callbacks at once. */
const REQUEST = ["topics", "patterns", "method", "body", "credentials", "after"];

/** Return the key of a request. */
export function keyOf(url: string | URL, options: HookStreamOptions): string {
  return JSON.stringify([url, options], REQUEST);
}

/** Make a stream whose headers and callbacks are those of the last render. */
export function makeStream(
  url: string | URL,
  latest: RefObject<HookStreamOptions>,
  fixed: Pick<StreamOptions, "snapshots" | "maxAttempts" | "backoff">,
  onEvent: (event: StreamEvent) => void,
  onState: (state: StreamState) => void,
): EventStream {
  return createStream(url, {
    ...latest.current,
    ...fixed,
    headers: () => readHeaders(latest.current.headers),
    onEvent: (event) => {
      onEvent(event);
      latest.current.onEvent?.(event);
    },
    onState: (state) => {
      onState(state);
      latest.current.onState?.(state);
    },
  });
}
