/** An indicator of a connection. */

import type { ReactNode } from "react";

import type { ConnectionStatus } from "./store.js";

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

/** Show the status of a connection, in words and by a dot. */
export function ConnectionIndicator({ status, children, className = "" }: ConnectionIndicatorProps) {
  const [text, colour] = LOOKS[status];
  return (
    <span
      className={`streamd-connection ${className}`.trim()}
      data-status={status}
      role="status"
      style={{ alignItems: "center", display: "inline-flex", gap: "0.5em" }}
    >
      <span aria-hidden style={{ background: colour, blockSize: "0.6em", borderRadius: "50%", flex: "none", inlineSize: "0.6em" }} />
      {children ?? text}
    </span>
  );
}
