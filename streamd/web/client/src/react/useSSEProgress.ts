/** The hook for the progress of a task, by default an analysis of the brand monitor. */

import { parseFields } from "../event.js";
import type { StreamFailure } from "../failure.js";
import { TaskError, isLast, mergeFields, type TaskFields, type TaskStatus, type TaskStep } from "../tasks/snapshot.js";
import { urlOf, useStream, type HookStreamOptions } from "./store.js";

/** The fields of all messages so far, the last value of each. */
export interface ProgressFields<R = unknown> {
  readonly taskId: string;
  readonly status: TaskStatus;
  /** 0 to 100. */
  readonly progress: number;
  readonly message: string;
  /** Name of the current stage of an analysis. */
  readonly stage?: string;
  /** Estimated time to the end (s); null if unknown. */
  readonly eta_seconds: number | null;
  /** RFC 3339. */
  readonly timestamp: string;
  /** Of a completed task; absent if it is too large for a message. */
  readonly result?: R;
  /** Where a result is that is too large for a message. */
  readonly resultUrl?: string;
  readonly educational_content?: unknown;
  /** The steps of a task, as they are now; an analysis has none. */
  readonly step_list?: readonly TaskStep[];
  readonly [field: string]: unknown;
}

type StreamOption = "headers" | "credentials" | "fetch" | "openWhenHidden" | "connectMs" | "silenceMs" | "transports";

export interface SSEProgressOptions<R = unknown> extends Pick<HookStreamOptions, StreamOption> {
  /** False: a connection that is lost stays lost, until `reconnect()`. */
  autoReconnect?: boolean;
  /** Attempts in succession to reconnect, before giving up; 3 by default. */
  maxReconnectAttempts?: number;
  /** Wait before each of them (ms); 2,000 by default. The server may ask for a longer one. */
  reconnectDelay?: number;
  onProgress?: (progress: ProgressFields<R>) => void;
  /** Called with the task's own error, and with each failure of the connection. */
  onError?: (error: TaskError | StreamFailure) => void;
  onConnect?: () => void;
  onDisconnect?: () => void;
  /** The server's address; by default the root of the page's. */
  baseUrl?: string | URL;
  /** The path of the stream of another service, such as `(id) => "/tasks/" + id + "/events"`. */
  path?: (taskId: string) => string;
}

export interface SSEProgressResult<R> {
  /** Null before the first message. */
  readonly progress: ProgressFields<R> | null;
  /** A TaskError if the task failed, a StreamFailure while there is no connection to the server; else null. */
  readonly error: TaskError | StreamFailure | null;
  readonly isConnected: boolean;
  /** Make a new connection now. */
  readonly reconnect: () => Promise<void>;
  /** Close the connection, until `reconnect()`. */
  readonly disconnect: () => void;
}

/**
 * Use the progress of a task. The connection ends with the task.
 *
 * @param taskId null or undefined: no connection.
 */
export function useSSEProgress<R = unknown>(taskId: string | null | undefined, options: SSEProgressOptions<R> = {}): SSEProgressResult<R> {
  const { autoReconnect = true, maxReconnectAttempts = 3, reconnectDelay = 2000, baseUrl, path = brandMonitorPath } = options;
  const url = taskId ? urlOf(baseUrl, path(taskId)) : null;
  const { value, phase, error, reconnect, disconnect } = useStream<TaskFields | null, TaskError | StreamFailure>(url, null, {
    ...options,
    snapshots: true,
    maxAttempts: autoReconnect ? maxReconnectAttempts + 1 : 1,
    backoff: { minMs: reconnectDelay, baseMs: 0 },
    take(fields, { type, data }) {
      const news = parseFields(data);
      return type === "error" || "status" in news ? mergeFields(fields, news, type) : fields; // or a control frame
    },
    onChange(state, before, store) {
      const isConnected = state.phase === "open";
      if (isConnected !== (before.phase === "open")) options[isConnected ? "onConnect" : "onDisconnect"]?.();
      if (state.error && state.error !== before.error) options.onError?.(state.error);
      if (!state.value || state.value === before.value) return;
      options.onProgress?.(state.value as unknown as ProgressFields<R>);
      if (!isLast(state.value)) return;
      store.disconnect();
      if (state.value.status !== "completed") store.set({ error: new TaskError(state.value) });
    },
  });
  return { progress: value as unknown as ProgressFields<R> | null, error, isConnected: phase === "open", reconnect, disconnect };
}

function brandMonitorPath(taskId: string): string {
  return `/api/brand-monitor/progress/${encodeURIComponent(taskId)}`;
}
