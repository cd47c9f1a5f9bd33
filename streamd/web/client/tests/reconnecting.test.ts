import { afterEach, describe, expect, test, vi } from "vitest";

import { PATH, START, open, outcome, pass, recordTimes, server, useVirtualServer } from "./support/core.js";
import { json, problem } from "./support/scripted.js";

useVirtualServer();

describe("waits", () => {
  test("are at most 1, 2, 4, 8, 16, 30, 30 s after failures in succession", async () => {
    server.off(PATH);
    const times = recordTimes();
    const { stream } = open();
    await pass(91_000);
    expect(times).toEqual([0, 1000, 3000, 7000, 15_000, 31_000, 61_000, 91_000]);
    expect(stream.state).toMatchObject({ phase: "waiting", attempt: 8, failure: { status: null, fatal: false } });
    expect(stream.state.retryAt).toBe(START + 121_000);
    stream.disconnect();
  });

  test("begin at 1 s again after a connection that brought an event, or was open for 10 s", async () => {
    const times = recordTimes();
    const { stream } = open();
    const lose = async (before: () => unknown, waitMs: number) => {
      await pass();
      await before();
      server.last.break();
      await pass(waitMs);
    };
    await lose(() => {}, 1000);
    await lose(() => server.last.send("connected", {}).send("heartbeat", {}), 2000);
    await lose(() => server.last.send("tick", 1), 1000);
    expect(stream.state.attempt).toBe(2);
    await lose(() => {}, 2000);
    await lose(() => pass(10_001), 1000);
    expect(times).toEqual([0, 1000, 3000, 4000, 6000, 17_001]);
    stream.disconnect();
  });

  test("are not shorter than the last `retry:`, over all connections", async () => {
    const times = recordTimes();
    const { stream } = open();
    await pass();
    server.last.write("retry: 5000\n\n").break();
    await pass(6000);
    server.last.break();
    await pass(7000);
    server.last.write("retry: 0\n\n").break();
    await pass(4000);
    expect(times).toEqual([0, 6000, 13_000, 17_000]);
    stream.disconnect();
  });

  test.each([
    ["7", 7000],
    [new Date(START + 20_000).toUTCString(), 20_000],
  ])("are not shorter than Retry-After: %s", async (value, leastMs) => {
    server.on(PATH, () => problem(503, "overloaded", { "Retry-After": value }));
    vi.spyOn(Math, "random").mockReturnValue(0);
    const times = recordTimes();
    const { stream } = open();
    await pass(leastMs);
    expect(times).toEqual([0, leastMs]);
    expect(stream.state).toMatchObject({ status: 503, failure: { code: "overloaded", retryAfterMs: expect.any(Number) } });
    stream.disconnect();
  });

  test("of more than 24 days do not fire at once", async () => {
    server.on(PATH, () => problem(503, "overloaded", { "Retry-After": "999999999999" }));
    const { stream } = open();
    await pass(3_600_000);
    expect(server.requests.length).toBe(1);
    stream.disconnect();
  });

  test("end with reconnect(), whatever the server asked for", async () => {
    server.on(PATH, () => problem(503, "overloaded", { "Retry-After": "60" }));
    const { stream } = open();
    await pass(1000);
    server.stream(PATH, () => {});
    await stream.reconnect();
    expect(stream.state).toMatchObject({ phase: "open", attempt: 1, failure: null });
    stream.disconnect();
  });
});

describe("statuses", () => {
  test.each([408, 425, 429, 500, 502, 503, 504])("%d is tried again", async (status) => {
    server.on(PATH, () => new Response("", { status }));
    const { stream } = open();
    await pass(1000);
    expect(server.requests.length).toBe(2);
    expect(stream.state).toMatchObject({ phase: "waiting", status });
    stream.disconnect();
  });

  test.each([400, 401, 403, 404, 410, 422])("%d is fatal", async (status) => {
    server.on(PATH, () => problem(status, "no"));
    const { stream, connected } = open();
    await pass(600_000);
    expect(server.requests.length).toBe(1);
    expect(stream.state).toMatchObject({ phase: "closed", status, failure: { status, code: "no", fatal: true } });
    expect(connected.error).toBe(stream.state.failure);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a page in place of the stream is fatal, and not read", async () => {
    const endless = new ReadableStream();
    server.on(PATH, () => new Response(endless, { headers: { "Content-Type": "text/html" } }));
    const { stream } = open();
    await pass();
    expect(stream.state).toMatchObject({ phase: "closed", status: 200, failure: { fatal: true } });
    expect(stream.state.failure?.message).toBe("the server answered 200 text/html");
  });

  test("connect() after a fatal failure begins without it", async () => {
    server.on(PATH, () => problem(403, "forbidden"));
    const { stream } = open();
    await pass();
    server.stream(PATH, () => {});
    const connected = stream.connect();
    expect(stream.state).toMatchObject({ phase: "connecting", status: null, failure: null });
    await connected;
    stream.disconnect();
  });
});

describe("headers", () => {
  test("are asked for at every attempt", async () => {
    let count = 0;
    const { stream } = open({ headers: () => Promise.resolve({ Authorization: `Bearer ${(count += 1)}` }) });
    await pass();
    server.last.write('event: closing\ndata: {"reason":"expired"}\n\n').end();
    await pass(1000);
    expect(server.requests.map(({ headers }) => headers.get("Authorization"))).toEqual(["Bearer 1", "Bearer 2"]);
    stream.disconnect();
  });

  test("are asked for again after a 401, once and at once", async () => {
    server.on(PATH, () => problem(401, "unauthorized"));
    const headers = vi.fn(() => ({ Authorization: "Bearer old" }));
    const { stream } = open({ headers });
    await pass();
    expect(headers).toHaveBeenCalledTimes(2);
    expect(stream.state).toMatchObject({ phase: "closed", status: 401 });
    headers.mockClear();
    void stream.connect();
    await pass();
    expect(headers).toHaveBeenCalledTimes(2);
  });

  test("that are refreshed after each of two expiries keep the stream", async () => {
    let isExpired = true;
    server.on(PATH, () => problem(401, "unauthorized"));
    const refresh = () => {
      if ((isExpired = !isExpired)) server.stream(PATH, () => {});
      return {};
    };
    const { stream } = open({ headers: refresh });
    await pass();
    expect(stream.isConnected).toBe(true);
    server.on(PATH, () => problem(401, "unauthorized"));
    server.last.send("tick", 1).end();
    await pass(1000);
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test("whose function throws are a failure that is tried again", async () => {
    const headers = vi.fn(() => Promise.reject(new Error("no token")));
    const { stream } = open({ headers });
    await pass(1000);
    expect(headers).toHaveBeenCalledTimes(2);
    expect(stream.state.failure?.message).toBe("the connection failed: Error: no token");
    expect(server.requests).toEqual([]);
    stream.disconnect();
  });

  test("whose function hangs are given up, and not used later", async () => {
    let answer!: (headers: HeadersInit) => void;
    const headers = vi.fn(() => new Promise<HeadersInit>((resolve) => (answer = resolve)));
    const { stream } = open({ headers, connectMs: 3000 });
    await pass(4000);
    expect(stream.state).toMatchObject({ phase: "waiting", failure: { fatal: false } });
    answer({});
    await pass();
    expect(server.requests).toEqual([]);
    stream.disconnect();
  });
});

describe("attempts", () => {
  test("end after maxAttempts in succession", async () => {
    server.off(PATH);
    const { stream, connected } = open({ maxAttempts: 3 });
    await pass(600_000);
    expect(server.requests.length).toBe(3);
    expect(stream.state).toMatchObject({ phase: "closed", attempt: 3 });
    expect(connected.error).toBe(stream.state.failure);
  });

  test("of which each is accepted and ended are failures too", async () => {
    server.stream(PATH, (answer) => answer.end());
    const { stream } = open({ maxAttempts: 2 });
    await pass(600_000);
    expect(server.streams.length).toBe(2);
    expect(stream.state.failure?.message).toBe("the connection was closed");
  });

  test("wait for nothing while the browser is offline, and are not counted", async () => {
    vi.stubGlobal("navigator", { onLine: false });
    server.off(PATH);
    const { stream } = open({ maxAttempts: 2 });
    await pass(300_000);
    expect(server.requests.length).toBe(11);
    expect(stream.state).toMatchObject({ phase: "waiting", attempt: 1 });
    stream.disconnect();
  });
});

describe("a request with a body", () => {
  const post = { method: "POST", body: "{}" };

  test("is not repeated by itself after an end, a loss or a rejection", async () => {
    for (const close of [() => server.last.end(), () => server.last.break()]) {
      const { stream } = open(post);
      await pass();
      server.last.send("tick", 1);
      close();
      await pass(600_000);
      expect(stream.state.phase).toBe("closed");
    }
    expect(server.streams.length).toBe(2);
    server.on(PATH, () => json({}, 503));
    const { stream } = open({ ...post, headers: () => ({}) });
    await pass(600_000);
    expect(server.requests.length).toBe(3);
    expect(stream.state).toMatchObject({ phase: "closed", status: 503, failure: { status: 503 } });
  });

  test("is repeated by reconnect() and connect()", async () => {
    const { stream } = open(post);
    await pass();
    await stream.reconnect();
    server.last.end();
    await pass();
    expect(stream.state.phase).toBe("closed");
    await stream.connect();
    expect(server.requests.map(({ method, body }) => [method, body])).toEqual(Array(3).fill(["POST", "{}"]));
    stream.disconnect();
  });
});

test("two reconnect() at once resolve with the one new connection", async () => {
  const { stream } = open();
  await pass();
  const promises = [outcome(stream.reconnect()), outcome(stream.reconnect())];
  expect(stream.state.phase).toBe("connecting");
  await pass();
  expect(promises.map((promise) => "value" in promise)).toEqual([true, true]);
  expect(server.streams.length).toBe(2);
  expect(server.open).toBe(1);
  stream.disconnect();
  expect(outcome(stream.reconnect())).toEqual({});
  await pass();
  expect(stream.isConnected).toBe(true);
  stream.disconnect();
});

test("a connection that does not end after `closing` is given up, and the server's `retry:` holds", async () => {
  const { stream } = open();
  await pass();
  server.last.send("connected", { heartbeat_seconds: 15 }).write("retry: 60000\n\n").send("closing", { reason: "lifetime" });
  await pass(10_000);
  expect(stream.isConnected).toBe(true);
  await pass(2000);
  expect(stream.state).toMatchObject({ phase: "waiting", failure: { fatal: false } });
  expect(stream.state.retryAt).toBeGreaterThan(START + 70_000);
  stream.disconnect();
});

test("a connection that was replaced by another of this client stays closed", async () => {
  const { stream } = open();
  await pass();
  server.last.send("closing", { reason: "replaced" }).end();
  await pass(600_000);
  expect(server.streams.length).toBe(1);
  expect(stream.state).toMatchObject({ phase: "closed", failure: { code: "replaced", fatal: true } });
  await stream.reconnect();
  server.last.end();
  await pass(1000);
  expect(server.streams.length).toBe(3);
  stream.disconnect();
});

afterEach(async () => {
  await pass();
  expect(server.open).toBe(0);
});
