/**
 * Tasks: long jobs of a server, which end with a result or an error.
 *
 * ```ts
 * import { task } from "streamd-client/tasks";
 *
 * const started = await (await fetch("/api/strategy", { method: "POST", ... })).json();
 * const strategy = task(started.strategyId, started); // the answer has the URLs and the deadline
 * for await (const { progress, message } of strategy) show(progress, message);
 * const result = await strategy.result();
 * ```
 */
export { TaskError, type TaskFailure, type TaskSnapshot, type TaskStatus, type TaskStep } from "./snapshot.js";
export { task, type Task, type TaskOptions } from "./task.js";
