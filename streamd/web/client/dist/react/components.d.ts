/** The components: a progress bar, a dialog that shows the progress of a task, and an indicator of a connection. */
import { type CSSProperties, type ReactNode } from "react";
export interface ProgressBarProps {
    /** 0 to 100; null or undefined: unknown. */
    value: number | null | undefined;
    /** The name for assistive technology; `Progress` by default. */
    label?: string;
    className?: string;
    style?: CSSProperties;
}
/** Show a progress, or that it is unknown, by the browser's own bar. */
export declare function ProgressBar({ value, label, className, style }: ProgressBarProps): import("react").JSX.Element;
export type ConnectionStatus = "disconnected" | "connecting" | "connected";
export interface ConnectionIndicatorProps {
    status: ConnectionStatus;
    /** Text in place of `Connected`, `Connecting …` and `Disconnected`. */
    children?: ReactNode;
    className?: string;
}
/** Show the status of a connection, in words and by a colour. */
export declare function ConnectionIndicator({ status, children, className }: ConnectionIndicatorProps): import("react").JSX.Element;
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
 * It is the browser's own: what is behind it cannot be reached, and the focus returns to where it was.
 */
export declare function ProgressModal({ open, title, progress, message, steps, educationalContent: content, error, onCancel, onClose, cancelLabel, closeLabel, className, }: ProgressModalProps): ReactNode;
