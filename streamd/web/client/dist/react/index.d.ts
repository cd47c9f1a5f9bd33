/**
 * React hooks and components for event streams, for React 18 and later.
 *
 * ```tsx
 * import { ProgressModal, useSSEProgress } from "streamd-client/react";
 *
 * function Analysis({ taskId }: { taskId: string }) {
 *   const { progress, error } = useSSEProgress(taskId);
 *   return <ProgressModal open title="Analysis" progress={progress?.progress} message={progress?.message} error={error} />;
 * }
 * ```
 *
 * A hook opens its connection when its component is mounted, and closes it when it is unmounted. Under StrictMode there is
 * one connection, and none while a server renders. Options may be written in place: a new object opens no new connection.
 */
export { ConnectionIndicator, ProgressBar, ProgressModal, type ConnectionIndicatorProps, type ConnectionStatus, type ModalStep, type ProgressBarProps, type ProgressModalProps, } from "./components.js";
export { useSSE, type SSEOptions, type SSEResult } from "./useSSE.js";
export { useSSEProgress, type ProgressFields, type SSEProgressOptions, type SSEProgressResult } from "./useSSEProgress.js";
export { useSSEUpdates, type MerchantEvent, type SSEUpdatesOptions, type SSEUpdatesResult } from "./useSSEUpdates.js";
