/** An indicator of a connection. */
import type { ReactNode } from "react";
export type ConnectionStatus = "disconnected" | "connecting" | "connected";
export interface ConnectionIndicatorProps {
    status: ConnectionStatus;
    /** Text in place of `Connected`, `Connecting …` and `Disconnected`. */
    children?: ReactNode;
    className?: string;
}
/** Show the status of a connection, in words and by a colour. */
export declare function ConnectionIndicator({ status, children, className }: ConnectionIndicatorProps): import("react").JSX.Element;
