import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { ladder, poll, sse, type LadderOptions } from "../../src/ladder/index.js";
import { json, problem } from "../support/scripted.js";
import { FakeWebSocket } from "../support/sockets.js";
import { Rig, eventId } from "./rig.js";

const MINUTE = 60_000;

let rig: Rig;
let stored: Map<string, string>;
let polls: ((answer: Response) => void)[]; // that wait

beforeEach(() => {
  rig = new Rig();
  polls = [];
  stored = new Map();
  const setItem = (key: string, value: string) => void stored.set(key, value);
  vi.stubGlobal("sessionStorage", { getItem: (key: string) => stored.get(key) ?? null, setItem });
});

afterEach(() => {
  rig.close();
});

async function open(options: LadderOptions = {}): Promise<void> {
  await rig.open(ladder(options));
}

/** The course of requests over each transport. */
const network = {
  sse: {
    works: () => rig.server.stream("/events"),
    isBuffered: () => rig.server.stream("/events", () => {}),
    hangs: () => rig.server.on("/events", () => new Promise<Response>(() => {})),
    isRefused: () => rig.server.on("/events", () => new Response("<html>", { status: 403 })),
    isDown: () => rig.server.off("/events"),
    breaksAfter: (ms: number) =>
      rig.server.stream("/events", (stream) => {
        stream.send("connected", {});
        setTimeout(() => stream.break(), ms);
      }),
  },
  websocket: {
    works: () => (FakeWebSocket.onCreate = (socket) => void socket.accept().receive({ control: "connected" })),
    hangs: () => (FakeWebSocket.onCreate = () => {}),
    isRefused: () => (FakeWebSocket.onCreate = (socket) => socket.close()),
    isCut: () => (FakeWebSocket.onCreate = (socket) => socket.accept().close(1006)),
  },
  poll: {
    works: () =>
      rig.server.on("/events/poll", ({ path }) => {
        if (path.includes("wait=0")) return json({ events: [], next: eventId(5) });
        return new Promise<Response>((resolve) => polls.push(resolve));
      }),
    hangs: () => rig.server.on("/events/poll", () => new Promise<Response>(() => {})),
    isRefused: () => rig.server.on("/events/poll", () => new Response("<html>", { status: 405 })),
    isDown: () => rig.server.off("/events/poll"),
  },
};

/** End the poll that waits. */
async function endPoll(events: unknown[] = [], next = eventId(5)): Promise<void> {
  polls.pop()!(json({ events, next }));
  await rig.pass();
}

function allWork(): void {
  network.sse.works();
  network.websocket.works();
  network.poll.works();
}

describe("the next transport is tried at once", () => {
  test("after 5 s without a first block, from a proxy that sends the head", async () => {
    allWork();
    network.sse.isBuffered();
    await open();
    await rig.pass(5000);
    expect(rig.transports).toEqual(["sse"]);
    await rig.pass(1000); // the clock is looked at once a second
    expect(rig.transports).toEqual(["sse", "websocket"]);
    expect(rig.stream.isConnected).toBe(true);
    expect(rig.server.open).toBe(0);
  });

  test("after 5 s without a head", async () => {
    allWork();
    network.sse.hangs();
    await open();
    await rig.pass(6000);
    expect(rig.transports).toEqual(["sse", "websocket"]);
  });

  test("after a time of one's own", async () => {
    allWork();
    network.sse.isBuffered();
    await open({ firstBlockMs: 2000 });
    await rig.pass(3000);
    expect(rig.transports).toEqual(["sse", "websocket"]);
  });

  test.each([
    ["an error of a proxy", () => new Response("<html>", { status: 403 })],
    ["another media type", () => new Response("<html>", { headers: { "Content-Type": "text/html" } })],
  ])("after %s", async (_, answer) => {
    allWork();
    rig.server.on("/events", answer);
    await open();
    expect(rig.transports).toEqual(["sse", "websocket"]);
    expect(rig.stream.isConnected).toBe(true);
  });

  test("after a WebSocket that the network refuses", async () => {
    allWork();
    network.sse.isBuffered();
    network.websocket.isRefused();
    await open();
    await rig.pass(6000);
    expect(rig.transports).toEqual(["sse", "websocket", "poll"]);
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "poll" });
  });

  test("without WebSocket", async () => {
    allWork();
    network.sse.isRefused();
    vi.stubGlobal("WebSocket", undefined);
    await open();
    expect(rig.transports).toEqual(["sse", "websocket", "poll"]);
  });

  test("after a third connection in succession that broke", async () => {
    allWork();
    network.sse.isRefused();
    network.websocket.isCut();
    await open();
    await rig.pass(1000 + 2000 - 1);
    expect(rig.transports).toEqual(["sse", "websocket", "websocket"]);
    await rig.pass(1);
    expect(rig.transports).toEqual(["sse", "websocket", "websocket", "websocket", "poll"]);
  });

  test("and each has 3 connections that may break", async () => {
    allWork();
    network.sse.breaksAfter(1000);
    network.websocket.isCut();
    await open();
    await rig.pass(MINUTE);
    expect(rig.transports).toEqual(["sse", "sse", "sse", "websocket", "websocket", "websocket", "poll"]);
  });

  test("and the cursor goes with it", async () => {
    allWork();
    let number = 5;
    rig.server.stream("/events", (stream) => {
      stream.send("connected", { head: eventId(5) }).send("message", {}, eventId((number += 1)));
      setTimeout(() => stream.break(), 9000);
    });
    await open();
    await rig.pass(60_000);
    expect(rig.transports).toEqual(["sse", "sse", "sse", "websocket"]);
    expect(rig.events.map(({ id }) => id)).toEqual([6, 7, 8].map(eventId));
    expect(FakeWebSocket.last.url.searchParams.get("last_event_id")).toBe(eventId(8));
  });
});

describe("the same transport is tried again", () => {
  test("while the server cannot be reached", async () => {
    allWork();
    await open();
    network.sse.isDown();
    rig.server.last.break();
    await rig.pass(10 * MINUTE);
    expect(rig.transports.length).toBeGreaterThan(20);
    network.sse.works();
    await rig.pass(30_000);
    expect(new Set(rig.transports)).toEqual(new Set(["sse"]));
    expect(rig.stream.isConnected).toBe(true);
  });

  test("when the server restarts again and again", async () => {
    allWork();
    await open();
    for (let restart = 0; restart < 5; restart += 1) {
      await rig.pass(3000);
      network.sse.isDown();
      rig.server.last.break();
      await rig.pass(20_000);
      network.sse.works();
      while (!rig.stream.isConnected) await rig.pass(1000);
    }
    expect(new Set(rig.transports)).toEqual(new Set(["sse"]));
  });

  test("when the server is slow after a restart, twice", async () => {
    allWork();
    await open();
    await rig.pass(20_000);
    network.sse.hangs();
    rig.server.last.break();
    await rig.pass(14_000);
    network.sse.works();
    await rig.pass(2000);
    expect(rig.transports).toEqual(["sse", "sse", "sse", "sse"]);
    expect(rig.stream.isConnected).toBe(true);
  });

  test("but not when a third attempt in succession brings nothing", async () => {
    allWork();
    await open();
    await rig.pass(20_000);
    network.sse.hangs();
    rig.server.last.break();
    network.websocket.hangs();
    await rig.pass(22_000);
    expect(rig.transports).toEqual(["sse", "sse", "sse", "sse", "websocket"]);
    await rig.pass(6000);
    expect(rig.transports.slice(5)).toEqual(["poll"]); // WebSocket has not worked before
  });

  test.each([
    [503, "too-many-connections"],
    [429, "too-many-requests"],
    [502, ""],
  ])("after status %i", async (status, code) => {
    allWork();
    rig.server.on("/events", () => problem(status, code));
    await open();
    await rig.pass(5 * MINUTE);
    expect(new Set(rig.transports)).toEqual(new Set(["sse"]));
    expect(rig.stream.state.phase).not.toBe("closed");
  });

  test("after orderly ends", async () => {
    allWork();
    rig.server.stream("/events", (stream) => {
      stream.send("connected", {}).send("closing", { reason: "shutdown" });
      setTimeout(() => stream.end(), 10);
    });
    await open();
    await rig.pass(MINUTE);
    expect(new Set(rig.transports)).toEqual(new Set(["sse"]));
  });

  test("after connections of more than 10 s", async () => {
    allWork();
    network.sse.breaksAfter(11_000);
    await open();
    await rig.pass(5 * MINUTE);
    expect(new Set(rig.transports)).toEqual(new Set(["sse"]));
  });

  test("after breaks without a network", async () => {
    allWork();
    network.sse.breaksAfter(1000);
    vi.stubGlobal("navigator", { onLine: false });
    await open();
    await rig.pass(MINUTE);
    expect(new Set(rig.transports)).toEqual(new Set(["sse"]));
  });
});

describe("the stream ends", () => {
  test.each([
    [401, "invalid-token"],
    [403, "forbidden"],
    [404, "not-found"],
    [400, "invalid-field"],
  ])("when streamd answers %i", async (status, code) => {
    allWork();
    rig.server.on("/events", () => problem(status, code));
    await open();
    expect(rig.transports).toEqual(["sse"]);
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { status, code } });
  });

  test("when streamd rejects a poll for the rights of the caller", async () => {
    network.sse.isRefused();
    network.websocket.isRefused();
    rig.server.on("/events/poll", () => problem(403, "forbidden"));
    await open();
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { code: "forbidden" } });
  });

  test("when every transport is refused, and each is tried again by connect()", async () => {
    network.sse.isRefused();
    network.websocket.isRefused();
    network.poll.isRefused();
    await open();
    expect(rig.transports).toEqual(["sse", "websocket", "poll"]);
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { status: 405, fatal: true } });
    rig.stream.connect().catch(() => {});
    await rig.pass();
    expect(rig.transports).toEqual(["sse", "websocket", "poll", "sse", "websocket", "poll"]);
    expect(rig.stream.state.phase).toBe("closed");
  });
});

describe("below the last transport follows the first", () => {
  test("if not every one was refused", async () => {
    network.sse.isBuffered();
    network.websocket.isRefused();
    network.poll.isRefused();
    await open();
    await rig.pass(20_000);
    expect(rig.transports).toEqual(["sse", "websocket", "poll", "sse", "websocket", "poll", "sse", "websocket", "poll", "sse"]);
    network.sse.works();
    await rig.pass(6000);
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "sse" });
  });

  test("after a backoff, if the last one did not answer", async () => {
    network.sse.hangs();
    network.websocket.hangs();
    network.poll.hangs();
    await open();
    await rig.pass(18_000);
    expect(rig.transports).toEqual(["sse", "websocket", "poll"]);
    expect(rig.stream.state.phase).toBe("waiting");
    await rig.pass(3000);
    expect(rig.transports).toEqual(["sse", "websocket", "poll", "sse"]);
  });

  test("for a stream that is there over Server-Sent Events alone", async () => {
    network.sse.isBuffered();
    network.websocket.isRefused();
    rig.server.on("/events/poll", () => problem(404, "not-found"));
    await open();
    await rig.pass(7000);
    expect(rig.transports).toEqual(["sse", "websocket", "poll", "sse"]);
  });
});

describe("what works is remembered", () => {
  test("for the next stream, for 10 minutes", async () => {
    allWork();
    network.sse.isBuffered();
    await open();
    await rig.pass(6000);
    rig.stream.disconnect();
    await rig.pass(10 * MINUTE - 1);
    await open();
    expect(rig.transports).toEqual(["sse", "websocket", "websocket"]);
    rig.stream.disconnect();
    await rig.pass(1);
    await open();
    expect(rig.transports).toEqual(["sse", "websocket", "websocket", "sse"]);
  });

  test("as one that has worked, which may be slow once", async () => {
    allWork();
    network.sse.isBuffered();
    await open();
    await rig.pass(6000);
    rig.stream.disconnect();
    network.websocket.hangs();
    await open();
    await rig.pass(8000);
    expect(rig.transports).toEqual(["sse", "websocket", "websocket", "websocket"]);
  });

  test("for the next page", async () => {
    allWork();
    network.sse.isRefused();
    const setItem = vi.spyOn(sessionStorage, "setItem");
    await open();
    FakeWebSocket.last.receive({ control: "heartbeat" });
    await rig.pass();
    expect(setItem).toHaveBeenCalledTimes(1); // and not with each block
    vi.resetModules(); // as a new page would
    const page = (await import("../../src/ladder/index.js")) as { ladder: typeof ladder };
    await rig.open(page.ladder());
    expect(rig.transports).toEqual(["sse", "websocket", "websocket"]);
  });

  test("but not what has not worked", async () => {
    network.sse.isBuffered();
    network.websocket.hangs();
    await open();
    await rig.pass(8000);
    expect(rig.transports).toEqual(["sse", "websocket"]);
    rig.stream.disconnect();
    await open();
    expect(rig.transports.at(-1)).toBe("sse");
  });

  test.each(["", "poll", "poll 1", "poll x y", "carrier-pigeon 9e15", "{}"])("unless the storage has %j", async (value) => {
    allWork();
    vi.stubGlobal("sessionStorage", { getItem: () => value, setItem: () => {} });
    await open();
    expect(rig.transports).toEqual(["sse"]);
  });

  test("where a storage is absent, forbidden or full", async () => {
    allWork();
    network.sse.isRefused();
    const fail = () => {
      throw new DOMException("no", "SecurityError");
    };
    vi.stubGlobal("sessionStorage", { getItem: fail, setItem: fail });
    await open();
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "websocket" });
    vi.stubGlobal("sessionStorage", undefined);
    await open();
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "websocket" });
  });
});

describe("better transports are tried again", () => {
  async function openPolling(): Promise<void> {
    allWork();
    network.sse.isRefused();
    network.websocket.isRefused();
    await open();
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "poll" });
    rig.transports.length = 0;
  }

  /** Answer polls for a time (ms). */
  async function pollFor(ms: number): Promise<void> {
    for (let waited = 0; waited < ms; waited += 25_500) {
      await rig.pass(25_000);
      await endPoll();
      await rig.pass(500); // the pause after it
    }
  }

  test("while polling, at the end of a poll after 10 minutes, and every 10 minutes", async () => {
    await openPolling();
    await pollFor(9.5 * MINUTE);
    expect(rig.transports).toEqual([]);
    await pollFor(MINUTE);
    expect(rig.transports).toEqual(["sse", "websocket", "poll"]);
    await pollFor(8 * MINUTE);
    expect(rig.transports).toEqual(["sse", "websocket", "poll"]);
    network.sse.works();
    for (let waited = 0; waited < 3 * MINUTE; waited += 25_500) {
      await rig.pass(25_000);
      if (polls.length > 0) await endPoll();
      await rig.pass(500);
    }
    expect(rig.transports).toEqual(["sse", "websocket", "poll", "sse"]);
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "sse" });
  });

  test("after the events of the last poll, and nothing is lost", async () => {
    await openPolling();
    await pollFor(10 * MINUTE - 25_500);
    network.sse.works();
    await rig.pass(25_000);
    await endPoll([{ id: eventId(6), type: "message", topics: ["a"], data: "last" }], eventId(7));
    expect(rig.events.map(({ data }) => data)).toEqual(["last"]);
    expect(rig.transports).toEqual(["sse"]);
    expect(rig.server.requests.at(-1)!.headers.get("Last-Event-ID")).toBe(eventId(7));
  });

  test("by the next connection after an open WebSocket, which is not cut for that", async () => {
    allWork();
    network.sse.isRefused();
    await open();
    for (let beat = 0; beat < 30; beat += 1) {
      await rig.pass(30_000);
      FakeWebSocket.last.receive({ control: "heartbeat" });
    }
    expect(rig.transports).toEqual(["sse", "websocket"]);
    network.sse.works();
    FakeWebSocket.last.close(1006);
    await rig.pass(1000);
    expect(rig.transports).toEqual(["sse", "websocket", "sse"]);
    expect(rig.stream.isConnected).toBe(true);
  });

  test("after 10 minutes again, once a better one has worked", async () => {
    allWork();
    network.sse.isRefused();
    await open({ firstBlockMs: 5000 });
    for (let times = 0; times < 3; times += 1) {
      await rig.pass(10 * MINUTE);
      network.sse.works();
      FakeWebSocket.last.close(1006);
      await rig.pass(3000);
      expect(rig.stream.state).toMatchObject({ phase: "open", transport: "sse" });
      network.sse.isRefused();
      rig.server.last.break();
      await rig.pass(3000);
      expect(rig.stream.state).toMatchObject({ phase: "open", transport: "websocket" });
    }
  });
});

test("a ladder may have other rungs", async () => {
  allWork();
  network.sse.isRefused();
  await open({ transports: [sse, poll] });
  expect(rig.transports).toEqual(["sse", "poll"]);
  expect(rig.stream.state).toMatchObject({ phase: "open", transport: "poll" });
});
