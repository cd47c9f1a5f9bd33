/** Handlers of events, by type. */
import type { StreamEvent } from "./event.js";
export type EventHandler = (event: StreamEvent) => void;
/** Calls handlers. One that throws does not keep the others, or the stream, from working. */
export declare class EventEmitter {
    #private;
    /** The handlers of one type of event; those of null are called with all events. */
    of(type: string | null): Set<EventHandler>;
    emit(event: StreamEvent): void;
}
/** Call functions of the application; report what they throw as uncaught errors. */
export declare function callAll<T>(calls: Iterable<(argument: T) => void> | undefined, argument: T): void;
