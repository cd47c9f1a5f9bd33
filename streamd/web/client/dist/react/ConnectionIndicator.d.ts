/** An indicator of a connection. */
import type { ReactNode } from "react";
import type { ConnectionStatus } from "./store.js";
export interface ConnectionIndicatorProps {
    status: ConnectionStatus;
    /** Text in place of `Connected`, `Connecting …` and `Disconnected`. */
    children?: ReactNode;
    className?: string;
}
/** Show the status of a connection, in words and by a dot. */
export declare function ConnectionIndicator({ status, children, className }: ConnectionIndicatorProps): import("react").JSX.Element;
