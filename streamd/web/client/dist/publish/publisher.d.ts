/** Publishing events and tasks, so that a call whose answer was lost does nothing twice. */
import type { MerchantCompletion, MerchantError, MerchantProgress, MerchantStageStart } from "./merchants.js";
import type { CallOptions, EventProperties, EventToPublish, PublisherOptions } from "./options.js";
import type { EndOptions, HeldTask, NewTask, Task, TaskChanges, TaskFailure, TaskLease } from "./tasks.js";
/** Make a publisher for one server. It opens no connection before its first call. */
export declare function createPublisher(options: PublisherOptions): Publisher;
/**
 * Publishes to one server. Made by {@link createPublisher}.
 *
 * Every call is retried without harm: see {@link Endpoint.retry} for when. It rejects with a StreamFailure: `status` and `code`
 * are those of the server's answer, and the message is its sentence. Without an answer the status is null, and what was asked
 * for may have been done or not. The code is `invalid-field` for an argument that was not even sent, `aborted`, or `timeout`.
 */
export declare class Publisher {
    #private;
    constructor(options: PublisherOptions);
    /**
     * Publish one event, and return its id.
     *
     * @param topics one topic or several, the canonical one first.
     * @param data text, bytes (`Uint8Array`), or any JSON value.
     */
    publish(topics: string | readonly string[], data: unknown, options?: EventProperties & CallOptions): Promise<string>;
    /** Publish several events in one request, all or none of them; return their ids. */
    publishAll(events: readonly EventToPublish[], options?: CallOptions): Promise<string[]>;
    /**
     * Create a task. This worker holds it, reports on it by the other methods, and must do so within the lease (30 s by default).
     *
     * With `worker: null` the task is pending, until a worker claims it.
     */
    createTask(task: NewTask & {
        readonly worker: null;
    }): Promise<Task>;
    createTask(task: NewTask & {
        readonly worker?: string;
    }): Promise<HeldTask>;
    /**
     * Report the progress of a task, and return it. If it is `cancelled`, the worker is to stop.
     *
     * Reports on one task are sent one after another. While a worker holds a task, only one publisher may report on it.
     */
    updateTask(task: TaskLease, changes?: TaskChanges): Promise<Task>;
    /**
     * Complete a task.
     *
     * @param result a JSON value, null by default.
     */
    completeTask(task: TaskLease, result?: unknown, options?: EndOptions): Promise<Task>;
    /**
     * End a task that has failed.
     *
     * @param error the reason, a sentence that its followers are shown, or with a code for programs.
     */
    failTask(task: TaskLease, error: string | TaskFailure, options?: EndOptions): Promise<Task>;
    /** Publish the start of a stage to a merchant; return the event's id. */
    publishMerchantStage(merchantId: string, start: MerchantStageStart, options?: CallOptions): Promise<string>;
    /** Publish the progress of a stage to a merchant; return the event's id. */
    publishMerchantProgress(merchantId: string, progress: MerchantProgress, options?: CallOptions): Promise<string>;
    /** Publish the completion of a stage to a merchant; return the event's id. */
    publishMerchantCompletion(merchantId: string, completion: MerchantCompletion, options?: CallOptions): Promise<string>;
    /** Publish the failure of a stage to a merchant; return the event's id. */
    publishMerchantError(merchantId: string, error: MerchantError, options?: CallOptions): Promise<string>;
}
