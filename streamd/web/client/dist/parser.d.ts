/** The parser of event streams (WHATWG HTML section 9.2.6). */
/** One block of an event stream. */
export interface Block {
    /** The `id` field; null in a block without one. */
    readonly id: string | null;
    readonly type: string;
    /** The lines of the `data` fields; null in a block that dispatches no event. */
    readonly data: string | null;
    /** streamd's field `encoding`: `base64`, or empty for text. */
    readonly encoding: string;
    /** streamd's field `topic`, sent for `include=topics`. */
    readonly topics: readonly string[];
    /** The `retry` field (ms); null in a block without one. */
    readonly retry: number | null;
}
/**
 * Parses an event stream piece by piece.
 *
 * Unlike a native EventSource it reports every type, and blocks that have only an id, which move a client's cursor.
 */
export declare class EventStreamParser {
    #private;
    /**
     * Parse the next characters, cut anywhere, without a byte order mark; return the complete blocks.
     *
     * Throws a RangeError for a block of more than 16 million characters.
     */
    receive(text: string): Block[];
}
