/** The hook for any event stream. */

import { CONTROL_NAMES, type StreamEvent } from "../event.js";
import type { StreamFailure } from "../failure.js";
import { useStream, type HookStreamOptions } from "./store.js";

export interface SSEOptions<T = unknown> extends HookStreamOptions {
  /** Type of the events to take; by default all but the server's control frames. */
  event?: string;
  /** False: no connection. */
  enabled?: boolean;
  /** Read the data of an event; by default as JSON if it is JSON, as bytes if it was published as bytes, else as text. */
  parse?: (event: StreamEvent) => T;
}

export interface SSEResult<T> {
  /** The data of the last event; null before the first. A render may pass over events: `onEvent` is called with each. */
  readonly data: T | null;
  /** Why there is no connection; null while there is one. */
  readonly error: StreamFailure | null;
  readonly isConnected: boolean;
  /** Make a new connection now. Resolves when it is open. */
  readonly reconnect: () => Promise<void>;
}

/**
 * Use the last event of a stream.
 *
 * @param url of the stream, relative to the page; null or undefined: no connection.
 */
export function useSSE<T = unknown>(url: string | URL | null | undefined, options: SSEOptions<T> = {}): SSEResult<T> {
  const { event: type, enabled = true, parse = parseData as (event: StreamEvent) => T } = options;
  const { value, phase, error, reconnect } = useStream<T | null>((enabled && url) || null, null, {
    ...options,
    take: (data, event) => ((type ? event.type === type : !isControl(event)) ? parse(event) : data),
  });
  return { data: value, error, isConnected: phase === "open", reconnect };
}

function isControl({ id, type }: StreamEvent): boolean {
  return id === "" && (CONTROL_NAMES as readonly string[]).includes(type);
}

function parseData(event: StreamEvent): unknown {
  if (event.encoding) return event.bytes();
  try {
    return event.json();
  } catch {
    return event.data;
  }
}
