/** The messages between the tabs that share a connection. */
import type { StreamState } from "../options.js";
import type { Block } from "../parser.js";
/** Version of the messages and of the rules behind them; it is a part of the key, so that versions do not meet. */
export declare const VERSION = 1;
/** A tab asks the leader to let it follow, or whether it is still there. */
export interface Join {
    readonly kind: "join";
    /** The tab's id. */
    readonly from: string;
}
/** A tab asks the leader to make a new connection. */
export interface Reconnect {
    readonly kind: "reconnect";
}
/** What the leader tells. All that it tells in a term is numbered from 1, but for answers to a join. */
export interface News {
    readonly kind: "news";
    /** The leader's term: an id for each time that a tab leads. */
    readonly from: string;
    /** The number of this message, or in an answer that of the last one. */
    readonly number: number;
    /** The leader's cursor, after the block; empty before it has one. */
    readonly cursor: string;
    /** The id of the last event at or before the cursor: whoever has received it has missed nothing. */
    readonly level: string;
    /** The tab that has asked to join; absent in messages to all tabs. */
    readonly to?: string;
    readonly state?: StreamState;
    readonly block?: Block;
}
export type Message = Join | Reconnect | News;
/** Build the object that is posted: of a failure, a channel would copy the message alone. */
export declare function encode(message: Message): object;
/** Read what was posted; null for messages of other programs. */
export declare function decode(data: unknown): Message | null;
