/** A modal dialog that shows the progress of a task. */
import { type ReactNode } from "react";
/** A step of the list, such as one of a task's `step_list`. */
export interface ModalStep {
    readonly name: string;
    /** In place of the name. */
    readonly title?: string;
    readonly status: string;
}
export interface ProgressModalProps {
    open: boolean;
    title: string;
    /** 0 to 100; null or undefined: unknown. */
    progress?: number | null | undefined;
    message?: string | undefined;
    steps?: readonly ModalStep[] | undefined;
    /** Something to read in the meantime: `{title, text}` as a task publishes it, a text, or an element. */
    educationalContent?: unknown;
    error?: Error | string | null | undefined;
    /** Cancels the task. Without it there is no button for it. */
    onCancel?: (() => void) | undefined;
    /** Hides the dialog; the Escape key does it too. Without it, the Escape key cancels. */
    onClose?: (() => void) | undefined;
    cancelLabel?: string;
    closeLabel?: string;
    className?: string;
}
/**
 * Show the progress of a task in a modal dialog.
 *
 * It is the browser's own: what is behind it cannot be reached, and the focus returns to where it was. The properties
 * `--streamd-surface`, `--streamd-text`, `--streamd-accent` and `--streamd-danger` have its colours.
 */
export declare function ProgressModal(props: ProgressModalProps): ReactNode;
