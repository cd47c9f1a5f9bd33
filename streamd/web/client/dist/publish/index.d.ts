/**
 * Publishing from Node, browsers, Deno and Bun: events, tasks, and the events of merchants.
 *
 * ```ts
 * import { createPublisher } from "streamd-client/publish";
 *
 * const publisher = createPublisher({ url: "http://127.0.0.1:8080", token: process.env.STREAMD_TOKEN });
 * await publisher.publish("orders/7", { state: "paid" }, { type: "changed" });
 *
 * const task = await publisher.createTask({ kind: "import", steps: [{ name: "read" }] });
 * await publisher.updateTask(task, { step: { name: "read", progress: 50 } });
 * await publisher.completeTask(task, { rows: 42 });
 * ```
 */
export type { Backoff } from "../backoff.js";
export { StreamFailure } from "../failure.js";
export type { HeadersSource } from "../options.js";
export { completeTask, configurePublisher, createTask, failTask, publish, publishAll, publishMerchantCompletion, publishMerchantError, publishMerchantProgress, publishMerchantStage, updateTask, } from "./functions.js";
export type { MerchantCompletion, MerchantError, MerchantProgress, MerchantStage, MerchantStageStart, StageOfOrder } from "./merchants.js";
export type { CallOptions, EventProperties, EventToPublish, PublisherOptions, TokenSource } from "./options.js";
export { createPublisher, type Publisher } from "./publisher.js";
export type { EndOptions, HeldTask, NewTask, StepReport, Task, TaskChanges, TaskFailure, TaskLease, TaskStatus, TaskStep, } from "./tasks.js";
