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

/** The fields of all answers and messages so far, the last value of each. */
export type TaskFields = Omit<TaskSnapshot, "id" | "fields"> & Readonly<Record<string, unknown>>;

/** An answer or message of the server; it has some of these fields, and others. */
export interface TaskNews {
  readonly status?: string;
  /** The number of steps; a research session lists its datasets here. */
  readonly steps?: number | { readonly length: number };
  readonly step_list?: readonly TaskStep[];
  readonly step_name?: string;
  /** The brand monitor's name for a step. */
  readonly stage?: string;
  readonly step_status?: TaskStep["status"];
  readonly step_progress?: number;
  readonly step_error?: string;
  readonly message?: string;
  /** In messages the sentence alone, with the code next to it. */
  readonly error?: string | TaskFailure | null;
  readonly code?: string;
  readonly text?: string;
  readonly text_delta?: string;
  /** True for the state that a stream begins with. */
  readonly snapshot?: boolean;
  /** The program's own fields; a message has them among the others. */
  readonly details?: object;
  readonly [field: string]: unknown;
}

/** The error of a task that failed or was cancelled: the server's word, and no failure of the connection. */
export class TaskError extends Error {
  override readonly name = "TaskError";
  readonly status: TaskStatus;
  /** For programs, such as `timeout`; empty if the server tells none. */
  readonly code: string;

  constructor({ status, error, message }: Pick<TaskSnapshot, "status" | "error" | "message">) {
    super(error?.detail ?? message);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

const INITIAL: Omit<TaskSnapshot, "id" | "fields"> = {
  status: "pending",
  progress: 0,
  message: "",
  step: null,
  step_name: "",
  steps: 0,
  step_list: [],
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
export function mergeFields(before: TaskFields | null, news: TaskNews, type = ""): TaskFields {
  const old = { ...INITIAL, ...before };
  const { status = type === "error" ? "failed" : old.status, steps = old.steps, step_list = old.step_list, error = old.error } = news;
  const { step_name, step_status, step_progress: progress, step_error = "", message } = news;
  return {
    ...old,
    ...news.details,
    ...news,
    status: STATUSES[status] ?? (status as TaskStatus),
    steps: typeof steps === "number" ? steps : steps.length,
    step_name: step_name ?? news.stage ?? old.step_name,
    step_list: step_list.map((step) =>
      step_status && step.name === step_name ? ({ ...step, status: step_status, progress, message, error: step_error } as TaskStep) : step,
    ),
    error: typeof error === "string" ? { code: news.code ?? "", detail: error } : error,
    text: news.text ?? old.text + (news.text_delta ?? ""),
    snapshot: news.snapshot,
  };
}

/** Return true after the last message. That of an ended task follows its snapshot, and has the result. */
export function isLast({ status, snapshot }: TaskFields): boolean {
  return ["completed", "failed", "cancelled"].includes(status) && !snapshot;
}
