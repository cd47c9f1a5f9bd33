/**
 * A worker's reports on its tasks.
 *
 * A report has no idempotency key: one that is sent again after its answer was lost would append its text twice, or end a step
 * that has ended. But only the holder of the lease reports on a task, and every change makes a new version. So before a report
 * is repeated, the task's version tells whether it has arrived. For that, the reports on one task go one after another.
 */
import type { Endpoint } from "./endpoint.js";
import type { CallOptions } from "./options.js";
import { type HeldTask, type Report, type Task, type TaskLease } from "./tasks.js";
export declare class TaskReporter {
    #private;
    constructor(endpoint: Endpoint);
    /** Remember the version of a task that was created just now. */
    note({ id, version }: HeldTask): void;
    /** Send a report after the earlier ones on the same task; returns the task after it. */
    report(task: TaskLease, report: Report, options: CallOptions): Promise<Task>;
}
