/** The components: a progress bar, a dialog that shows the progress of a task, and an indicator of a connection. */

import { isValidElement, useMemo, type CSSProperties, type ReactNode, type RefCallback, type SyntheticEvent } from "react";

export interface ProgressBarProps {
  /** 0 to 100; null or undefined: unknown. */
  value: number | null | undefined;
  /** The name for assistive technology; `Progress` by default. */
  label?: string;
  className?: string;
  style?: CSSProperties;
}

/** Show a progress, or that it is unknown, by the browser's own bar. */
export function ProgressBar({ value, label = "Progress", className = "", style }: ProgressBarProps) {
  return (
    <progress
      aria-label={label}
      className={`streamd-progress ${className}`}
      max={100}
      value={value == null ? undefined : Math.floor(value) || 0} // 100 only at the end
      style={{ inlineSize: "100%", ...style }}
    />
  );
}

export type ConnectionStatus = "disconnected" | "connecting" | "connected";

export interface ConnectionIndicatorProps {
  status: ConnectionStatus;
  /** Text in place of `Connected`, `Connecting …` and `Disconnected`. */
  children?: ReactNode;
  className?: string;
}

const LOOKS: Readonly<Record<ConnectionStatus, readonly [text: string, colour: string]>> = {
  connected: ["Connected", "#16a34a"],
  connecting: ["Connecting …", "#d97706"],
  disconnected: ["Disconnected", "#dc2626"],
};

/** Show the status of a connection, in words and by a colour. */
export function ConnectionIndicator({ status, children, className = "" }: ConnectionIndicatorProps) {
  const [text, colour] = LOOKS[status];
  const style = { borderInlineStart: `0.5em solid ${colour}`, paddingInlineStart: "0.5em" };
  return (
    <span className={`streamd-connection ${className}`} data-status={status} role="status" style={style}>
      {children ?? text}
    </span>
  );
}

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

const DIALOG: CSSProperties = {
  border: "1px solid",
  borderRadius: "0.5em",
  inlineSize: "30em", // at most, see the browser's own styles
  overflowWrap: "anywhere",
};

const MARKS: Readonly<Record<string, string>> = { completed: "✓", running: "●", failed: "✕", skipped: "–" };

/**
 * Show the progress of a task in a modal dialog.
 *
 * It is the browser's own: what is behind it cannot be reached, and the focus returns to where it was.
 */
export function ProgressModal({
  open,
  title,
  progress,
  message,
  steps,
  educationalContent: content,
  error,
  onCancel,
  onClose,
  cancelLabel = "Cancel",
  closeLabel = "Close",
  className = "",
}: ProgressModalProps): ReactNode {
  const show = useMemo(makeShow, []);

  function dismiss(event: SyntheticEvent): void {
    event.preventDefault(); // the dialog is open until the application says otherwise
    (onClose ?? onCancel)?.();
  }

  const isText = typeof content === "string" || isValidElement(content);
  const education = (isText ? { text: content } : Object(content)) as { title?: ReactNode; text?: ReactNode };
  return (
    open && (
      <dialog
        ref={show}
        aria-label={title}
        className={`streamd-modal ${className}`}
        style={DIALOG}
        onKeyDown={(event) => event.key === "Escape" && dismiss(event)}
        onCancel={dismiss} // by a gesture in place of the Escape key
      >
        <h2 style={{ outline: 0 }} tabIndex={-1}>
          {title}
        </h2>
        <ProgressBar value={progress} label={title} />
        <p role="status">{message}</p>
        <p role="alert" style={{ color: "#dc2626" }}>
          {error instanceof Error ? error.message : error}
        </p>
        <ol style={{ listStyle: "none", padding: 0 }}>
          {steps?.map(({ name, title = name, status }) => (
            <li key={name} data-status={status} aria-current={status === "running" && "step"}>
              <span role="img" aria-label={status}>
                {MARKS[status] ?? "○"}
              </span>{" "}
              {title}
            </li>
          ))}
        </ol>
        <div aria-live="polite">
          <b>{education.title}</b>
          <div>{education.text}</div>
        </div>
        <p style={{ textAlign: "end" }}>
          {onCancel && (
            <button type="button" onClick={onCancel}>
              {cancelLabel}
            </button>
          )}{" "}
          {onClose && (
            <button type="button" onClick={onClose}>
              {closeLabel}
            </button>
          )}
        </p>
      </dialog>
    )
  );
}

/** Make a ref callback that shows a dialog, and closes it before it is removed, so that the focus returns. */
function makeShow(): RefCallback<HTMLDialogElement> {
  let shown: HTMLDialogElement | null;
  return (dialog) => {
    if (dialog) dialog.showModal();
    else shown?.close();
    shown = dialog;
  };
}
