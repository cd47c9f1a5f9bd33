/**
 * Transports for networks that let no event stream through.
 *
 * ```ts
 * import { createStream } from "streamd-client";
 * import { ladder } from "streamd-client/ladder";
 *
 * const stream = createStream("/events", { topics: ["orders"], transports: ladder() });
 * ```
 */
export { ladder, type LadderOptions } from "./ladder.js";
export { poll } from "./poll.js";
export { sse } from "../sse.js";
export { websocket } from "./websocket.js";
