/** The hook for the events of a merchant's purchase orders. */

import { parseFields } from "../event.js";
import type { StreamFailure } from "../failure.js";
import { makeStream, statusOf, useLatest, useStreamStore, type ConnectionStatus, type HookStreamOptions } from "./store.js";

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

type State = Omit<SSEUpdatesResult, "reconnect">;

const TYPES: readonly string[] = ["stage", "progress", "completion", "error"];
const INITIAL: State = { events: [], connectionStatus: "disconnected", error: null };

/**
 * Use the events of a merchant's orders from now on.
 *
 * @param merchantId null or undefined: no connection.
 */
export function useSSEUpdates(merchantId: string | null | undefined, options: SSEUpdatesOptions = {}): SSEUpdatesResult {
  const latest = useLatest(options);
  const base = String(options.baseUrl ?? "").replace(/\/$/, "");
  const url = merchantId ? `${base}/api/realtime/events?merchantId=${encodeURIComponent(merchantId)}` : null;
  const [state, store] = useStreamStore<State>(url, INITIAL, (store) =>
    makeStream(
      url!,
      latest as { current: HookStreamOptions },
      {},
      ({ id, type, data }) => {
        if (!TYPES.includes(type)) return;
        const event = { id, type, data: parseFields(data) } as unknown as MerchantEvent;
        const { max = 100, onUpdate } = latest.current;
        store.set({ events: [...store.getSnapshot().events, event].slice(-max) });
        onUpdate?.(event);
      },
      ({ phase, failure }) => store.set({ connectionStatus: statusOf(phase), error: failure }),
    ),
  );
  return { ...state, reconnect: store.reconnect };
}
