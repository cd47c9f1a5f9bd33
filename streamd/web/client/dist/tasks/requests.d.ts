/** Requests for JSON. */
import { type StreamOptions } from "../options.js";
import type { TaskFields } from "./snapshot.js";
export interface Answer {
    readonly value: TaskFields;
    /** The wait that the server suggests (ms); 0 without one. */
    readonly waitMs: number;
}
/** Make a request, a POST if it has a body. Rejects with a StreamFailure, also if there is no answer within `connectMs`. */
export declare function ask(url: URL, options: Pick<StreamOptions, "headers" | "credentials" | "connectMs" | "fetch">, body?: string | null): Promise<Answer>;
