/** A task that is followed to its end, by its stream or by asking for its status. */

import { TIMER_MS_MAX, backoffMs, retryAfterMs } from "../backoff.js";
import { callAll } from "../emitter.js";
import { parseFields } from "../event.js";
import { StreamFailure, asFailure } from "../failure.js";
import { SSE_ONLY, withDefaults, type StreamOptions } from "../options.js";
import { resolveUrl } from "../page.js";
import { sendRequest } from "../send.js";
import { createStream } from "../stream.js";
import { TaskError, isLast, mergeFields, type TaskNews, type TaskSnapshot } from "./snapshot.js";

type FollowOption = "headers" | "credentials" | "signal" | "backoff" | "connectMs" | "silenceMs" | "openWhenHidden" | "fetch";

export interface TaskOptions extends Pick<StreamOptions, FollowOption> {
  /** The server's address; by default the root of the page's. */
  baseUrl?: string | URL;
  /** The stream, relative to the server's address; by default `/tasks/{id}/events`. A service's answer names it. */
  eventsUrl?: string;
  /** By default `/tasks/{id}`. */
  statusUrl?: string;
  /** By default `/tasks/{id}/result`. */
  resultUrl?: string;
  /** By default `/tasks/{id}/cancel`. */
  cancelUrl?: string;
  /** The task's deadline (RFC 3339), if it is known before the first message. */
  deadline?: string;
  /** Attempts in succession to open the stream, before the status is asked; 3 by default. */
  maxAttempts?: number;
  /** Called with each snapshot, as by `onSnapshot(listener)`; follows the task at once. */
  onSnapshot?: (snapshot: TaskSnapshot) => void;
}

const FIRST_BLOCK_MS = 5000; // a proxy that withholds the first block will withhold the others
const STREAM_ATTEMPTS = 3;
const POLL_MS = 3000; // where the server suggests no interval
const LATE_MS = 5000; // after the deadline the server needs a moment to let the task fail
const LATE_POLLS = 3; // this computer may have been asleep, and its network not be back yet

/**
 * Make the client's side of a task that exists. It follows the task from the first use of `onSnapshot`, `result` or
 * `for await` on, to the end of the task or `close()`.
 *
 * @param id of the task; also a service's own name for it, such as `researchSessionId`.
 * @param options of the requests; the answer of a service that started the task has the URLs.
 */
export function task(id: string, options: TaskOptions = {}): Task {
  return new Task(id, options);
}

/**
 * The client's side of a task. Made by {@link task}.
 *
 * Theory of operation: rounds, until the task has ended. In each round a stream, which begins with the present state, runs
 * until some attempts in succession have failed; then one question for the status decides, whose answer is either the state,
 * or that there is no such task for this caller, or nothing. If the server answers, but nothing arrived by the stream, the
 * next rounds only ask.
 *
 * Only the task's end, the server's word that there is no such task for this caller, or the deadline ends the rounds.
 */
export class Task implements AsyncIterable<TaskSnapshot> {
  readonly id: string;
  #options: TaskOptions;
  #snapshot: TaskSnapshot | null = null;
  #listeners = new Set<(snapshot: TaskSnapshot) => void>();
  #loops: (() => void)[] = []; // wake the loops that wait for a change
  #over = new AbortController(); // aborted at the end, with the failure if it cannot be known
  #isFollowed = false;
  #skewMs: number | undefined; // upper bound of what this computer's clock is ahead of the server's
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: string, options: TaskOptions) {
    this.id = id;
    this.#options = options;
    const { signal, onSnapshot } = options;
    if (signal?.aborted) this.close();
    signal?.addEventListener("abort", () => this.close(), { signal: this.#over.signal });
    if (onSnapshot) this.onSnapshot(onSnapshot);
  }

  /** The last known state; null before the first answer. */
  get snapshot(): TaskSnapshot | null {
    return this.#snapshot;
  }

  /** Call a listener with each snapshot from now on; returns a function that removes it. */
  onSnapshot(listener: (snapshot: TaskSnapshot) => void): () => void {
    this.#listeners.add(listener);
    this.#start();
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Wait for the end of the task, and return its result.
   *
   * Rejects with a TaskError if the task failed or was cancelled, and with a StreamFailure if its end cannot be known, or a
   * result that is too large for a message cannot be fetched: call it again to try again.
   */
  async result<T = unknown>(): Promise<T> {
    let snapshot!: TaskSnapshot;
    for await (snapshot of this) continue;
    if (snapshot.status !== "completed") throw new TaskError(snapshot);
    const { result = (await this.#ask("result")).value } = snapshot.fields;
    return result as T;
  }

  /**
   * Cancel the task, and return its last state.
   *
   * Rejects with a StreamFailure; its status is 409 if the task has ended before. Without an answer, the task may be cancelled
   * or not.
   *
   * @param message the reason, for the followers of the task.
   */
  async cancel(message = ""): Promise<TaskSnapshot> {
    this.#take((await this.#ask("cancel", { message })).value);
    return this.#snapshot!;
  }

  /** Follow the task no more; the task goes on. */
  close(): void {
    this.#finish(new StreamFailure("the task was closed", { code: "closed" }));
  }

  /**
   * Iterate over the snapshots, to the last one; a slow loop skips those that are out of date. Throws a StreamFailure if the
   * end cannot be known. Leaving the loop does not close the task.
   */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<TaskSnapshot> {
    this.#start();
    let last: TaskSnapshot | null = null;
    for (;;) {
      if (this.#snapshot !== last) yield (last = this.#snapshot!);
      else if (!this.#isOver) await new Promise<void>((resolve) => this.#loops.push(resolve));
      else if (this.#over.signal.reason) throw this.#over.signal.reason;
      else return;
    }
  }

  // --- following ----------------------------------------------------------------------------------

  get #isOver(): boolean {
    return this.#over.signal.aborted;
  }

  #url(name: "events" | "status" | "result" | "cancel"): URL {
    const base = resolveUrl(String(this.#options.baseUrl ?? "/").replace(/\/?$/, "/"));
    const path = `tasks/${encodeURIComponent(this.id)}`;
    return new URL(this.#options[`${name}Url`] ?? (name === "status" ? path : `${path}/${name}`), base);
  }

  /** Ask the server; return its answer, and the wait that it suggests (ms). */
  async #ask(name: "status" | "result" | "cancel", body?: object): Promise<{ value: TaskNews; waitMs: number }> {
    try {
      const response = await sendRequest(this.#url(name), withDefaults(this.#options), body);
      return { value: (await response.json()) as TaskNews, waitMs: retryAfterMs(response.headers.get("Retry-After")) };
    } catch (error) {
      throw asFailure(error);
    }
  }

  #start(): void {
    if (!this.#isFollowed && !this.#isOver) void this.#follow();
    this.#isFollowed = true;
  }

  async #follow(): Promise<void> {
    let streams = true;
    let failures = 0; // polls in succession
    let latePolls = 0;
    for (;;) {
      if (streams && this.#leftMs > 0) streams = await this.#listen();
      if (this.#isOver) return;
      let leastMs;
      try {
        const { value, waitMs } = await this.#ask("status");
        this.#take(value);
        leastMs = waitMs || POLL_MS;
        failures = 0;
      } catch (error) {
        const failure = error as StreamFailure;
        // What has no problem's code may be a proxy's word, which counts only as long as no deadline is known.
        if (failure.fatal && (failure.code || !this.#deadline)) this.#finish(failure);
        leastMs = failure.retryAfterMs;
        streams = true;
        failures += 1;
      }
      if (this.#leftMs <= 0 && ++latePolls >= LATE_POLLS) {
        this.#finish(new StreamFailure(`no end is known after the deadline ${this.#deadline}`, { code: "deadline", fatal: true }));
      }
      await new Promise<void>((resolve) => this.#later(backoffMs(failures - 1, leastMs, this.#options.backoff), resolve));
    }
  }

  /** Follow the stream until it gives up, or is over; return true if it has brought something. */
  async #listen(): Promise<boolean> {
    const stream = createStream(this.#url("events"), {
      ...this.#options,
      maxAttempts: this.#options.maxAttempts ?? STREAM_ATTEMPTS,
      snapshots: true,
      transports: { ...SSE_ONLY, firstBlockMs: FIRST_BLOCK_MS },
      signal: this.#over.signal,
    });
    const watchDeadline = () => this.#later(this.#leftMs, () => stream.disconnect());
    watchDeadline();
    let heard = false;
    try {
      for await (const { type, data } of stream) {
        heard = true;
        this.#take(parseFields(data), type);
        watchDeadline();
      }
    } catch {
      // the status decides
    }
    return heard;
  }

  /** Call a function later, in place of the one before; never after the end. */
  #later(waitMs: number, call: () => void): void {
    clearTimeout(this.#timer);
    if (!this.#isOver) this.#timer = setTimeout(call, Math.min(waitMs, TIMER_MS_MAX));
  }

  /** Take an answer, or a message of the stream. */
  #take(news: TaskNews, type = ""): void {
    if (this.#isOver) return;
    const time = Date.parse(String(news["timestamp"] ?? news["updated_at"]));
    if (time) this.#skewMs = Math.min(this.#skewMs ?? Infinity, Date.now() - time);
    const fields = mergeFields(this.#snapshot?.fields ?? null, news, type);
    const snapshot = (this.#snapshot = { ...fields, id: this.id, fields });
    callAll(this.#listeners, snapshot);
    if (isLast(fields)) this.#finish(null);
    this.#wakeLoops();
  }

  #finish(failure: StreamFailure | null): void {
    clearTimeout(this.#timer);
    this.#over.abort(failure);
    this.#wakeLoops();
  }

  #wakeLoops(): void {
    for (const wake of this.#loops.splice(0)) wake();
  }

  get #deadline(): string | undefined {
    return this.#snapshot?.deadline ?? this.#options.deadline;
  }

  /** Time that the task has left (ms), by the server's clock as far as it is known: never too short. */
  get #leftMs(): number {
    return (Date.parse(String(this.#deadline)) || Infinity) + (this.#skewMs ?? 0) + LATE_MS - Date.now();
  }
}
