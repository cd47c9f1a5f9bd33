/** A progress bar. */

import type { CSSProperties } from "react";

import { useReducedMotion } from "./motion.js";

export interface ProgressBarProps {
  /** 0 to 100; null or undefined: unknown. */
  value: number | null | undefined;
  /** The name for assistive technology; `Progress` by default. */
  label?: string;
  className?: string;
  /** Of the track. The properties `--streamd-accent` and `--streamd-track` have the colours. */
  style?: CSSProperties;
}

const TRACK: CSSProperties = {
  background: "var(--streamd-track, color-mix(in srgb, currentColor 15%, transparent))",
  border: "1px solid transparent", // visible with forced colours
  borderRadius: "1rem",
  overflow: "hidden",
};

/** Show a progress, or that it is unknown. */
export function ProgressBar({ value, label = "Progress", className = "", style }: ProgressBarProps) {
  const isStill = useReducedMotion();
  const shown = value == null ? null : Math.min(100, Math.max(0, value || 0));
  const fill: CSSProperties = {
    blockSize: 0,
    borderBlockStart: "0.5rem solid var(--streamd-accent, #3b82f6)", // a background would vanish with forced colours
    inlineSize: `${shown ?? 100}%`,
    opacity: shown === null ? 0.35 : 1,
    transition: isStill ? "none" : "inline-size 0.3s ease-out",
  };
  return (
    <div
      className={`streamd-progress ${className}`.trim()}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={shown === null ? undefined : Math.floor(shown)}
      style={{ ...TRACK, ...style }}
    >
      <div className="streamd-progress-fill" style={fill} />
    </div>
  );
}
