/** The content of requests: JSON without silent losses, and bytes as base64. */
import { StreamFailure } from "../failure.js";
/** Make the failure of an argument that the server would reject, or never see as it was meant. */
export declare function invalid(message: string): StreamFailure;
/** The members of an event's JSON with its data: `Uint8Array` travels as base64. */
export declare function encodeData(data: unknown): {
    data: unknown;
    encoding?: "base64";
};
/**
 * Check that a value is JSON. JSON.stringify would turn NaN into null, and leave out undefined, without a word.
 *
 * @param path names the value in the failure, such as `data.items[3].price`.
 */
export declare function checkJson(value: unknown, path: string, within?: readonly unknown[]): void;
/** Return an object without the members that are undefined, which an interface of ours has as optional. */
export declare function defined<T extends object>(members: T): T;
