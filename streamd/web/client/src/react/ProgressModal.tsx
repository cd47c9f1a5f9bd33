/** A modal dialog that shows the progress of a task. */

import { isValidElement, useCallback, useId, useRef, type CSSProperties, type KeyboardEvent, type ReactNode } from "react";

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

const DIALOG: CSSProperties = {
  background: "var(--streamd-surface, Canvas)",
  border: "1px solid color-mix(in srgb, currentColor 25%, transparent)",
  borderRadius: "0.75rem",
  boxShadow: "0 0 0 100vmax rgb(0 0 0 / 40%)", // ::backdrop needs a stylesheet
  boxSizing: "border-box",
  color: "var(--streamd-text, CanvasText)",
  inlineSize: "min(30rem, calc(100vw - 2rem))",
  lineHeight: 1.5,
  padding: "1.5rem",
};
const BUTTON: CSSProperties = { font: "inherit", padding: "0.4em 1.2em" };
const HIDDEN: CSSProperties = { clipPath: "inset(50%)", position: "absolute", whiteSpace: "nowrap" }; // but for screen readers
const MARKS: Readonly<Record<string, string>> = { completed: "✓", running: "●", failed: "✕", skipped: "–" };

/**
 * Show the progress of a task in a modal dialog.
 *
 * It is the browser's own: what is behind it cannot be reached, and the focus returns to where it was. The properties
 * `--streamd-surface`, `--streamd-text`, `--streamd-accent` and `--streamd-track` have its colours.
 */
export function ProgressModal(props: ProgressModalProps): ReactNode {
  const { open, title, progress, message = "", steps = [], error, onCancel, onClose, className = "" } = props;
  const id = useId();
  const shown = useRef<HTMLDialogElement | null>(null);
  // By a ref callback, because the dialog must be closed before it is removed, so that the focus returns.
  const show = useCallback((dialog: HTMLDialogElement | null) => {
    if (dialog) dialog.showModal();
    else shown.current?.close();
    shown.current = dialog;
  }, []);
  const dismiss = onClose ?? onCancel;

  function onKeyDown(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.preventDefault(); // the dialog is open until the application says otherwise
    dismiss?.();
  }

  if (!open) return null;
  return (
    <dialog
      ref={show}
      className={`streamd-modal ${className}`.trim()}
      role="dialog"
      aria-modal="true"
      aria-labelledby={`${id}title`}
      aria-describedby={`${id}message`}
      style={DIALOG}
      onKeyDown={onKeyDown}
      onCancel={(event) => {
        event.preventDefault(); // a gesture in place of the Escape key
        dismiss?.();
      }}
    >
      <h2 id={`${id}title`} tabIndex={-1} style={{ fontSize: "1.25rem", margin: "0 0 1rem", outline: "none" }}>
        {title}
      </h2>
      <ProgressBar value={progress} label={title} />
      <p id={`${id}message`} role="status" style={{ margin: "0.75rem 0", minBlockSize: "1.5em", overflowWrap: "anywhere" }}>
        {message}
      </p>
      {error ? (
        <p role="alert" className="streamd-error" style={{ color: "var(--streamd-danger, #dc2626)", overflowWrap: "anywhere" }}>
          {typeof error === "string" ? error : error.message}
        </p>
      ) : null}
      {steps.length > 0 && <Steps steps={steps} />}
      <div className="streamd-education" aria-live="polite">
        <Education content={props.educationalContent} />
      </div>
      <div style={{ display: "flex", flexWrap: "wrap", gap: "0.5rem", justifyContent: "flex-end", marginBlockStart: "1.25rem" }}>
        {onCancel && (
          <button type="button" onClick={onCancel} style={BUTTON}>
            {props.cancelLabel ?? "Cancel"}
          </button>
        )}
        {onClose && (
          <button type="button" onClick={onClose} style={BUTTON}>
            {props.closeLabel ?? "Close"}
          </button>
        )}
      </div>
    </dialog>
  );
}

function Steps({ steps }: { steps: readonly ModalStep[] }) {
  return (
    <ol className="streamd-steps" style={{ listStyle: "none", margin: "0.75rem 0", padding: 0 }}>
      {steps.map(({ name, title = name, status }) => (
        <li key={name} data-status={status} aria-current={status === "running" ? "step" : undefined} style={{ opacity: status === "pending" ? 0.7 : 1 }}>
          <span aria-hidden style={{ display: "inline-block", inlineSize: "1.5em" }}>
            {MARKS[status] ?? "○"}
          </span>
          {title} <span style={HIDDEN}>({status})</span>
        </li>
      ))}
    </ol>
  );
}

function Education({ content }: { content: unknown }) {
  if (isValidElement(content)) return content;
  const { title, text } = typeof content === "string" ? { title: null, text: content } : (Object(content) as Record<string, unknown>);
  if (!title && !text) return null;
  return (
    <div style={{ borderInlineStart: "3px solid var(--streamd-accent, #3b82f6)", overflowWrap: "anywhere", paddingInlineStart: "0.75rem" }}>
      {title ? <strong>{String(title)}</strong> : null}
      {text ? <div>{String(text)}</div> : null}
    </div>
  );
}
