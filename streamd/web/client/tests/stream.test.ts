import { expect, test, vi } from "vitest";

import { StreamFailure, createStream, type StreamState } from "../src/index.js";
import { PATH, id, open, outcome, pass, server, useVirtualServer } from "./support/core.js";
import { json, problem } from "./support/scripted.js";

useVirtualServer();

test("the state goes from closed over connecting to open, with status, attempt and last event id", async () => {
  const { stream, states, connected } = open();
  expect(stream.state).toMatchObject({ phase: "connecting", attempt: 1, status: null, lastEventId: "" });
  await pass();
  expect(connected).toEqual({ value: undefined });
  expect("value" in connected).toBe(true);
  server.last.send("tick", 1, id(1));
  await pass();
  stream.disconnect();
  expect(states.map(({ phase, status, lastEventId }) => [phase, status, lastEventId])).toEqual([
    ["connecting", null, ""],
    ["open", 200, ""],
    ["closed", 200, id(1)],
  ]);
  expect(stream.isConnected).toBe(false);
});

test("an event does not change the state", async () => {
  const { stream } = open();
  await pass();
  const { state } = stream;
  server.last.send("tick", 1, id(1));
  await pass();
  expect(stream.state).toBe(state);
  expect(stream.lastEventId).toBe(id(1));
  stream.disconnect();
});

test("no type of event is lost, also not those that are names of object properties", async () => {
  const types = ["__proto__", "constructor", "toString", "error", "open", "message", "tick"];
  const { stream, events } = open();
  const heard: string[] = [];
  for (const type of types) stream.on(type, (event) => heard.push(event.type));
  await pass();
  for (const type of types) server.last.send(type, type);
  await pass();
  expect(heard).toEqual(types);
  expect(events.map(({ type }) => type)).toEqual(types);
  stream.disconnect();
});

test("an event of type error is no failure of the stream", async () => {
  const { stream, events } = open();
  await pass();
  server.last.send("error", { code: "task_failed" }, id(1));
  await pass();
  expect(events[0]?.json()).toEqual({ code: "task_failed" });
  expect(stream.state).toMatchObject({ phase: "open", failure: null });
  stream.disconnect();
});

test("a handler that throws keeps neither the others nor the stream from working", async () => {
  const { stream, events } = open();
  const uncaught: unknown[] = [];
  vi.stubGlobal("queueMicrotask", (call: () => void) => {
    try {
      call();
    } catch (error) {
      uncaught.push(error);
    }
  });
  const broken = () => {
    throw new Error("broken");
  };
  stream.on(broken).on("tick", broken);
  stream.onState(broken);
  await pass();
  server.last.send("tick", 1).send("tick", 2);
  await pass();
  expect(events.length).toBe(2);
  expect(uncaught.length).toBe(5);
  stream.off(broken).off("tick", broken);
  stream.disconnect();
});

test("a handler that was removed is not called", async () => {
  const { stream } = open();
  const handler = vi.fn();
  stream.on("tick", handler).on(handler);
  stream.off("tick", handler).off(handler).off("never", handler);
  const remove = stream.onState(handler);
  remove();
  await pass();
  server.last.send("tick", 1);
  await pass();
  expect(handler).not.toHaveBeenCalled();
  stream.disconnect();
});

test("after disconnect() within a handler no other event of the same piece arrives", async () => {
  const { stream, data } = open();
  stream.on("last", () => stream.disconnect());
  await pass();
  server.last.send("last", "a").send("tick", "b");
  await pass();
  expect(data()).toEqual(['"a"']);
  expect(stream.state.phase).toBe("closed");
  expect(vi.getTimerCount()).toBe(0);
});

test("after reconnect() within a handler the events that follow come by the new connection", async () => {
  const { stream, data } = open();
  stream.on("stop", () => void stream.reconnect());
  await pass();
  server.last.send("stop", "a", id(1)).send("tick", "b", id(2));
  await pass();
  expect(server.requests[1]?.headers.get("Last-Event-ID")).toBe(id(1));
  server.last.send("tick", "b", id(2));
  await pass();
  expect(data()).toEqual(['"a"', '"b"']);
  stream.disconnect();
});

test.each(["connecting", "open", "waiting"])("disconnect() within a listener of the state %s closes for good", async (phase) => {
  const stream = createStream(`http://streamd.test${PATH}`, { fetch: server.fetch as typeof fetch });
  stream.onState((state) => state.phase === phase && stream.disconnect());
  const connected = outcome(stream.connect());
  await pass();
  if (phase === "waiting") server.last.end();
  await pass(60_000);
  expect(stream.state.phase).toBe("closed");
  expect(server.streams.length).toBeLessThanOrEqual(1);
  expect(server.open).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  if (phase === "connecting") expect(connected.error).toBeInstanceOf(StreamFailure);
});

test("listeners never see an old state after a new one", async () => {
  const stream = createStream(`http://streamd.test${PATH}`, { fetch: server.fetch as typeof fetch });
  const seen: StreamState[] = [];
  stream.onState((state) => state.phase === "open" && stream.disconnect());
  stream.onState((state) => seen.push(state));
  void stream.connect();
  await pass();
  expect(seen.map(({ phase }) => phase)).toEqual(["connecting", "closed", "closed"]);
});

test("a stream that was disconnected and connected at once has one connection", async () => {
  const { stream } = open();
  await pass();
  stream.disconnect();
  void stream.connect();
  await pass();
  expect(stream.isConnected).toBe(true);
  expect(server.open).toBe(1);
  stream.disconnect();
  await pass();
  expect(server.open).toBe(0);
});

test("connect() while connected makes no second connection", async () => {
  const { stream } = open();
  await stream.connect();
  await stream.connect();
  expect(server.streams.length).toBe(1);
  stream.disconnect();
});

test("disconnect() rejects a connect() that waits, and an ignored rejection is no unhandled one", async () => {
  const { stream, connected } = open();
  stream.disconnect();
  await pass();
  expect(connected.error).toMatchObject({ name: "StreamFailure", fatal: true });
  stream.disconnect();
  expect(stream.state.failure).toBeNull();
});

test("204 ends the stream without a failure", async () => {
  server.on(PATH, () => new Response(null, { status: 204 }));
  const { stream, connected } = open();
  await pass(60_000);
  expect(stream.state).toMatchObject({ phase: "closed", status: 204, failure: null });
  expect(connected.error).toBeInstanceOf(StreamFailure);
  expect(server.requests.length).toBe(1);
});

// --- aborts ---------------------------------------------------------------------------------------

test("an abort closes the stream", async () => {
  const controller = new AbortController();
  const { stream } = open({ signal: controller.signal });
  await pass();
  controller.abort();
  await pass();
  expect(stream.state).toMatchObject({ phase: "closed", failure: null });
  expect(server.open).toBe(0);
});

test("with a signal that was aborted before, nothing is requested, and a loop ends", async () => {
  const { stream, connected } = open({ signal: AbortSignal.abort() });
  for await (const event of stream) throw new Error(`no event, but ${event.type}`);
  await pass();
  expect(connected.error).toBeInstanceOf(StreamFailure);
  expect(server.requests).toEqual([]);
  expect(stream.state.phase).toBe("closed");
});

test("a closed stream leaves no listener on the signal, and no timer", async () => {
  const { signal } = new AbortController();
  const add = vi.spyOn(signal, "addEventListener");
  const remove = vi.spyOn(signal, "removeEventListener");
  const { stream } = open({ signal });
  await pass();
  stream.disconnect();
  await stream.connect();
  stream.disconnect();
  expect(add.mock.calls.map(([, listener]) => listener)).toEqual(remove.mock.calls.map(([, listener]) => listener));
  await pass();
  expect(vi.getTimerCount()).toBe(0);
});

// --- requests -------------------------------------------------------------------------------------

test("topics and patterns are in the query, and the stream asks for the topics of events", async () => {
  const { stream } = open({ topics: ["a", "b&c"], patterns: ["orders/*"] });
  await pass();
  expect(stream.url.search).toBe("?topic=a&topic=b%26c&pattern=orders%2F*&include=topics");
  stream.disconnect();
});

test("send() posts an event to the path of the stream, and returns its id", async () => {
  const { stream } = open({ topics: ["a"], headers: { Authorization: "Bearer t" } });
  await pass();
  server.on(PATH, () => json({ id: id(7) }, 201));
  expect(await stream.send({ topic: "a", data: { b: 1 } })).toBe(id(7));
  expect(server.requests.at(-1)).toMatchObject({ method: "POST", path: PATH, body: '{"topic":"a","data":{"b":1}}' });
  expect(server.requests.at(-1)?.headers.get("Authorization")).toBe("Bearer t");
  expect(server.requests.at(-1)?.headers.get("Content-Type")).toBe("application/json");
  server.on("/publish", () => problem(403, "forbidden"));
  const elsewhere = createStream("http://streamd.test/events", { fetch: server.fetch as typeof fetch, publishUrl: "/publish" });
  await expect(elsewhere.send({ topic: "a" })).rejects.toMatchObject({ status: 403, code: "forbidden", fatal: true });
  stream.disconnect();
});

test("send() rejects with a StreamFailure, whatever is answered", async () => {
  const { stream } = open();
  for (const answer of ["", "<html>", "{}", "null"]) {
    server.on(PATH, () => new Response(answer));
    await expect(stream.send({ topic: "a" })).rejects.toBeInstanceOf(StreamFailure);
  }
  server.off(PATH);
  await expect(stream.send({ topic: "a" })).rejects.toMatchObject({ name: "StreamFailure", status: null, fatal: false });
  stream.disconnect();
});

test("send() does not wait forever", async () => {
  vi.useRealTimers();
  const fetch = (_: unknown, init?: RequestInit) =>
    new Promise<Response>((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error)));
  const stream = createStream("http://streamd.test/events", { fetch: fetch as typeof globalThis.fetch, connectMs: 1 });
  await expect(stream.send({ topic: "a" })).rejects.toBeInstanceOf(StreamFailure);
});

test("options that are undefined have their defaults", async () => {
  const options = { method: undefined, body: undefined, connectMs: undefined, transports: undefined, after: undefined };
  const { stream } = open(options as object);
  await pass();
  expect(stream.isConnected).toBe(true);
  stream.disconnect();
});

test("the cursor of the URL counts, so that a replay is not taken for repeats", async () => {
  const stream = createStream("https://server.test/events?topic=a&last_event_id=earliest", { fetch: server.fetch });
  const received: string[] = [];
  stream.on("tick", (event) => received.push(event.id));
  void stream.connect();
  await pass();
  server.last.send("connected", { head: id(9) });
  server.last.send("tick", 1, id(1));
  await pass();
  expect(received).toEqual([id(1)]);
  stream.disconnect();
});
