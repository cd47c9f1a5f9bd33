/**
 * Event streams that resume.
 *
 * ```ts
 * import { createStream } from "streamd-client";
 *
 * const stream = createStream("/events", { topics: ["orders"] });
 * stream.on("created", (event) => console.log(event.json()));
 * await stream.connect();
 * ```
 */
export type { Backoff } from "./backoff.js";
export type { EventHandler } from "./emitter.js";
export { CONTROL_NAMES, StreamEvent, type ControlName, type EventFields } from "./event.js";
export { StreamFailure } from "./failure.js";
export type { HeadersSource, OutgoingEvent, Phase, StreamOptions, StreamState } from "./options.js";
export { createStream, type EventStream } from "./stream.js";
export type { ConnectionOutcome, ConnectionRequest, ConnectionSink, MessageSocket, Transport, TransportChooser, TransportName, } from "./transport.js";
