/** Events over WebSocket (RFC 6455), for networks that buffer event streams. */
import type { Transport } from "../transport.js";
/** Events over WebSocket, from the URL of `/events`. */
export declare const websocket: Transport;
