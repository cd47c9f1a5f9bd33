/** The hook for the events of a merchant's purchase orders. */
import type { StreamFailure } from "../failure.js";
import type { ConnectionStatus } from "./components.js";
import { type HookStreamOptions } from "./store.js";
interface Stage {
    readonly stage: string;
    readonly poId: string;
    readonly workflowId: string;
}
/** An event of a merchant's order, by its type. */
export type MerchantEvent = {
    readonly id: string;
} & ({
    readonly type: "stage";
    readonly data: Stage & {
        readonly status: "started";
        readonly message: string;
    };
} | {
    readonly type: "progress";
    readonly data: Stage & {
        readonly progress: number;
        readonly message: string;
    };
} | {
    readonly type: "completion";
    readonly data: Stage & {
        readonly lineItems?: number;
        /** 0 to 100. */
        readonly confidence?: number;
        readonly purchaseOrderId?: string;
        readonly shopifyOrderId?: string;
    };
} | {
    readonly type: "error";
    readonly data: Stage & {
        readonly error: string;
    };
});
type StreamOption = "headers" | "credentials" | "fetch" | "openWhenHidden" | "connectMs" | "silenceMs" | "transports" | "backoff";
export interface SSEUpdatesOptions extends Pick<HookStreamOptions, StreamOption> {
    /** The server's address; by default the root of the page's. */
    baseUrl?: string | URL;
    /** Maximum number of events to keep, the newest; 100 by default. */
    max?: number;
    /** Called with each event. */
    onUpdate?: (event: MerchantEvent) => void;
}
export interface SSEUpdatesResult {
    /** The newest last. */
    readonly events: readonly MerchantEvent[];
    readonly connectionStatus: ConnectionStatus;
    /** Why there is no connection; null while there is one. Events of type `error` are in `events`. */
    readonly error: StreamFailure | null;
    readonly reconnect: () => Promise<void>;
}
/**
 * Use the events of a merchant's orders from now on.
 *
 * @param merchantId null or undefined: no connection.
 */
export declare function useSSEUpdates(merchantId: string | null | undefined, options?: SSEUpdatesOptions): SSEUpdatesResult;
export {};
