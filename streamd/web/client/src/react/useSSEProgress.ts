/** The hook for the progress of a task, by default an analysis of the brand monitor. */

import { parseFields } from "../event.js";
import type { StreamFailure } from "../failure.js";
import { TaskError, isEnded, updateSteps, type TaskStatus, type TaskStep } from "../tasks/snapshot.js";
import { makeStream, useLatest, useStreamStore, type HookStreamOptions } from "./store.js";

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

type State<R> = Omit<SSEProgressResult<R>, "reconnect" | "disconnect">;

const INITIAL: State<never> = { progress: null, error: null, isConnected: false };

/**
 * Use the progress of a task. The connection ends with the task.
 *
 * @param taskId null or undefined: no connection.
 */
export function useSSEProgress<R = unknown>(taskId: string | null | undefined, options: SSEProgressOptions<R> = {}): SSEProgressResult<R> {
  const latest = useLatest(options);
  const { baseUrl = "", path = brandMonitorPath } = options;
  const url = taskId ? String(baseUrl).replace(/\/$/, "") + path(taskId) : null;
  const [state, store] = useStreamStore<State<R>>(url, INITIAL, (store) => {
    const { autoReconnect = true, maxReconnectAttempts = 3, reconnectDelay = 2000 } = latest.current;
    const maxAttempts = autoReconnect ? maxReconnectAttempts + 1 : 1;
    let hasEnded = false;

    function end(error: TaskError | null): void {
      hasEnded = true;
      store.set({ error });
      store.disconnect();
      if (error) latest.current.onError?.(error);
    }

    function take(type: string, data: string): void {
      const news = parseFields(data);
      const before = store.getSnapshot().progress;
      const steps = (news["step_list"] as TaskStep[] | undefined) ?? before?.step_list;
      const fields = { ...before, ...news, ...(steps && { step_list: updateSteps(steps, news) }) } as ProgressFields<R>;
      if (type !== "error" && !("status" in news)) return; // a control frame
      if (type === "error" || fields.status === "failed" || fields.status === "cancelled") {
        const { status = "failed", code = "", error: detail = fields.message } = fields;
        end(new TaskError(status, { code: String(code), detail: String(detail) }));
        return;
      }
      store.set({ progress: fields });
      latest.current.onProgress?.(fields);
      if (isEnded(fields.status) && !news["snapshot"]) end(null);
    }

    const fixed = { snapshots: true, maxAttempts, backoff: { minMs: reconnectDelay, baseMs: 0 } };
    return makeStream(
      url!,
      latest as { current: HookStreamOptions },
      fixed,
      ({ type, data }) => hasEnded || take(type, data),
      ({ phase, failure }) => {
        const before = store.getSnapshot();
        const isConnected = phase === "open";
        store.set({ isConnected, ...(!hasEnded && { error: failure }) });
        if (isConnected !== before.isConnected) latest.current[isConnected ? "onConnect" : "onDisconnect"]?.();
        if (failure && failure !== before.error && !hasEnded) latest.current.onError?.(failure);
      },
    );
  });
  return { ...state, reconnect: store.reconnect, disconnect: store.disconnect };
}

function brandMonitorPath(taskId: string): string {
  return `/api/brand-monitor/progress/${encodeURIComponent(taskId)}`;
}
