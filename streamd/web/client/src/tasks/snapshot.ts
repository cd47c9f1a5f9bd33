/** The state of a task, built from the answers and messages of the server. */

export type TaskStatus = "pending" | "running" | "completed" | "failed" | "cancelled";

/** One named part of a task. */
export interface TaskStep {
  readonly name: string;
  readonly status: "pending" | "running" | "completed" | "failed" | "skipped";
  /** 0 to 100. */
  readonly progress: number;
  readonly message: string;
  /** The reason if it failed; empty otherwise. */
  readonly error: string;
  /** Its share of the task's progress. */
  readonly weight: number;
}

/** The reason why a task failed or was cancelled. */
export interface TaskFailure {
  /** For programs, such as `timeout`. */
  readonly code: string;
  /** A sentence for people. */
  readonly detail: string;
}

/** The state of a task at one time. Times are RFC 3339. */
export interface TaskSnapshot {
  readonly id: string;
  readonly status: TaskStatus;
  /** 0 to 100; 100 only if the task is completed. */
  readonly progress: number;
  /** A sentence for people. */
  readonly message: string;
  /** Number of the current step, from 1; null before any. */
  readonly step: number | null;
  /** Name of the current step; empty before any. */
  readonly step_name: string;
  /** The number of steps. */
  readonly steps: number;
  readonly step_list: readonly TaskStep[];
  /** Estimated time to the end (s); null if unknown. */
  readonly eta_seconds: number | null;
  /** When the server lets the task fail if it has not ended; null if unknown. */
  readonly deadline: string | null;
  readonly error: TaskFailure | null;
  /** The text that the task has streamed so far. */
  readonly text: string;
  /** The last content to read while the task runs, as the program published it. */
  readonly educational_content: unknown;
  /** All fields of the server, those of the program and of the service included. */
  readonly fields: TaskFields;
}

/** The fields of the messages and answers so far, the last value of each. */
export type TaskFields = Readonly<Record<string, unknown>>;

/** The error of a task that failed or was cancelled: the server's word, and no failure of the connection. */
export class TaskError extends Error {
  override readonly name = "TaskError";
  readonly status: TaskStatus;
  /** For programs, such as `timeout`; empty if the server tells none. */
  readonly code: string;

  constructor({ status, error, message }: TaskSnapshot) {
    super(error?.detail ?? message);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

const INITIAL = {
  status: "pending",
  progress: 0,
  message: "",
  step: null,
  steps: 0,
  step_list: [] as readonly TaskStep[],
  eta_seconds: null,
  deadline: null,
  error: null,
  text: "",
  educational_content: null,
};

/** Words of the services for the states of a task. */
const STATUSES: Readonly<Record<string, TaskStatus>> = { initiated: "pending", in_progress: "running" };

/**
 * Merge an answer or message of the server into the fields before it; null: it is the first.
 *
 * @param type of the event; empty for an answer.
 */
export function mergeFields(before: TaskFields | null, news: TaskFields, type = ""): TaskFields {
  const old = { ...INITIAL, ...before };
  const fields: TaskFields = {
    ...old,
    snapshot: false, // it tells something about its own message alone
    ...(type === "error" && { status: "failed" }),
    ...(news["details"] as object | undefined), // the program's own fields, which a message has among the others
    ...news,
  };
  const { step_list: steps = old.step_list, text = old.text + ((news["text_delta"] as string | undefined) ?? "") } = news;
  const { step_name: name, step_status: status, step_progress: progress, step_error: error = "", message } = news;
  return {
    ...fields,
    status: STATUSES[fields["status"] as string] ?? fields["status"],
    text,
    step_list: (steps as TaskStep[]).map((step) => (status && step.name === name ? { ...step, status, progress, message, error } : step)),
  };
}

/** Return true after the last message. That of an ended task follows its snapshot, and has the result. */
export function isLast({ status, snapshot }: TaskFields): boolean {
  return ["completed", "failed", "cancelled"].includes(status as string) && !snapshot;
}

/** Build the state of a task from its fields. */
export function toSnapshot(id: string, fields: TaskFields): TaskSnapshot {
  const { step_name, stage, steps, error, code = "" } = fields;
  return {
    ...(fields as unknown as TaskSnapshot),
    id,
    step_name: String(step_name ?? stage ?? ""),
    steps: (steps as { length?: number }).length ?? (steps as number), // a research session lists its datasets here
    error: (typeof error === "string" ? { code, detail: error } : error) as TaskFailure | null, // a sentence in messages
    fields,
  };
}
