/**
 * A worker's reports on its tasks.
 *
 * A report has no idempotency key: one that is sent again after its answer was lost would append its text twice, or end a step
 * that has ended. But only the holder of the lease reports on a task, and every change makes a new version. So before a report
 * is repeated, the task's version tells whether it has arrived. For that, the reports on one task go one after another.
 */

import { invalid } from "./content.js";
import type { Endpoint, Send } from "./endpoint.js";
import type { CallOptions } from "./options.js";
import { toJson, type HeldTask, type Report, type Task, type TaskLease } from "./tasks.js";

/** What is known of a task that has not ended. */
interface KnownTask {
  /** The version after the last report; null before the first answer. */
  version: number | null;
  /** Settles after the last report. */
  tail: Promise<unknown>;
}

export class TaskReporter {
  #endpoint: Endpoint;
  #known = new Map<string, KnownTask>();

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** Remember the version of a task that was created just now. */
  note({ id, version }: HeldTask): void {
    this.#known.set(id, { version, tail: Promise.resolve() });
  }

  /** Send a report after the earlier ones on the same task; returns the task after it. */
  async report(task: TaskLease, report: Report, options: CallOptions): Promise<Task> {
    const path = taskPath(task.id);
    const body = toJson({ lease: task.lease, ...report });
    const known = this.#known.get(task.id) ?? { version: null, tail: Promise.resolve() };
    this.#known.set(task.id, known);
    const sent = known.tail.then(() => this.#send(path, body, report, known, options));
    const settled = sent.catch(() => {});
    known.tail = settled;
    try {
      const answer = await sent;
      if (answer.status !== "running") this.#known.delete(task.id);
      return answer;
    } catch (error) {
      // Without further reports it may be forgotten: the next one reads the version.
      if (known.tail === settled) this.#known.delete(task.id);
      throw error;
    }
  }

  async #send(path: string, body: string, report: Report, known: KnownTask, options: CallOptions): Promise<Task> {
    let version = known.version;
    known.version = null; // if this fails, the report may have arrived
    let wasSent = false;
    const answer = await this.#endpoint.retry(async (send) => {
      if (wasSent || version === null) {
        const found = await getTask(send, path);
        if (wasSent && hasArrived(found, report, version)) return found;
        version ??= found.version;
      }
      wasSent = true;
      return asTask(await send({ method: "PATCH", path, body }));
    }, options);
    known.version = answer.version;
    return answer;
  }
}

async function getTask(send: Send, path: string): Promise<Task> {
  return asTask(await send({ method: "GET", path }));
}

/** Return true if the report made the task what it is, or if its worker is to stop. Otherwise the server answers it. */
function hasArrived(found: Task, report: Report, version: number | null): boolean {
  if (found.status === "cancelled") return true;
  return version !== null && found.version > version && found.status === (report.status ?? "running");
}

function asTask(answer: Readonly<Record<string, unknown>>): Task {
  return answer as unknown as Task;
}

function taskPath(id: string): string {
  if (["", ".", ".."].includes(id)) throw invalid(`${JSON.stringify(id)} cannot be the id of a task`);
  return `tasks/${encodeURIComponent(id)}`;
}
