// @vitest-environment happy-dom
import { act, cleanup, renderHook } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { StreamFailure, type StreamState } from "../../src/index.js";
import { useSSE, useSSEUpdates, type SSEOptions } from "../../src/react/index.js";
import { ScriptedServer, problem } from "../support/scripted.js";

const BASE = "http://streamd.test";
const UPDATES = "/api/realtime/events?merchantId=shop";

let server: ScriptedServer;
let fetch: typeof globalThis.fetch;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:00Z") });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ScriptedServer();
  fetch = server.fetch as typeof globalThis.fetch;
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

async function pass(ms = 0): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

// --- useSSE -------------------------------------------------------------------------------------------

test("useSSE has the data of the last event, as JSON, text or bytes", async () => {
  server.stream("/events");
  const { result } = renderHook(() => useSSE(`${BASE}/events`, { fetch }));
  expect(result.current).toMatchObject({ data: null, error: null, isConnected: false });
  await pass();
  expect(result.current).toMatchObject({ data: null, isConnected: true });
  server.last.send("created", { id: 1 });
  await pass();
  expect(result.current.data).toEqual({ id: 1 });
  server.last.write("data: not JSON\n\n");
  await pass();
  expect(result.current.data).toBe("not JSON");
  server.last.write("encoding: base64\ndata: MTIz\n\n");
  await pass();
  expect([...(result.current.data as Uint8Array)]).toEqual([49, 50, 51]);
  server.last.send("heartbeat", { timestamp: "now" });
  await pass();
  expect(result.current.data).toHaveLength(3);
});

test("useSSE takes events of one type, heartbeats if they are asked for, and parses them as it is told", async () => {
  server.stream("/events");
  const { result, rerender } = renderHook((options: SSEOptions<string>) => useSSE(`${BASE}/events`, { fetch, ...options }), {
    initialProps: { event: "heartbeat", parse: (event) => `${event.type}: ${event.data}` } as SSEOptions<string>,
  });
  await pass();
  server.last.send("created", 1).send("heartbeat", 2).send("created", 3);
  await pass();
  expect(result.current.data).toBe("heartbeat: 2");
  rerender({ event: "created", parse: (event) => event.data });
  server.last.send("created", 4);
  await pass();
  expect(result.current.data).toBe("4");
  expect(server.streams).toHaveLength(1);
});

test("events that change nothing render nothing", async () => {
  server.stream("/events");
  let renders = 0;
  const { result } = renderHook(() => (renders++, useSSE(`${BASE}/events`, { fetch, event: "created" })));
  await pass();
  const before = renders;
  server.last.send("heartbeat", {}).send("changed", 1);
  await pass();
  expect(renders).toBe(before);
  server.last.send("created", 2);
  await pass();
  expect(result.current.data).toBe(2);
  expect(renders).toBe(before + 1);
});

test("StrictMode opens one connection, and closes it when the component is unmounted", async () => {
  server.stream("/events");
  const [onEvent, headers] = [vi.fn(), vi.fn(() => ({}))];
  const phases: string[] = [];
  const options = { fetch, headers, onEvent, onState: ({ phase }: StreamState) => phases.push(phase) };
  const { result, unmount } = renderHook(() => useSSE(`${BASE}/events`, options), { wrapper: StrictMode });
  await pass();
  expect(headers).toHaveBeenCalledTimes(1);
  expect(new Set(phases)).toEqual(new Set(["connecting", "open"]));
  server.last.send("created", 1);
  await pass();
  expect(result.current.data).toBe(1);
  expect(onEvent.mock.calls.filter(([event]) => event.type === "created")).toHaveLength(1);
  expect(server.requests).toHaveLength(1);
  unmount();
  await pass();
  expect(server.open).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  await pass(60_000);
  expect(server.requests).toHaveLength(1);
});

test("unmounting while the stream waits leaves no timer", async () => {
  const { result, unmount } = renderHook(() => useSSE(`${BASE}/events`, { fetch }));
  await pass();
  expect(result.current.error).toBeInstanceOf(StreamFailure);
  unmount();
  await pass();
  expect(vi.getTimerCount()).toBe(0);
});

test("options written in place keep the connection, and callbacks are those of the last render", async () => {
  server.stream("/events");
  const heard: string[] = [];
  const hook = renderHook(
    ({ name }) =>
      useSSE(`${BASE}/events`, { fetch, topics: ["a"], backoff: { baseMs: 0 }, headers: () => ({ Name: name }), onEvent: () => heard.push(name) }),
    { initialProps: { name: "first" } },
  );
  await pass();
  hook.rerender({ name: "second" });
  server.last.send("created", 1);
  await pass();
  expect(heard).toEqual(["first", "second"]);
  server.last.break();
  await pass(1);
  expect(server.requests.map(({ headers }) => headers.get("Name"))).toEqual(["first", "second"]);
});

test("headers that are there later are sent with the next attempt", async () => {
  server.stream("/events");
  const hook = renderHook(({ headers }) => useSSE(`${BASE}/events`, { fetch, backoff: { baseMs: 0 }, ...(headers && { headers }) }), {
    initialProps: { headers: undefined as Record<string, string> | undefined },
  });
  await pass();
  hook.rerender({ headers: { Authorization: "Bearer t" } });
  server.last.break();
  await pass(1);
  expect(server.requests.map((request) => request.headers.get("Authorization"))).toEqual([null, "Bearer t"]);
});

test("a changed URL or topic closes the connection and opens another", async () => {
  server.stream("/events").stream("/other");
  const hook = renderHook(({ path, topic }) => useSSE(BASE + path, { fetch, topics: [topic] }), {
    initialProps: { path: "/events", topic: "a" },
  });
  await pass();
  server.last.send("created", 1);
  await pass();
  expect(hook.result.current.data).toBe(1);
  hook.rerender({ path: "/events", topic: "b" });
  await pass();
  expect(hook.result.current.data).toBeNull();
  hook.rerender({ path: "/other", topic: "b" });
  await pass();
  expect(server.paths()).toEqual(["/events?topic=a", "/events?topic=b", "/other?topic=b"].map((path) => `GET ${path}&include=topics`));
  expect(server.open).toBe(1);
});

test.each([[null], [undefined]])("useSSE(%s) opens nothing", async (url) => {
  const { result } = renderHook(() => useSSE(url, { fetch }));
  await pass();
  expect(result.current).toMatchObject({ data: null, error: null, isConnected: false });
  await expect(result.current.reconnect()).resolves.toBeUndefined();
  expect(server.requests).toEqual([]);
});

test("enabled opens and closes the connection", async () => {
  server.stream("/events");
  const { rerender, result } = renderHook(({ enabled }) => useSSE(`${BASE}/events`, { fetch, enabled }), { initialProps: { enabled: false } });
  await pass();
  expect(server.requests).toEqual([]);
  rerender({ enabled: true });
  await pass();
  expect(result.current.isConnected).toBe(true);
  rerender({ enabled: false });
  await pass();
  expect(result.current.isConnected).toBe(false);
  expect(server.open).toBe(0);
});

test("a fatal failure is the error, and reconnect tries again", async () => {
  server.on("/events", () => problem(403, "forbidden"));
  const { result } = renderHook(() => useSSE(`${BASE}/events`, { fetch }));
  await pass();
  expect(result.current.error).toMatchObject({ status: 403, code: "forbidden" });
  await pass(60_000);
  expect(server.requests).toHaveLength(1);
  server.stream("/events");
  const { reconnect } = result.current;
  await act(() => reconnect());
  expect(result.current).toMatchObject({ error: null, isConnected: true });
  expect(result.current.reconnect).toBe(reconnect);
});

// --- useSSEUpdates ------------------------------------------------------------------------------------

test("useSSEUpdates has the events of a merchant, the newest last, and no more than it is told", async () => {
  server.stream(UPDATES);
  const onUpdate = vi.fn();
  const { result } = renderHook(() => useSSEUpdates("shop", { fetch, baseUrl: `${BASE}/`, max: 3, onUpdate }), { wrapper: StrictMode });
  expect(result.current).toMatchObject({ events: [], connectionStatus: "connecting" });
  await pass();
  expect(result.current.connectionStatus).toBe("connected");
  const ids = { stage: "ai_parsing", poId: "po-1", workflowId: "1" };
  server.last
    .send("stage", { ...ids, status: "started", message: "AI parsing started" }, "0000000000001-000001")
    .send("heartbeat", {})
    .send("progress", { ...ids, progress: 5, message: "" }, "0000000000001-000002")
    .send("completion", { ...ids, confidence: 90 }, "0000000000001-000003")
    .send("error", { ...ids, error: "no lines" }, "0000000000001-000004")
    .send("unknown", {}, "0000000000001-000005");
  await pass();
  expect(result.current.events.map(({ type }) => type)).toEqual(["progress", "completion", "error"]);
  expect(result.current.events.at(-1)).toEqual({ id: "0000000000001-000004", type: "error", data: { ...ids, error: "no lines" } });
  expect(result.current.error).toBeNull();
  expect(onUpdate).toHaveBeenCalledTimes(4);
  expect(server.requests).toHaveLength(1);
});

test("a merchant's connection is connecting while it returns, and disconnected when it is given up", async () => {
  server.stream(UPDATES);
  const { result } = renderHook(() => useSSEUpdates("shop", { fetch, baseUrl: BASE }));
  await pass();
  server.last.break();
  await pass();
  expect(result.current.connectionStatus).toBe("connecting");
  server.on(UPDATES, () => problem(403, "forbidden"));
  await pass(60_000);
  expect(result.current).toMatchObject({ connectionStatus: "disconnected", error: { status: 403 } });
});

test("another merchant begins with no events, and no merchant is disconnected", async () => {
  server.stream(UPDATES).stream("/api/realtime/events?merchantId=other%26");
  const { result, rerender } = renderHook(({ merchantId }) => useSSEUpdates(merchantId, { fetch, baseUrl: BASE }), {
    initialProps: { merchantId: "shop" as string | null },
  });
  await pass();
  server.last.send("stage", { stage: "ai_parsing" }, "0000000000001-000001");
  await pass();
  expect(result.current.events).toHaveLength(1);
  rerender({ merchantId: "other&" });
  expect(result.current.events).toEqual([]);
  await pass();
  expect(server.paths().at(-1)).toBe("GET /api/realtime/events?merchantId=other%26");
  expect(server.open).toBe(1);
  rerender({ merchantId: null });
  await pass();
  expect(result.current.connectionStatus).toBe("disconnected");
  expect(server.open).toBe(0);
});
