/** The publisher's methods as functions, for programs that publish to one server. */

import { StreamFailure } from "../failure.js";
import type { PublisherOptions } from "./options.js";
import { Publisher } from "./publisher.js";

let current: Publisher | null = null;

/** Set the server to which the functions of this module publish. Call it once, before them. */
export function configurePublisher(options: PublisherOptions): void {
  current = new Publisher(options);
}

type Method = {
  [Name in keyof Publisher]: Publisher[Name] extends (...args: never[]) => Promise<unknown> ? Name : never;
}[keyof Publisher];

/** Bind a method to the publisher that is current when it is called. */
function bound<Name extends Method>(name: Name): Publisher[Name] {
  const call = async (...args: never[]): Promise<unknown> => {
    if (current === null) throw new StreamFailure("call configurePublisher({ url }) first", { code: "not-configured", fatal: true });
    return await (current[name] as (...args: never[]) => Promise<unknown>)(...args);
  };
  return call as Publisher[Name];
}

/** Publish one event; see {@link Publisher.publish}. */
export const publish = bound("publish");
/** Publish several events, all or none; see {@link Publisher.publishAll}. */
export const publishAll = bound("publishAll");
/** Create a task; see {@link Publisher.createTask}. */
export const createTask = bound("createTask");
/** Report the progress of a task; see {@link Publisher.updateTask}. */
export const updateTask = bound("updateTask");
/** Complete a task; see {@link Publisher.completeTask}. */
export const completeTask = bound("completeTask");
/** End a task that has failed; see {@link Publisher.failTask}. */
export const failTask = bound("failTask");
/** Publish the start of a stage; see {@link Publisher.publishMerchantStage}. */
export const publishMerchantStage = bound("publishMerchantStage");
/** Publish the progress of a stage; see {@link Publisher.publishMerchantProgress}. */
export const publishMerchantProgress = bound("publishMerchantProgress");
/** Publish the completion of a stage; see {@link Publisher.publishMerchantCompletion}. */
export const publishMerchantCompletion = bound("publishMerchantCompletion");
/** Publish the failure of a stage; see {@link Publisher.publishMerchantError}. */
export const publishMerchantError = bound("publishMerchantError");
