/** The events of merchants: how far their purchase orders are. */
import type { EventToPublish } from "./options.js";
/** The stages of a purchase order, in running order. */
export type MerchantStage = "merchant_config" | "ai_parsing" | "data_normalization" | "database_save" | "ai_enrichment" | "product_draft_creation" | "shopify_payload" | "shopify_sync" | "image_attachment" | "background_image_processing" | "status_update";
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
export declare function stageEvent(merchantId: string, { message, ...of }: MerchantStageStart): EventToPublish;
/** Build the event for the progress of a stage. */
export declare function progressEvent(merchantId: string, { progress, message, ...of }: MerchantProgress): EventToPublish;
/** Build the event for the completion of a stage. */
export declare function completionEvent(merchantId: string, completion: MerchantCompletion): EventToPublish;
/** Build the event for the failure of a stage. */
export declare function errorEvent(merchantId: string, { error, ...of }: MerchantError): EventToPublish;
