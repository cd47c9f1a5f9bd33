/** A stream against a scripted server, on a virtual clock. */

import { afterEach, beforeEach, vi } from "vitest";

import { createStream, type StreamEvent, type StreamOptions, type StreamState } from "../../src/index.js";
import { ScriptedServer } from "./scripted.js";

export const START = Date.parse("2026-01-01T12:00:00Z");
export const PATH = "/events";

/** The server of the present test; its streams are quiet until a test sends something. */
export let server: ScriptedServer;

/** Use a virtual clock, waits without jitter (the longest ones), and a new server in each test of a file. */
export function useVirtualServer(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    vi.spyOn(Math, "random").mockReturnValue(1);
    server = new ScriptedServer().stream(PATH, () => {});
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

export async function pass(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

/** A stream, and what its handlers have seen. */
export function open(options: StreamOptions = {}) {
  const events: StreamEvent[] = [];
  const states: StreamState[] = [];
  const stream = createStream(`http://streamd.test${PATH}`, {
    fetch: server.fetch as typeof fetch,
    onEvent: (event) => events.push(event),
    onState: (state) => states.push(state),
    ...options,
  });
  return { stream, events, states, connected: outcome(stream.connect()), data: () => events.map((event) => event.data) };
}

/** What a promise has come to. */
export function outcome<T>(promise: Promise<T>): { value?: T; error?: Error } {
  const settled: { value?: T; error?: Error } = {};
  promise.then(
    (value) => (settled.value = value),
    (error: Error) => (settled.error = error),
  );
  return settled;
}

/** An id of streamd. */
export function id(number: number): string {
  return `${String(START + number)}-${String(number).padStart(6, "0")}`;
}

/** When requests were made (ms since the start of the test). */
export function recordTimes(): number[] {
  const times: number[] = [];
  const { fetch } = server;
  Object.assign(server, {
    fetch: (...args: Parameters<typeof fetch>) => {
      times.push(Date.now() - START);
      return fetch(...args);
    },
  });
  return times;
}
