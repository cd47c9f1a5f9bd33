/** The events that a `for await` loop has not taken yet. */
import type { StreamEvent } from "./event.js";
/** A queue between a stream and one loop over its events. */
export declare class EventQueue {
    #private;
    /** Add an event; null is the end. */
    push(event: StreamEvent | null, failure?: Error | null): void;
    /** Wait until the loop is not far behind. */
    ready(): Promise<void>;
    /** Wait for the next event; null at the end. Throws the failure that has ended the stream. */
    next(): Promise<StreamEvent | null>;
    /** Drop the events: the loop was left. */
    stop(): void;
}
