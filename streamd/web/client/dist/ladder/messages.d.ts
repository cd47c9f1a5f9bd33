/**
 * The JSON messages of WebSocket and long polling, as the blocks that Server-Sent Events would bring.
 *
 * JSON.parse followed by JSON.stringify would change data: 1.0 becomes 1, and long integers lose digits. So the texts of
 * nested values are cut out of the message as they are.
 */
import type { Block } from "../parser.js";
/** A message of the server. */
export interface Message {
    /** The name of the message; empty for an event. */
    readonly control: string;
    readonly fields: Readonly<Record<string, unknown>>;
    readonly block: Block;
}
/** Read one message. Throws a StreamFailure for a text that is none. */
export declare function readMessage(text: string): Message;
/** Return the members of a JSON object, each value as its own text. Throws a StreamFailure for anything else. */
export declare function membersOf(text: string): Map<string, string>;
/** Return the elements of a JSON array, each as its own text. */
export declare function elementsOf(text: string): string[];
