/** The publisher's methods as functions, for programs that publish to one server. */
import type { PublisherOptions } from "./options.js";
/** Set the server to which the functions of this module publish. Call it once, before them. */
export declare function configurePublisher(options: PublisherOptions): void;
/** Publish one event; see {@link Publisher.publish}. */
export declare const publish: (topics: string | readonly string[], data: unknown, options?: import("./options.js").EventProperties & import("./options.js").CallOptions) => Promise<string>;
/** Publish several events, all or none; see {@link Publisher.publishAll}. */
export declare const publishAll: (events: readonly import("./options.js").EventToPublish[], options?: import("./options.js").CallOptions) => Promise<string[]>;
/** Create a task; see {@link Publisher.createTask}. */
export declare const createTask: {
    (task: import("./tasks.js").NewTask & {
        readonly worker: null;
    }): Promise<import("./tasks.js").Task>;
    (task: import("./tasks.js").NewTask & {
        readonly worker?: string;
    }): Promise<import("./tasks.js").HeldTask>;
};
/** Report the progress of a task; see {@link Publisher.updateTask}. */
export declare const updateTask: (task: import("./tasks.js").TaskLease, changes?: import("./tasks.js").TaskChanges) => Promise<import("./tasks.js").Task>;
/** Complete a task; see {@link Publisher.completeTask}. */
export declare const completeTask: (task: import("./tasks.js").TaskLease, result?: unknown, options?: import("./tasks.js").EndOptions) => Promise<import("./tasks.js").Task>;
/** End a task that has failed; see {@link Publisher.failTask}. */
export declare const failTask: (task: import("./tasks.js").TaskLease, error: string | import("./tasks.js").TaskFailure, options?: import("./tasks.js").EndOptions) => Promise<import("./tasks.js").Task>;
/** Publish the start of a stage; see {@link Publisher.publishMerchantStage}. */
export declare const publishMerchantStage: (merchantId: string, start: import("./merchants.js").MerchantStageStart, options?: import("./options.js").CallOptions) => Promise<string>;
/** Publish the progress of a stage; see {@link Publisher.publishMerchantProgress}. */
export declare const publishMerchantProgress: (merchantId: string, progress: import("./merchants.js").MerchantProgress, options?: import("./options.js").CallOptions) => Promise<string>;
/** Publish the completion of a stage; see {@link Publisher.publishMerchantCompletion}. */
export declare const publishMerchantCompletion: (merchantId: string, completion: import("./merchants.js").MerchantCompletion, options?: import("./options.js").CallOptions) => Promise<string>;
/** Publish the failure of a stage; see {@link Publisher.publishMerchantError}. */
export declare const publishMerchantError: (merchantId: string, error: import("./merchants.js").MerchantError, options?: import("./options.js").CallOptions) => Promise<string>;
