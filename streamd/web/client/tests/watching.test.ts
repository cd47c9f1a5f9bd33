import { afterEach, describe, expect, test, vi } from "vitest";

import { StreamFailure } from "../src/index.js";
import { PATH, open, pass, server, useVirtualServer } from "./support/core.js";
import { problem } from "./support/scripted.js";

useVirtualServer();

/** Show, hide, freeze or disconnect the page. */
function fakePage() {
  const window = new EventTarget();
  const page = { hidden: false };
  const navigator = { onLine: true };
  vi.stubGlobal("document", page);
  vi.stubGlobal("navigator", navigator);
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
  const dispatch = (type: string, fields: object = {}) => window.dispatchEvent(Object.assign(new Event(type), fields));
  return {
    dispatch,
    show: (isShown: boolean) => {
      page.hidden = !isShown;
      dispatch("visibilitychange");
    },
    goOnline: (isOnline: boolean) => {
      navigator.onLine = isOnline;
      dispatch(isOnline ? "online" : "offline");
    },
  };
}

/** Let the wall clock jump while timers stand still. */
function jump(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
});

describe("a silent server", () => {
  test("is given up after 2.5 heartbeats, in the interval that it tells", async () => {
    const { stream } = open();
    await pass();
    server.last.send("connected", { heartbeat_seconds: 10 });
    await pass(20_000);
    server.last.write(": heartbeat\n\n");
    await pass(24_000);
    expect(server.streams.length).toBe(1);
    await pass(2000);
    expect(stream.state.failure).toBeInstanceOf(StreamFailure);
    await pass(2000);
    expect(server.streams.length).toBe(2);
    expect(server.open).toBe(1);
    stream.disconnect();
  });

  test("is not given up if it tells no interval, or with silenceMs: 0", async () => {
    const foreign = open();
    await pass();
    await pass(3_600_000);
    expect(server.streams.length).toBe(1);
    foreign.stream.disconnect();
    const patient = open({ silenceMs: 0 });
    await pass();
    server.last.send("connected", { heartbeat_seconds: 10 });
    await pass(3_600_000);
    expect(server.streams.length).toBe(2);
    patient.stream.disconnect();
  });

  test("that sends no head is given up after connectMs", async () => {
    server.on(PATH, () => new Promise(() => {}));
    const { stream } = open({ connectMs: 4000 });
    await pass(4000);
    expect(stream.state.phase).toBe("connecting");
    await pass(1000);
    expect(stream.state).toMatchObject({ phase: "waiting", failure: { fatal: false } });
    stream.disconnect();
  });
});

describe("a computer that was asleep", () => {
  test("connects again, also to a server without heartbeats", async () => {
    const { stream } = open();
    await pass();
    jump(600_000);
    await pass(3000);
    expect(server.streams.length).toBe(2);
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test("does not wait longer for a retry that is due", async () => {
    server.on(PATH, () => problem(503, "overloaded", { "Retry-After": "3600" }));
    const { stream } = open();
    await pass();
    server.stream(PATH, () => {});
    jump(3_700_000);
    await pass(1000);
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test("survives a clock that is set back", async () => {
    const { stream } = open({ silenceMs: 5000 });
    await pass();
    jump(-3_600_000);
    await pass(3000);
    expect(server.streams.length).toBe(2);
    await pass(10_000);
    expect(server.streams.length).toBeGreaterThan(2);
    stream.disconnect();
  });
});

test("timers of a hidden page, which come once a minute, are no sleep", async () => {
  const { stream } = open();
  await pass();
  for (let minute = 0; minute < 10; minute += 1) {
    jump(59_000);
    await pass(1000);
  }
  expect(server.streams.length).toBe(1);
  stream.disconnect();
});

describe("a page", () => {
  test("that is hidden stays connected by default", async () => {
    const page = fakePage();
    const { stream } = open();
    await pass();
    page.show(false);
    await pass(60_000);
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test("that is hidden with openWhenHidden: false disconnects, and resumes when it is shown", async () => {
    const page = fakePage();
    page.show(false);
    const { stream } = open({ openWhenHidden: false });
    await pass(60_000);
    expect(stream.state).toMatchObject({ phase: "waiting", retryAt: null });
    expect(server.requests).toEqual([]);
    page.show(true);
    await pass();
    server.last.send("tick", 1, "a");
    await pass();
    page.show(false);
    await pass(60_000);
    expect(server.open).toBe(0);
    expect(stream.state).toMatchObject({ phase: "waiting", failure: null });
    page.show(true);
    await pass();
    expect(server.requests.at(-1)?.headers.get("Last-Event-ID")).toBe("a");
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test("that is shown or online again ends a wait, but not that which the server asked for", async () => {
    const page = fakePage();
    server.off(PATH);
    const { stream } = open();
    await pass(1000);
    expect(server.requests.length).toBe(2);
    page.show(true);
    await pass();
    expect(server.requests.length).toBe(3);
    server.on(PATH, () => problem(503, "overloaded", { "Retry-After": "30" }));
    page.goOnline(true);
    await pass();
    expect(server.requests.length).toBe(4);
    page.goOnline(true);
    await pass(29_000);
    expect(server.requests.length).toBe(4);
    await pass(1000);
    expect(server.requests.length).toBe(5);
    stream.disconnect();
  });

  test("that goes offline ends the connection, and connects when it is online", async () => {
    const page = fakePage();
    const { stream } = open({ maxAttempts: 2 });
    await pass();
    server.off(PATH);
    page.goOnline(false);
    await pass(100_000);
    expect(stream.state.phase).toBe("waiting");
    server.stream(PATH, () => {});
    page.goOnline(true);
    await pass();
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test.each([
    ["the back/forward cache", "pageshow", { persisted: true }, 2],
    ["a freeze", "resume", {}, 2],
    ["its first load", "pageshow", { persisted: false }, 1],
  ])("that comes from %s has the connections that it needs", async (_, type, fields, connections) => {
    const page = fakePage();
    const { stream } = open();
    await pass();
    page.dispatch(type, fields);
    await pass();
    expect(server.streams.length).toBe(connections);
    expect(server.open).toBe(1);
    stream.disconnect();
  });

  test("never ends or repeats a request with a body", async () => {
    const page = fakePage();
    const { stream } = open({ method: "POST", body: "{}", openWhenHidden: false });
    await pass();
    page.show(false);
    page.show(true);
    page.goOnline(false);
    page.goOnline(true);
    page.dispatch("pageshow", { persisted: true });
    page.dispatch("resume");
    await pass(1000);
    expect(stream.isConnected).toBe(true);
    expect(server.requests.length).toBe(1);
    stream.disconnect();
  });

  test("has no listener of a closed stream", async () => {
    const page = fakePage();
    const { stream } = open();
    await pass();
    stream.disconnect();
    page.dispatch("resume");
    page.show(true);
    await pass(1000);
    expect(server.requests.length).toBe(1);
  });
});
