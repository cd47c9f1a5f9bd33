/** The hook for the events of a merchant's purchase orders. */

import { parseFields } from "../event.js";
import type { StreamFailure } from "../failure.js";
import type { ConnectionStatus } from "./components.js";
import { urlOf, useStream, type HookStreamOptions } from "./store.js";

interface Stage {
  readonly stage: string;
  readonly poId: string;
  readonly workflowId: string;
}

/** An event of a merchant's order, by its type. */
export type MerchantEvent = { readonly id: string } & (
  | { readonly type: "stage"; readonly data: Stage & { readonly status: "started"; readonly message: string } }
  | { readonly type: "progress"; readonly data: Stage & { readonly progress: number; readonly message: string } }
  | {
      readonly type: "completion";
      readonly data: Stage & {
        readonly lineItems?: number;
        /** 0 to 100. */
        readonly confidence?: number;
        readonly purchaseOrderId?: string;
        readonly shopifyOrderId?: string;
      };
    }
  | { readonly type: "error"; readonly data: Stage & { readonly error: string } }
);

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

const TYPES: readonly string[] = ["stage", "progress", "completion", "error"];
const NONE: readonly MerchantEvent[] = [];

/**
 * Use the events of a merchant's orders from now on.
 *
 * @param merchantId null or undefined: no connection.
 */
export function useSSEUpdates(merchantId: string | null | undefined, options: SSEUpdatesOptions = {}): SSEUpdatesResult {
  const { baseUrl, max = 100, onUpdate } = options;
  const url = merchantId ? urlOf(baseUrl, `/api/realtime/events?merchantId=${encodeURIComponent(merchantId)}`) : null;
  const { value, phase, error, reconnect } = useStream(url, NONE, {
    ...options,
    take(events, { id, type, data }) {
      if (!TYPES.includes(type)) return events;
      const event = { id, type, data: parseFields(data) } as unknown as MerchantEvent;
      onUpdate?.(event);
      return [...events, event].slice(-max);
    },
  });
  const connectionStatus = phase === "open" ? "connected" : phase === "closed" ? "disconnected" : "connecting";
  return { events: value, connectionStatus, error, reconnect };
}
