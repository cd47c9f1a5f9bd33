/** The JSON messages of WebSocket and long polling, as the blocks that Server-Sent Events would bring. */
import type { Block } from "../parser.js";
/** A message of the server: an event, or what `control` names. */
export interface Message extends Partial<Block> {
    readonly control?: string;
    readonly [name: string]: unknown;
}
/** Return the block of a message. A control frame has the other fields as its data. */
export declare function asBlock(message: Message): Block;
/** Parse a JSON object with exact data, see below. Throws a StreamFailure for anything that is not from streamd. */
export declare function readFields(text: string): Record<string, unknown>;
