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
    readonly steps?: number | {
        readonly length: number;
    };
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
export declare class TaskError extends Error {
    readonly name = "TaskError";
    readonly status: TaskStatus;
    /** For programs, such as `timeout`; empty if the server tells none. */
    readonly code: string;
    constructor({ status, error, message }: Pick<TaskSnapshot, "status" | "error" | "message">);
}
/**
 * Merge an answer or message of the server into the fields before it; null: it is the first.
 *
 * @param type of the event; empty for an answer.
 */
export declare function mergeFields(before: TaskFields | null, news: TaskNews, type?: string): TaskFields;
/** Return true after the last message. That of an ended task follows its snapshot, and has the result. */
export declare function isLast({ status, snapshot }: TaskFields): boolean;
