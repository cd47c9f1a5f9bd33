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
export function ProgressBar({ value, label = "Progress", className = "", style }: ProgressBarProps) {
  return (
    <progress
      aria-label={label}
      className={`streamd-progress ${className}`}
      max={100}
      value={value == null ? undefined : Math.floor(value) || 0} // 100 only at the end
      style={{ accentColor: "var(--streamd-accent, #3b82f6)", inlineSize: "100%", ...style }}
    />
  );
}
