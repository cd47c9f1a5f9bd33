/** The events that a `for await` loop has not taken yet. */
/**
 * The iterator of one loop. Unlike a generator's, its `return()` ends a `next()` that waits.
 */
export declare class EventQueue<T extends object> implements AsyncIterableIterator<T> {
    #private;
    /** @param onReturn called when the loop is left. */
    constructor(onReturn: () => void);
    [Symbol.asyncIterator](): this;
    /** Add an event; return the number of those that are queued. */
    push(event: T): number;
    /** End the loop after the events that are queued. */
    end(failure: Error | null): void;
    /** Wait until the loop is not far behind. */
    ready(): Promise<void>;
    /** Wait for the next event. Throws the failure that has ended the stream. */
    next(): Promise<IteratorResult<T, undefined>>;
    /** Leave the loop, and drop its events. */
    return(): Promise<IteratorResult<T, undefined>>;
}
