/** A modal dialog that shows the progress of a task. */

import { isValidElement, useCallback, useRef, type CSSProperties, type ReactNode, type SyntheticEvent } from "react";

import { ProgressBar } from "./ProgressBar.js";

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

const STYLES = {
  dialog: {
    background: "var(--streamd-surface, Canvas)",
    border: "1px solid",
    borderRadius: "0.75rem",
    color: "var(--streamd-text, CanvasText)",
    inlineSize: "30rem", // at most, see the browser's own styles
    overflowWrap: "anywhere",
  },
  title: { marginBlockStart: 0, outline: 0 },
  error: { color: "var(--streamd-danger, #dc2626)" },
  steps: { listStyle: "none", padding: 0 },
  buttons: { display: "flex", gap: "0.5rem", justifyContent: "end" },
} satisfies Record<string, CSSProperties>;

const MARKS: Readonly<Record<string, string>> = { completed: "✓", running: "●", failed: "✕", skipped: "–" };

/**
 * Show the progress of a task in a modal dialog.
 *
 * It is the browser's own: what is behind it cannot be reached, and the focus returns to where it was. The properties
 * `--streamd-surface`, `--streamd-text`, `--streamd-accent` and `--streamd-danger` have its colours.
 */
export function ProgressModal(props: ProgressModalProps): ReactNode {
  const { open, title, progress, message, steps, educationalContent, error, onCancel, onClose, className = "" } = props;
  const shown = useRef<HTMLDialogElement | null>(null);
  // By a ref callback, because the dialog must be closed before it is removed, so that the focus returns.
  const show = useCallback((dialog: HTMLDialogElement | null) => {
    if (dialog) dialog.showModal();
    else shown.current?.close();
    shown.current = dialog;
  }, []);

  function dismiss(event: SyntheticEvent): void {
    event.preventDefault(); // the dialog is open until the application says otherwise
    (onClose ?? onCancel)?.();
  }

  if (!open) return null;
  return (
    <dialog
      ref={show}
      aria-label={title}
      className={`streamd-modal ${className}`}
      style={STYLES.dialog}
      onKeyDown={(event) => event.key === "Escape" && dismiss(event)}
      onCancel={dismiss} // by a gesture in place of the Escape key
    >
      <h2 tabIndex={-1} style={STYLES.title}>
        {title}
      </h2>
      <ProgressBar value={progress} label={title} />
      <p role="status">{message}</p>
      {error && (
        <p role="alert" className="streamd-error" style={STYLES.error}>
          {typeof error === "string" ? error : error.message}
        </p>
      )}
      <ol className="streamd-steps" style={STYLES.steps}>
        {steps?.map(({ name, title = name, status }) => (
          <li key={name} data-status={status} aria-current={status === "running" && "step"}>
            <span role="img" aria-label={status}>
              {MARKS[status] ?? "○"}
            </span>{" "}
            {title}
          </li>
        ))}
      </ol>
      <div className="streamd-education" aria-live="polite">
        <Education content={educationalContent} />
      </div>
      <div style={STYLES.buttons}>
        {onCancel && (
          <button type="button" onClick={onCancel}>
            {props.cancelLabel ?? "Cancel"}
          </button>
        )}
        {onClose && (
          <button type="button" onClick={onClose}>
            {props.closeLabel ?? "Close"}
          </button>
        )}
      </div>
    </dialog>
  );
}

function Education({ content }: { content: unknown }): ReactNode {
  if (isValidElement(content) || typeof content === "string") return content;
  const { title, text } = Object(content) as { title?: unknown; text?: unknown };
  return (
    <>
      {title && <strong>{String(title)}</strong>}
      {text && <p>{String(text)}</p>}
    </>
  );
}
