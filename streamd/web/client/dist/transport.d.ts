/** The port of transports: each makes one connection, and passes on what arrives. */
import type { Block } from "./parser.js";
import type { StreamFailure } from "./failure.js";
export type TransportName = "sse" | "websocket" | "poll";
/** What one connection needs to know. */
export interface ConnectionRequest {
    /** The stream's URL, without cursor and credentials. */
    readonly url: URL;
    /** Those of the `headers` function at this attempt. */
    readonly headers: Headers;
    readonly method: string;
    readonly body: BodyInit | null;
    readonly credentials?: RequestCredentials;
    /** The last event id; empty before the first. */
    readonly cursor: string;
    /** Proves to the server that this client had the last connection; empty without a client id. */
    readonly resumeSecret: string;
    /** Aborted when the connection must end. */
    readonly signal: AbortSignal;
    /** In place of the global fetch. */
    readonly fetch?: typeof fetch;
}
/** Takes what a connection receives. */
export interface ConnectionSink {
    /**
     * The server has accepted the connection.
     *
     * @param status of the response.
     * @param socket sends messages on this connection; absent where a transport only receives.
     */
    opened(status: number, socket?: MessageSocket): void;
    /** Bytes have arrived. */
    heard(): void;
    /** A block has arrived. */
    take(block: Block): void;
    /** Wait until the reader of the events has caught up; transports that can stop reading do so before they read on. */
    ready(): Promise<void>;
}
/** Sends messages on an open connection. */
export interface MessageSocket {
    /**
     * Send a message, and return the server's answer to it; null, and send nothing, if this socket cannot send it. Rejects with
     * a StreamFailure.
     */
    request(message: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> | null;
}
export interface Transport {
    readonly name: TransportName;
    /**
     * Make one connection, and pass on what arrives until the server ends it.
     *
     * Resolves `true` if the stream is over for good (status 204), else `false`. Rejects with a StreamFailure.
     */
    connect(request: ConnectionRequest, sink: ConnectionSink): Promise<boolean>;
}
/** The course of one connection. */
export interface ConnectionOutcome {
    readonly transport: Transport;
    /** Null if the server ended the connection in an orderly way. */
    readonly failure: StreamFailure | null;
    /** True if the first block has arrived. */
    readonly heard: boolean;
    /** How long it was open (ms); 0 if it was never. */
    readonly openMs: number;
}
/** Chooses the transport of each attempt. */
export interface TransportChooser {
    /** Maximum wait from the start of an attempt to its first block (ms); null: no such maximum. */
    readonly firstBlockMs: number | null;
    /** Choose the transport of the next attempt. */
    choose(url: URL): Transport;
    /**
     * Learn from the end of a connection. Returns true if another transport is to be tried now, without a wait, even if the
     * failure was fatal for this transport.
     */
    learn(outcome: ConnectionOutcome): boolean;
}
