/** Events, as every transport delivers them. */
/** The fields of an event, which can be sent to other tabs and workers. */
export interface EventFields {
    /** The event's id; empty for a message to this client alone, and for a control frame. */
    readonly id: string;
    /** The type it was published with, `message` by default; or the name of a control frame. */
    readonly type: string;
    /** The published text, the JSON of the published value, or the base64 of the published bytes. */
    readonly data: string;
    /** `base64`, or empty for text and JSON. */
    readonly encoding: string;
    /** Its topics. Over SSE they are there if the request asks for them (`include=topics`). */
    readonly topics: readonly string[];
}
/** One event of a stream. */
export declare class StreamEvent implements EventFields {
    readonly id: string;
    readonly type: string;
    readonly data: string;
    readonly encoding: string;
    readonly topics: readonly string[];
    constructor(fields: EventFields);
    /** Parse the data as JSON. Throws a SyntaxError for data that is none. */
    json<T = unknown>(): T;
    /** Return the data as bytes: those that were published, or the text in UTF-8. */
    bytes(): Uint8Array;
}
/** The control frames of a stream: messages of the server itself, which no publisher can send. */
export declare const CONTROL_NAMES: readonly ["connected", "heartbeat", "gap", "token-expiring", "closing"];
export type ControlName = (typeof CONTROL_NAMES)[number];
/** Parse a JSON object, such as the data of a control frame; an object without fields for anything else. */
export declare function parseFields(data: string): Record<string, unknown>;
