/** Requests for JSON, and waiting. */
import { type StreamOptions } from "../options.js";
export interface Answer {
    readonly value: unknown;
    /** The fields of the value; none if it is no object. */
    readonly fields: Readonly<Record<string, unknown>>;
    /** The wait that the server suggests (ms); 0 without one. */
    readonly waitMs: number;
}
/** Make a request, a POST if it has a body. Rejects with a StreamFailure, also if there is no answer within `connectMs`. */
export declare function ask(url: URL, options: Pick<StreamOptions, "headers" | "credentials" | "connectMs" | "fetch">, body?: string | null): Promise<Answer>;
/** Wait, at most until the signal is aborted. */
export declare function sleep(waitMs: number, signal?: AbortSignal): Promise<void>;
interface Deferred<T> {
    readonly promise: Promise<T>;
    resolve(value: T): void;
    reject(error: Error): void;
}
/** Make a promise that is settled from outside. Its rejection may be ignored. */
export declare function deferred<T>(): Deferred<T>;
export {};
