/** Handlers of events, by type. */
import type { StreamEvent } from "./event.js";
export type EventHandler = (event: StreamEvent) => void;
/** Calls handlers. One that throws does not keep the others, or the stream, from working. */
export declare class EventEmitter {
    #private;
    /** Call a handler with each event of a type; without a type, with all of them, control frames included. */
    on(handler: EventHandler): this;
    on(type: string, handler: EventHandler): this;
    off(handler: EventHandler): this;
    off(type: string, handler: EventHandler): this;
    protected emit(event: StreamEvent): void;
}
/** Call functions of the application; report what they throw as uncaught errors. */
export declare function callAll<T>(calls: Iterable<(argument: T) => void>, argument: T): void;
