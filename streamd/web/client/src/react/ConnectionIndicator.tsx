/** An indicator of a connection. */

import type { ReactNode } from "react";

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
