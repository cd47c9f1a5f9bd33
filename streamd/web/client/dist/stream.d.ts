/** A stream that is kept connected, and resumes after the last event id. */
import { type EventHandler } from "./emitter.js";
import { StreamEvent } from "./event.js";
import { StreamFailure } from "./failure.js";
import type { OutgoingEvent, StreamOptions, StreamState } from "./options.js";
import type { Block } from "./parser.js";
/**
 * Make a stream; `connect()`, or a `for await` loop, opens it.
 *
 * @param url of the stream, relative to the page.
 */
export declare function createStream(url: string | URL, options?: StreamOptions): EventStream;
/** A stream that is kept connected. Made by {@link createStream}. */
export declare class EventStream implements AsyncIterable<StreamEvent> {
    #private;
    readonly url: URL;
    constructor(url: string | URL, options: StreamOptions);
    get state(): StreamState;
    get isConnected(): boolean;
    /** The id of the last event; empty before the first. Pass it as `after` to resume in another page. */
    get lastEventId(): string;
    /**
     * Open the stream, and keep it open until `disconnect()`, a fatal failure, or its end.
     *
     * Resolves at the first connection. Rejects with a StreamFailure if there will be none. An ignored rejection is no
     * unhandled one: the state has the failure.
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
    /** Call a handler with each event of a type; without a type, with all of them, control frames included. */
    on(handler: EventHandler): this;
    on(type: string, handler: EventHandler): this;
    off(handler: EventHandler): this;
    off(type: string, handler: EventHandler): this;
    /** Call a listener after each change of the state; returns a function that removes it. */
    onState(listener: (state: StreamState) => void): () => void;
    /**
     * Iterate over the events from now on, control frames left out; opens the stream. Events wait for the loop, and push back
     * to the server. The loop ends with the stream, and throws its fatal failure.
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<StreamEvent>;
    /** Begin to connect. */
    protected start(): void;
    /** End the present connection, or wait, so that the next attempt follows now. */
    protected restart(): void;
    /** Stop connecting, without a change of the state. */
    protected halt(): void;
    /** Take a block of the stream, in order. */
    protected take(block: Block): void;
    /** End the stream. */
    protected close(failure: StreamFailure | null, status?: number | null): void;
    /** Change the state. */
    protected set(change: Partial<StreamState>): void;
}
