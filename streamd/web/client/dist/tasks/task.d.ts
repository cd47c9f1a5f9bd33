/** A task that is followed to its end, by its stream or by asking for its status. */
import { type StreamOptions } from "../options.js";
import { type TaskSnapshot } from "./snapshot.js";
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
/**
 * Make the client's side of a task that exists. It follows the task from the first use of `onSnapshot`, `result` or
 * `for await` on, to the end of the task or `close()`.
 *
 * @param id of the task; also a service's own name for it, such as `researchSessionId`.
 * @param options of the requests; the answer of a service that started the task has the URLs.
 */
export declare function task(id: string, options?: TaskOptions): Task;
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
export declare class Task implements AsyncIterable<TaskSnapshot> {
    #private;
    readonly id: string;
    constructor(id: string, options: TaskOptions);
    /** The last known state; null before the first answer. */
    get snapshot(): TaskSnapshot | null;
    /** Call a listener with each snapshot from now on; returns a function that removes it. */
    onSnapshot(listener: (snapshot: TaskSnapshot) => void): () => void;
    /**
     * Wait for the end of the task, and return its result.
     *
     * Rejects with a TaskError if the task failed or was cancelled, and with a StreamFailure if its end cannot be known, or a
     * result that is too large for a message cannot be fetched: call it again to try again.
     */
    result<T = unknown>(): Promise<T>;
    /**
     * Cancel the task, and return its last state.
     *
     * Rejects with a StreamFailure; its status is 409 if the task has ended before. Without an answer, the task may be cancelled
     * or not.
     *
     * @param message the reason, for the followers of the task.
     */
    cancel(message?: string): Promise<TaskSnapshot>;
    /** Follow the task no more; the task goes on. */
    close(): void;
    /**
     * Iterate over the snapshots, to the last one; a slow loop skips those that are out of date. Throws a StreamFailure if the
     * end cannot be known. Leaving the loop does not close the task.
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<TaskSnapshot>;
}
export {};
