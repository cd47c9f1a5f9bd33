/**
 * The JSON messages of WebSocket and long polling, as the blocks that Server-Sent Events would bring.
 *
 * JSON.parse followed by JSON.stringify would change the data of events: 1.0 becomes 1, and long integers lose digits. So
 * the texts of nested values are cut out of the message as they are.
 */
import type { Block } from "../parser.js";
/** A message of the server: a block, whose type is the name of a control message. */
export interface Message extends Block {
    /** The parsed message. */
    readonly fields: Readonly<Record<string, unknown>>;
}
/** Read one message. Throws a StreamFailure for a text that is none. */
export declare function readMessage(text: string): Message;
/** Parse a JSON object that has one of some members. Throws a StreamFailure for anything else. */
export declare function readObject(text: string, ...names: readonly string[]): Record<string, unknown>;
/** Return the text of a member's value in a valid JSON object; empty without that member. */
export declare function cutMember(text: string, name: string): string;
/** Return the texts of the elements of a valid JSON array. */
export declare function cutElements(text: string): string[];
