/** Publishing events and tasks, so that a call whose answer was lost does nothing twice. */

import { StreamFailure } from "../failure.js";
import { defined, encodeData, invalid } from "./content.js";
import { Endpoint } from "./endpoint.js";
import { completionEvent, errorEvent, progressEvent, stageEvent } from "./merchants.js";
import type { MerchantCompletion, MerchantError, MerchantProgress, MerchantStageStart } from "./merchants.js";
import type { CallOptions, EventProperties, EventToPublish, PublisherOptions } from "./options.js";
import { TaskReporter } from "./reporter.js";
import { changesReport, taskBody } from "./tasks.js";
import type { EndOptions, HeldTask, NewTask, Task, TaskChanges, TaskFailure, TaskLease } from "./tasks.js";

/** Make a publisher for one server. It opens no connection before its first call. */
export function createPublisher(options: PublisherOptions): Publisher {
  return new Publisher(options);
}

/**
 * Publishes to one server. Made by {@link createPublisher}.
 *
 * Every call is retried without harm: see {@link Endpoint.retry} for when. It rejects with a StreamFailure: `status` and `code`
 * are those of the server's answer, and the message is its sentence. Without an answer the status is null, and what was asked
 * for may have been done or not. The code is `invalid-field` for an argument that was not even sent, `aborted`, or `timeout`.
 */
export class Publisher {
  #endpoint: Endpoint;
  #reporter: TaskReporter;

  constructor(options: PublisherOptions) {
    this.#endpoint = new Endpoint(options);
    this.#reporter = new TaskReporter(this.#endpoint);
  }

  // --- events -------------------------------------------------------------------------------------

  /**
   * Publish one event, and return its id.
   *
   * @param topics one topic or several, the canonical one first.
   * @param data text, bytes (`Uint8Array`), or any JSON value.
   */
  async publish(topics: string | readonly string[], data: unknown, options: EventProperties & CallOptions = {}): Promise<string> {
    return await this.#publish({ ...options, topics, data }, options);
  }

  /** Publish several events in one request, all or none of them; return their ids. */
  async publishAll(events: readonly EventToPublish[], options: CallOptions = {}): Promise<string[]> {
    if (events.length === 0) return [];
    const bodies = events.map((event, index) => naming(`event ${index}`, () => eventBody(event)));
    const answer = await this.#endpoint.call({ method: "POST", path: "events", body: JSON.stringify(bodies) }, options);
    return answer["ids"] as string[];
  }

  async #publish(event: EventToPublish, options: CallOptions): Promise<string> {
    const body = JSON.stringify(eventBody(event));
    const answer = await this.#endpoint.call({ method: "POST", path: "events", body }, options);
    return answer["id"] as string;
  }

  // --- tasks --------------------------------------------------------------------------------------

  /**
   * Create a task. This worker holds it, reports on it by the other methods, and must do so within the lease (30 s by default).
   *
   * With `worker: null` the task is pending, until a worker claims it.
   */
  createTask(task: NewTask & { readonly worker: null }): Promise<Task>;
  createTask(task: NewTask & { readonly worker?: string }): Promise<HeldTask>;
  async createTask(task: NewTask): Promise<Task> {
    const { idempotencyKey = crypto.randomUUID() } = task;
    const body = taskBody(task);
    const answer = await this.#endpoint.call({ method: "POST", path: "tasks", body, idempotencyKey }, task);
    const created = answer as unknown as HeldTask;
    if (created.lease) this.#reporter.note(created);
    return created;
  }

  /**
   * Report the progress of a task, and return it. If it is `cancelled`, the worker is to stop.
   *
   * Reports on one task are sent one after another. While a worker holds a task, only one publisher may report on it.
   */
  async updateTask(task: TaskLease, changes: TaskChanges = {}): Promise<Task> {
    return await this.#reporter.report(task, changesReport(changes), changes);
  }

  /**
   * Complete a task.
   *
   * @param result a JSON value, null by default.
   */
  async completeTask(task: TaskLease, result: unknown = null, options: EndOptions = {}): Promise<Task> {
    return await this.#reporter.report(task, { status: "completed", result, message: options.message }, options);
  }

  /**
   * End a task that has failed.
   *
   * @param error the reason, a sentence that its followers are shown, or with a code for programs.
   */
  async failTask(task: TaskLease, error: string | TaskFailure, options: EndOptions = {}): Promise<Task> {
    const failure = typeof error === "string" ? { detail: error } : defined(error);
    return await this.#reporter.report(task, { status: "failed", error: failure, message: options.message }, options);
  }

  // --- merchants ----------------------------------------------------------------------------------
  // Their topics are reserved: the token's grant must name them, as by `merchant:*:stage`; otherwise the server answers 403,
  // `reserved-topic`. An order is not to fail because its events cannot be published: catch the failures.

  /** Publish the start of a stage to a merchant; return the event's id. */
  async publishMerchantStage(merchantId: string, start: MerchantStageStart, options: CallOptions = {}): Promise<string> {
    return await this.#publish(stageEvent(merchantId, start), options);
  }

  /** Publish the progress of a stage to a merchant; return the event's id. */
  async publishMerchantProgress(merchantId: string, progress: MerchantProgress, options: CallOptions = {}): Promise<string> {
    return await this.#publish(progressEvent(merchantId, progress), options);
  }

  /** Publish the completion of a stage to a merchant; return the event's id. */
  async publishMerchantCompletion(merchantId: string, completion: MerchantCompletion, options: CallOptions = {}): Promise<string> {
    return await this.#publish(completionEvent(merchantId, completion), options);
  }

  /** Publish the failure of a stage to a merchant; return the event's id. */
  async publishMerchantError(merchantId: string, error: MerchantError, options: CallOptions = {}): Promise<string> {
    return await this.#publish(errorEvent(merchantId, error), options);
  }
}

/** Build the members of an event's JSON, with a key that all attempts share. */
function eventBody(event: EventToPublish): Readonly<Record<string, unknown>> {
  const { topics, type, retry, idempotencyKey, private: isPrivate } = event;
  return {
    topics: typeof topics === "string" ? [topics] : topics,
    type,
    ...encodeData("data" in event ? event.data : ""), // undefined is no absence, but an error of the caller
    retry,
    private: isPrivate,
    idempotency_key: idempotencyKey ?? crypto.randomUUID(),
  };
}

/** Build something; name the item in its failure. */
function naming<T>(item: string, build: () => T): T {
  try {
    return build();
  } catch (error) {
    throw error instanceof StreamFailure ? invalid(`${item}: ${error.message}`) : error;
  }
}
