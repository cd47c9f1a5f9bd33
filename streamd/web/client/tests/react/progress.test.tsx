// @vitest-environment happy-dom
import { act, cleanup, renderHook } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { StreamFailure } from "../../src/index.js";
import { useSSEProgress, type SSEProgressOptions } from "../../src/react/index.js";
import { ScriptedServer } from "../support/scripted.js";

const BASE = "http://streamd.test";
const PROGRESS = "/api/brand-monitor/progress/a1";

let server: ScriptedServer;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:00Z") });
  server = new ScriptedServer();
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

async function pass(ms = 0): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

function analysis(fields: Record<string, unknown> = {}) {
  return { taskId: "a1", status: "running", progress: 10, stage: "voice", message: "counting", ...fields };
}

interface Props extends SSEProgressOptions {
  taskId: string | null;
}

function renderProgress(options: SSEProgressOptions = {}, taskId: string | null = "a1", wrapper?: typeof StrictMode) {
  const fetch = server.fetch as typeof globalThis.fetch;
  return renderHook(({ taskId, ...options }: Props) => useSSEProgress(taskId, { fetch, baseUrl: BASE, ...options }), {
    initialProps: { taskId, ...options },
    ...(wrapper && { wrapper }),
  });
}

test("an analysis is followed to its result, and no connection after that", async () => {
  server.stream(PROGRESS);
  const calls = { onProgress: vi.fn(), onError: vi.fn(), onConnect: vi.fn(), onDisconnect: vi.fn() };
  const { result } = renderProgress(calls, "a1", StrictMode);
  await pass();
  expect(result.current).toMatchObject({ progress: null, error: null, isConnected: true });
  server.last.send("progress", analysis()).send("heartbeat", { timestamp: "now" });
  await pass();
  expect(result.current.progress).toMatchObject({ progress: 10, stage: "voice" });
  server.last.send("progress", analysis({ status: "completed", progress: 100, result: { share: 0.5 } })).end();
  await pass();
  expect(result.current).toMatchObject({ progress: { status: "completed", result: { share: 0.5 } }, error: null, isConnected: false });
  await pass(60_000);
  expect(server.paths()).toEqual([`GET ${PROGRESS}`]);
  expect(calls.onProgress).toHaveBeenCalledTimes(2);
  expect(calls.onConnect).toHaveBeenCalledTimes(1);
  expect(calls.onDisconnect).toHaveBeenCalledTimes(1);
  expect(calls.onError).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});

test("a failed analysis is a TaskError, and no failure of the connection", async () => {
  server.stream(PROGRESS);
  const onError = vi.fn();
  const { result } = renderProgress({ onError });
  await pass();
  server.last.send("progress", analysis()).send("error", analysis({ status: "failed", error: "no mentions", code: "empty" })).end();
  await pass(60_000);
  expect(result.current.error).toMatchObject({ name: "TaskError", status: "failed", code: "empty", message: "no mentions" });
  expect(result.current.progress).toMatchObject({ progress: 10 });
  expect(onError).toHaveBeenCalledTimes(1);
  expect(server.requests).toHaveLength(1);
});

test("a lost connection returns after 2,000 ms, three times", async () => {
  server.stream(PROGRESS);
  const onError = vi.fn();
  const { result } = renderProgress({ onError });
  await pass();
  server.last.send("progress", analysis());
  await pass();
  server.off(PROGRESS);
  server.last.break();
  await pass();
  for (const attempts of [1, 2, 3]) {
    expect(result.current.error).toBeInstanceOf(StreamFailure);
    await pass(1999);
    expect(server.requests).toHaveLength(attempts);
    await pass(1);
    expect(server.requests).toHaveLength(attempts + 1);
  }
  await pass(60_000);
  expect(server.requests).toHaveLength(4);
  expect(result.current).toMatchObject({ isConnected: false, progress: { progress: 10 } });
  expect(onError).toHaveBeenCalledTimes(4);
  server.stream(PROGRESS);
  await act(() => result.current.reconnect());
  expect(result.current).toMatchObject({ isConnected: true, error: null });
});

test("a connection that returns has all its attempts again, and no error", async () => {
  server.stream(PROGRESS);
  const { result } = renderProgress({ maxReconnectAttempts: 1, reconnectDelay: 500 });
  for (let round = 1; round < 5; round += 1) {
    await pass(500);
    expect(server.streams).toHaveLength(round);
    server.last.send("progress", analysis({ progress: round }), `000000000000${round}-000001`);
    await pass();
    expect(result.current).toMatchObject({ isConnected: true, error: null, progress: { progress: round } });
    server.last.break();
    await pass();
  }
});

test("without autoReconnect a lost connection stays lost", async () => {
  server.stream(PROGRESS);
  const { result } = renderProgress({ autoReconnect: false });
  await pass();
  server.last.send("progress", analysis());
  await pass();
  server.last.break();
  await pass(60_000);
  expect(result.current).toMatchObject({ isConnected: false, progress: { progress: 10 } });
  expect(result.current.error).toBeInstanceOf(StreamFailure);
  expect(server.requests).toHaveLength(1);
});

test("disconnect lasts until reconnect", async () => {
  server.stream(PROGRESS);
  const onDisconnect = vi.fn();
  const { result } = renderProgress({ onDisconnect });
  await pass();
  act(() => result.current.disconnect());
  await pass(60_000);
  expect(result.current).toMatchObject({ isConnected: false, error: null });
  expect(server.open).toBe(0);
  expect(onDisconnect).toHaveBeenCalledTimes(1);
  await act(() => result.current.reconnect());
  expect(result.current.isConnected).toBe(true);
  expect(server.requests).toHaveLength(2);
});

test("callbacks are those of the last render", async () => {
  server.stream(PROGRESS);
  const [first, second] = [vi.fn(), vi.fn()];
  const hook = renderProgress({ onProgress: first });
  await pass();
  hook.rerender({ taskId: "a1", onProgress: second });
  server.last.send("progress", analysis());
  await pass();
  expect(first).not.toHaveBeenCalled();
  expect(second).toHaveBeenCalledTimes(1);
  expect(server.requests).toHaveLength(1);
});

test("another task is another connection, and no task is none", async () => {
  server.stream(PROGRESS).stream("/api/brand-monitor/progress/b%2F2");
  const hook = renderProgress({}, null);
  await pass();
  expect(server.requests).toEqual([]);
  hook.rerender({ taskId: "a1" });
  await pass();
  server.last.send("progress", analysis());
  await pass();
  hook.rerender({ taskId: "b/2" });
  expect(hook.result.current.progress).toBeNull();
  await pass();
  expect(server.paths()).toEqual([`GET ${PROGRESS}`, "GET /api/brand-monitor/progress/b%2F2"]);
  expect(server.open).toBe(1);
  hook.rerender({ taskId: null });
  await pass();
  expect(server.open).toBe(0);
});

test("the stream of any task can be shown", async () => {
  server.stream("/tasks/t1/events");
  const { result } = renderProgress({ path: (id) => `/tasks/${id}/events` }, "t1");
  await pass();
  server.last
    .send("status", { status: "running", snapshot: true, progress: 5, step_list: [{ name: "read", status: "pending", progress: 0 }] })
    .send("educational", { status: "running", progress: 6, educational_content: { title: "Did you know?" } })
    .send("progress", { status: "running", progress: 7, step_name: "read", step_status: "running", step_progress: 20, message: "a fifth" })
    .send("progress", { status: "running", progress: 8 });
  await pass();
  expect(result.current.progress).toMatchObject({
    progress: 8,
    educational_content: { title: "Did you know?" },
    step_list: [{ name: "read", status: "running", progress: 20 }],
  });
  server.last.send("status", { status: "completed", snapshot: true, progress: 100 });
  await pass();
  expect(result.current.isConnected).toBe(true);
  server.last.send("complete", { status: "completed", progress: 100, result: 1 });
  await pass();
  expect(result.current).toMatchObject({ isConnected: false, progress: { result: 1 } });
});
