/** The events of merchants: how far their purchase orders are. */

import { invalid } from "./content.js";
import type { EventToPublish } from "./options.js";

/** The stages of a purchase order, in running order. */
export type MerchantStage =
  | "merchant_config"
  | "ai_parsing"
  | "data_normalization"
  | "database_save"
  | "ai_enrichment"
  | "product_draft_creation"
  | "shopify_payload"
  | "shopify_sync"
  | "image_attachment"
  | "background_image_processing"
  | "status_update";

/** The stage that an event reports. */
export interface StageOfOrder {
  readonly stage: MerchantStage;
  /** The order's id. */
  readonly poId: string;
  /** The id of the order's processing. */
  readonly workflowId: string;
}

/** The start of a stage. */
export interface MerchantStageStart extends StageOfOrder {
  /** A sentence for people; empty by default. */
  readonly message?: string;
}

/** The progress of a stage. */
export interface MerchantProgress extends StageOfOrder {
  /** 0 to 100 within the stage. */
  readonly progress: number;
  /** A sentence for people; empty by default. */
  readonly message?: string;
}

/** The completion of a stage. */
export interface MerchantCompletion extends StageOfOrder {
  /** Number of lines that the stage processed. */
  readonly lineItems?: number;
  /** 0 to 100. */
  readonly confidence?: number;
  /** The stored order's id. */
  readonly purchaseOrderId?: string;
  /** The shop's id of the order. */
  readonly shopifyOrderId?: string;
}

/** The failure of a stage. */
export interface MerchantError extends StageOfOrder {
  /** A sentence for the merchant. */
  readonly error: string;
}

/** Build the event for the start of a stage. */
export function stageEvent(merchantId: string, { message = "", ...of }: MerchantStageStart): EventToPublish {
  return merchantEvent(merchantId, "stage", { ...idsOf(of), status: "started", message });
}

/** Build the event for the progress of a stage. */
export function progressEvent(merchantId: string, { progress, message = "", ...of }: MerchantProgress): EventToPublish {
  checkPercent(progress, "progress");
  // Rounded down, so that nothing below 100 is shown as 100; 29 may be a sum such as 28.999999999999996.
  const shown = Math.floor(10 * progress + 1e-6) / 10;
  return merchantEvent(merchantId, "progress", { ...idsOf(of), progress: progress < 100 ? Math.min(shown, 99.9) : 100, message });
}

/** Build the event for the completion of a stage. */
export function completionEvent(merchantId: string, completion: MerchantCompletion): EventToPublish {
  const { lineItems, confidence, purchaseOrderId, shopifyOrderId } = completion;
  if (confidence !== undefined) checkPercent(confidence, "confidence");
  if (lineItems !== undefined && !(Number.isInteger(lineItems) && lineItems >= 0)) {
    throw invalid(`lineItems must be a whole number from 0, and is ${String(lineItems)}`);
  }
  return merchantEvent(merchantId, "completion", {
    ...idsOf(completion),
    ...(lineItems !== undefined && { lineItems }),
    ...(confidence !== undefined && { confidence: Math.round(10 * confidence) / 10 }),
    ...(purchaseOrderId !== undefined && { purchaseOrderId }),
    ...(shopifyOrderId !== undefined && { shopifyOrderId }),
  });
}

/** Build the event for the failure of a stage. */
export function errorEvent(merchantId: string, { error, ...of }: MerchantError): EventToPublish {
  return merchantEvent(merchantId, "error", { ...idsOf(of), error });
}

function merchantEvent(merchantId: string, type: string, data: Readonly<Record<string, unknown>>): EventToPublish {
  // A separator would make it another topic, maybe that of another merchant.
  if (merchantId === "" || merchantId !== merchantId.trim() || /[:/*]/.test(merchantId)) {
    throw invalid(`merchantId must be without ':', '/', '*' and outer spaces, and is ${JSON.stringify(merchantId)}`);
  }
  return { topics: `merchant:${merchantId}:${type}`, type, data };
}

function idsOf({ stage, poId, workflowId }: StageOfOrder): StageOfOrder {
  return { stage, poId, workflowId };
}

function checkPercent(value: number, field: string): void {
  if (typeof value !== "number" || !(value >= 0 && value <= 100)) {
    throw invalid(`${field} must be a number from 0 to 100, and is ${String(value)}`);
  }
}
