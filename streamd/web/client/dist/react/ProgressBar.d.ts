/** A progress bar. */
import type { CSSProperties } from "react";
export interface ProgressBarProps {
    /** 0 to 100; null or undefined: unknown. */
    value: number | null | undefined;
    /** The name for assistive technology; `Progress` by default. */
    label?: string;
    className?: string;
    /** The property `--streamd-accent` has the colour. */
    style?: CSSProperties;
}
/** Show a progress, or that it is unknown, by the browser's own bar. */
export declare function ProgressBar({ value, label, className, style }: ProgressBarProps): import("react").JSX.Element;
