/** Tasks, as the server answers them, and the arguments of a worker's reports. */
import type { CallOptions } from "./options.js";
export type TaskStatus = "pending" | "running" | "completed" | "failed" | "cancelled";
/** One part of a task. */
export interface TaskStep {
    /** Its number, from 1. */
    readonly step: number;
    readonly name: string;
    readonly status: "pending" | "running" | "completed" | "failed" | "skipped";
    readonly progress: number;
    readonly weight: number;
    readonly message: string;
    readonly error: string;
}
/** A task in its current state, with the server's own names. Times are RFC 3339. */
export interface Task {
    readonly id: string;
    readonly kind: string;
    readonly owner: string;
    readonly status: TaskStatus;
    /** 0 to 100; never falls; 100 only if the task is completed. */
    readonly progress: number;
    /** Number of the current step, from 1; null before any, and for another name. */
    readonly step: number | null;
    readonly step_name: string;
    /** Number of steps. */
    readonly steps: number;
    readonly message: string;
    readonly step_list: readonly TaskStep[];
    readonly details: Readonly<Record<string, unknown>>;
    readonly eta_seconds: number | null;
    readonly error: {
        readonly code: string;
        readonly detail: string;
    } | null;
    readonly worker: string;
    readonly created_at: string;
    readonly started_at: string | null;
    readonly updated_at: string;
    readonly ended_at: string | null;
    readonly deadline: string;
    readonly version: number;
    readonly has_result: boolean;
    /** True: its worker is to stop. */
    readonly cancelled: boolean;
    readonly statusUrl: string;
    readonly eventsUrl: string;
    readonly resultUrl: string;
    readonly cancelUrl: string;
}
/** A worker's hold on a task: reports need both. */
export interface TaskLease {
    readonly id: string;
    readonly lease: string;
}
/** A running task that this worker holds. */
export interface HeldTask extends Task, TaskLease {
    /** When it fails as stalled unless its worker has reported; RFC 3339. */
    readonly lease_until: string;
}
/** A task to create. */
export interface NewTask extends CallOptions {
    readonly kind: string;
    /** By default the server chooses one. */
    readonly id?: string;
    /** The user who may follow it; by default the user of the token. */
    readonly owner?: string;
    /** A JSON value for its worker. */
    readonly input?: unknown;
    /** The steps that are known before the work begins. */
    readonly steps?: readonly {
        readonly name: string;
        readonly weight?: number;
    }[];
    /** Time from its creation to its deadline (s). */
    readonly timeoutSeconds?: number;
    readonly message?: string;
    /**
     * Names the worker for people; `streamd-client` by default. Null leaves the task pending, for another worker: it has no
     * lease then.
     */
    readonly worker?: string | null;
    /** How long the worker may be silent (s); 30 by default. Each report renews the lease. */
    readonly leaseSeconds?: number;
    /** The same key with the same task creates one task. By default each call makes one for all its attempts. */
    readonly idempotencyKey?: string;
}
/** A report on one step: `running` starts it or tells its progress; the others end it. */
export interface StepReport {
    readonly name: string;
    readonly status?: "running" | "completed" | "failed" | "skipped";
    /** 0 to 100. */
    readonly progress?: number;
    readonly message?: string;
    readonly error?: string;
    /** Its share of the task's progress, if it was not planned. */
    readonly weight?: number;
}
/** The changes of a task. All of them apply, or none; without any, the report renews the lease. */
export interface TaskChanges extends CallOptions {
    /** 0 to 100. */
    readonly progress?: number;
    readonly step?: StepReport;
    /** A name for what is being done that starts no step. */
    readonly stepName?: string;
    /** A sentence for people. */
    readonly message?: string;
    /** Appended to the task's text. */
    readonly text?: string;
    /** The type of the message; `progress` by default. */
    readonly type?: "progress" | "educational" | "status";
    /** Further fields of the message, JSON values. */
    readonly fields?: Readonly<Record<string, unknown>>;
    /** How long to hold the task this time (s). */
    readonly leaseSeconds?: number;
}
/** The reason for a failure. */
export interface TaskFailure {
    /** A plain sentence, shown to the followers of the task. */
    readonly detail: string;
    /** For programs: an identifier of 1 to 64 characters; `failed` by default. */
    readonly code?: string;
}
/** The options of a report that ends a task. */
export interface EndOptions extends CallOptions {
    /** The last message, a sentence for people. */
    readonly message?: string;
}
/** Build the JSON of a new task. */
export declare function taskBody(task: NewTask): string;
/** The JSON of a report, but for the lease. */
export interface Report {
    readonly status?: TaskStatus;
    readonly [name: string]: unknown;
}
/** Build the report of changes. */
export declare function changesReport(changes: TaskChanges): Report;
/** Write a request's JSON; members that are undefined are left out, so that the server's defaults hold. */
export declare function toJson(members: Readonly<Record<string, unknown>>): string;
