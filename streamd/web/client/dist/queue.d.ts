/** The events that a `for await` loop has not taken yet. */
import type { StreamEvent } from "./event.js";
/**
 * The iterator of one loop. Unlike a generator's, its `return()` ends a `next()` that waits.
 */
export declare class EventQueue implements AsyncIterableIterator<StreamEvent> {
    #private;
    /** @param onReturn called when the loop is left. */
    constructor(onReturn: () => void);
    [Symbol.asyncIterator](): this;
    push(event: StreamEvent): void;
    /** End the loop after the events that are queued. */
    end(failure: Error | null): void;
    /** Wait until the loop is not far behind. */
    ready(): Promise<void>;
    /** Wait for the next event. Throws the failure that has ended the stream. */
    next(): Promise<IteratorResult<StreamEvent, undefined>>;
    /** Leave the loop, and drop its events. */
    return(): Promise<IteratorResult<StreamEvent, undefined>>;
}
