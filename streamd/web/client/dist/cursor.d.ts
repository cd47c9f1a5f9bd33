/** The position of a client in a stream, over all its connections. */
/**
 * The last event id, and what the server has told about the stream.
 *
 * Ids of streamd sort as texts: an event at or behind the cursor is a repeat.
 */
export declare class Cursor {
    #private;
    /** The last event id; empty before the first. */
    id: string;
    /** The server's reconnection time (ms), by `retry:`. */
    retryMs: number;
    /** The server's interval of heartbeats (ms); 0 if it tells none. */
    heartbeatMs: number;
    /** True if another connection of this client has replaced the present one. */
    isReplaced: boolean;
    resumeSecret: string;
    /**
     * @param after the event id to resume after; empty for none.
     * @param snapshots true if the stream begins with the current state, so that no id is a repeat.
     */
    constructor(after: string, snapshots: boolean);
    /** Forget what belongs to one connection. */
    begin(): void;
    /** Move to an event's id; return false for a repeat. */
    advance(id: string): boolean;
    /** Take a control frame. */
    control(name: string, data: string): void;
}
