/** A stream that is kept connected, and resumes after the last event id. */
import { EventEmitter } from "./emitter.js";
import { StreamEvent } from "./event.js";
import { StreamFailure } from "./failure.js";
import { type OutgoingEvent, type StreamOptions, type StreamState } from "./options.js";
import type { Block } from "./parser.js";
/**
 * Make a stream; `connect()`, or a `for await` loop, opens it.
 *
 * @param url of the stream, relative to the page.
 */
export declare function createStream(url: string | URL, options?: StreamOptions): EventStream;
/**
 * A stream that is kept connected. Made by {@link createStream}.
 *
 * One call of `#run` goes from `connect()` to the end: it attempts, and waits, in turns. All else only ends the present
 * connection (`stop`, `fail`) or the present wait (`#wake`), and leaves the rest to it. Handlers may call any method: code
 * that follows a call of theirs looks whether its connection still stands.
 */
export declare class EventStream extends EventEmitter implements AsyncIterable<StreamEvent> {
    #private;
    readonly url: URL;
    constructor(url: string | URL, options: StreamOptions);
    /** The state; each change makes a new object. */
    get state(): StreamState;
    get isConnected(): boolean;
    /** The id to resume after: that of the last event, or where the stream began. Pass it as `after` in another page. */
    get lastEventId(): string;
    /**
     * Open the stream, and keep it open until `disconnect()`, a fatal failure, or its end.
     *
     * Resolves when it is open. Rejects with a StreamFailure if it closes before. An ignored rejection is no unhandled one:
     * the state has the failure.
     */
    connect(): Promise<void>;
    /** Close the stream. `connect()` opens it again, after the last event id. */
    disconnect(): void;
    /** Make a new connection now. Resolves and rejects like `connect()`. */
    reconnect(): Promise<void>;
    /**
     * Publish an event: by the open WebSocket, else by a POST. Returns its id.
     *
     * Rejects with a StreamFailure. Without an answer, the event may be published or not; with an `idempotency_key` it may be
     * sent again.
     */
    send(event: OutgoingEvent): Promise<string>;
    /** Call a listener after each change of the state; returns a function that removes it. */
    onState(listener: (state: StreamState) => void): () => void;
    /**
     * Iterate over the events from now on, control frames left out; opens the stream. Events wait for the loop, and push back
     * to the server. The loop ends with the stream, and throws its fatal failure; leaving the loop does not close the stream.
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<StreamEvent>;
    /** Begin to connect. */
    protected start(): void;
    /** End the present connection, or wait, so that the next attempt follows now. */
    protected restart(): void;
    /** Stop connecting, without a change of the state. */
    protected halt(): void;
    /** End the stream, and its loops. */
    protected close(failure: StreamFailure | null, status?: number | null): void;
    /** Change the state. Its status is that of the failure, without another. */
    protected set(change: Partial<StreamState>): void;
    /** Take a block of the stream, in order. */
    protected take(block: Block): void;
}
