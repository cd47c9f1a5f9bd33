import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { websocket } from "../../src/ladder/index.js";
import { json, problem } from "../support/scripted.js";
import { FakeWebSocket } from "../support/sockets.js";
import { Rig, eventId } from "./rig.js";

const CONNECTED = { control: "connected", head: eventId(5), heartbeat_seconds: 15, retry: 2000 };

let rig: Rig;

beforeEach(() => {
  rig = new Rig();
});

afterEach(() => {
  rig.close();
});

async function connect(...messages: unknown[]): Promise<FakeWebSocket> {
  await rig.open(websocket);
  const socket = FakeWebSocket.last.accept().receive(CONNECTED, ...messages);
  await rig.pass();
  return socket;
}

function event(number: number) {
  return { id: eventId(number), type: "message", topics: ["a"], data: `event ${number}` };
}

describe("the request", () => {
  test("is the stream's URL, with the cursor and the resume secret in the query", async () => {
    const socket = await connect({ ...CONNECTED, resume_secret: "s1" }, event(6));
    expect(String(socket.url)).toBe("ws://streamd.test/events?topic=a");
    socket.close(1006);
    await rig.pass(3000);
    expect(String(FakeWebSocket.last.url)).toBe(`ws://streamd.test/events?topic=a&last_event_id=${eventId(6)}&resume_secret=s1`);
    expect(rig.server.requests).toEqual([]);
  });

  test("has a ticket in place of a token", async () => {
    rig.server.on("/prefix/auth/ticket", () => json({ ticket: "t 1" }, 201));
    await rig.open(websocket, { headers: { Authorization: "Bearer x" } }, "https://streamd.test/prefix/events?topic=a");
    expect(String(FakeWebSocket.last.url)).toBe("wss://streamd.test/prefix/events?topic=a&ticket=t+1");
    const [asked] = rig.server.requests;
    expect(asked).toMatchObject({ method: "POST", path: "/prefix/auth/ticket" });
    expect(asked!.headers.get("Authorization")).toBe("Bearer x");
  });

  test("has a new ticket at each attempt", async () => {
    let tickets = 0;
    rig.server.on("/auth/ticket", () => json({ ticket: `t${(tickets += 1)}` }, 201));
    await rig.open(websocket, { headers: () => ({ Authorization: "Bearer x" }) });
    FakeWebSocket.last.accept().receive(CONNECTED).close(1006);
    await rig.pass(3000);
    expect(FakeWebSocket.all.map(({ url }) => url.searchParams.get("ticket"))).toEqual(["t1", "t2"]);
  });

  test("is not made if the server refuses a ticket", async () => {
    rig.server.on("/auth/ticket", () => problem(401, "invalid-token"));
    await rig.open(websocket, { headers: { Authorization: "Bearer x" } });
    expect(FakeWebSocket.all).toEqual([]);
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { status: 401, code: "invalid-token" } });
  });
});

describe("what arrives", () => {
  test("becomes events and control frames", async () => {
    await connect(event(6), { control: "cursor", id: eventId(9) }, { control: "heartbeat", timestamp: "now" });
    expect(rig.stream.state).toMatchObject({ phase: "open", transport: "websocket", status: 101 });
    expect(rig.events).toEqual([{ ...event(6), encoding: "" }]);
    expect(rig.controls.map(({ type, data }) => [type, data])).toEqual([
      ["connected", JSON.stringify({ head: eventId(5), heartbeat_seconds: 15 })],
      ["heartbeat", '{"timestamp":"now"}'],
    ]);
    expect(rig.stream.lastEventId).toBe(eventId(9));
  });

  test("is all passed on before the end counts", async () => {
    await rig.open(websocket);
    FakeWebSocket.last.accept().receive(CONNECTED, event(6), { control: "closing", reason: "replaced" }).close(4001);
    await rig.pass();
    expect(rig.events).toHaveLength(1);
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { code: "replaced" } });
  });

  test("may not be anything else", async () => {
    await connect("hello");
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { fatal: true } });
    expect(FakeWebSocket.last.isOpen).toBe(false);
  });

  test("keeps the watchdog quiet", async () => {
    const socket = await connect();
    for (let beat = 0; beat < 5; beat += 1) {
      await rig.pass(30_000);
      socket.receive({ control: "heartbeat" });
    }
    expect(rig.stream.isConnected).toBe(true);
    await rig.pass(39_000);
    expect(rig.stream.isConnected).toBe(false);
    expect(socket.isOpen).toBe(false);
  });

  test("waits for a loop that is behind", async () => {
    await rig.open(websocket);
    rig.stream.disconnect();
    void rig.stream[Symbol.asyncIterator]().next();
    await rig.pass();
    const socket = FakeWebSocket.last.accept().receive(CONNECTED);
    for (let number = 1; number <= 3000; number += 1) socket.receive(event(number + 10));
    await rig.pass();
    expect(socket.isOpen).toBe(true);
    expect(Number(rig.stream.lastEventId.slice(-6))).toBeLessThan(1020);
  });

  test("waits for a loop that is behind, up to 10,000 messages, and resumes where the loop is", async () => {
    await rig.open(websocket);
    rig.stream.disconnect();
    const loop = rig.stream[Symbol.asyncIterator]();
    const first = loop.next();
    await rig.pass();
    const socket = FakeWebSocket.last.accept().receive(CONNECTED);
    for (let number = 1; number <= 12_000; number += 1) socket.receive(event(number + 10));
    await rig.pass();
    expect(socket.isOpen).toBe(false);
    expect((await first).value.id).toBe(eventId(11));
    let taken = 1;
    while (FakeWebSocket.last === socket && taken < 12_000) {
      await loop.next();
      await rig.pass(1);
      taken += 1;
      if (rig.stream.state.phase === "waiting") await rig.pass(3000);
    }
    const cursor = FakeWebSocket.last.url.searchParams.get("last_event_id")!;
    expect(Number(cursor.slice(-6))).toBeGreaterThanOrEqual(10_000);
    FakeWebSocket.last.accept().receive(CONNECTED, event(Number(cursor.slice(-6)) + 1));
    let last = "";
    while (last <= cursor) last = (await loop.next()).value.id;
    expect(last).toBe(eventId(Number(cursor.slice(-6)) + 1));
  });
});

describe("the end", () => {
  test.each([1000, 1001, 1006, 1008, 1012])("without a closing frame is a failure, with code %i", async (code) => {
    (await connect()).close(code);
    await rig.pass();
    expect(rig.stream.state).toMatchObject({ phase: "waiting", failure: { fatal: false } });
  });

  test("after a closing frame is orderly, whatever the code", async () => {
    (await connect({ control: "closing", reason: "revoked" })).close(1008);
    await rig.pass();
    expect(rig.stream.state).toMatchObject({ phase: "waiting", failure: null });
  });

  test("by the page closes the socket", async () => {
    const socket = await connect();
    rig.stream.disconnect();
    expect(socket.isOpen).toBe(false);
  });
});

describe("a socket that does not open is explained by a poll", () => {
  const friendly = () => json({ events: [], next: eventId(1) });

  async function refuse(answer?: Response) {
    if (answer) rig.server.on("/events/poll", () => answer.clone());
    await rig.open(websocket);
    FakeWebSocket.last.close(1006);
    await rig.pass();
    return rig.stream.state;
  }

  test("which the server answers, also after a second socket: the network refuses WebSockets", async () => {
    expect(await refuse(friendly())).toMatchObject({ phase: "connecting", failure: null });
    FakeWebSocket.last.close(1006);
    await rig.pass();
    expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { fatal: true, code: "" } });
    expect(rig.server.paths()).toEqual(Array(2).fill("GET /events/poll?topic=a&wait=0"));
    expect(FakeWebSocket.all).toHaveLength(2);
  });

  test("which the server answers, because it has started in between: the second socket opens", async () => {
    await refuse(friendly());
    FakeWebSocket.last.accept().receive(CONNECTED, event(6));
    await rig.pass();
    expect(rig.stream.state).toMatchObject({ phase: "open", failure: null });
    expect(rig.events).toHaveLength(1);
  });

  test("and a second socket has a ticket of its own", async () => {
    let tickets = 0;
    rig.server.on("/auth/ticket", () => json({ ticket: `t${(tickets += 1)}` }, 201));
    rig.server.on("/events/poll", friendly);
    await rig.open(websocket, { headers: { Authorization: "Bearer x" } });
    FakeWebSocket.last.close(1006);
    await rig.pass();
    expect(FakeWebSocket.all.map(({ url }) => url.searchParams.get("ticket"))).toEqual(["t1", "t2"]);
  });

  test("which is not answered: the server is away", async () => {
    expect(await refuse()).toMatchObject({ phase: "waiting", failure: { fatal: false } });
  });

  test("which is rejected: so is the socket", async () => {
    expect(await refuse(problem(403, "forbidden"))).toMatchObject({ phase: "closed", failure: { status: 403, code: "forbidden" } });
  });

  test("which the server is too busy for", async () => {
    expect(await refuse(problem(503, "too-many-connections"))).toMatchObject({ phase: "waiting", failure: { status: 503 } });
  });

  test("which says that the stream is over", async () => {
    expect(await refuse(new Response(null, { status: 204 }))).toMatchObject({ phase: "closed", status: 204, failure: null });
  });
});

test("without WebSocket there is none", async () => {
  vi.stubGlobal("WebSocket", undefined);
  await rig.open(websocket);
  expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { fatal: true, code: "" } });
});

describe("sending", () => {
  test("publishes, and the answers come in order", async () => {
    const socket = await connect();
    const sent = [rig.stream.send({ topic: "a", data: 1 }), rig.stream.send({ topic: "b" }), rig.stream.send({ topic: "c" })];
    expect(socket.sent).toEqual([
      { control: "publish", topic: "a", data: 1 },
      { control: "publish", topic: "b" },
      { control: "publish", topic: "c" },
    ]);
    socket.receive({ control: "published", id: "1" }, { control: "error", code: "forbidden", detail: "no" }, event(6));
    socket.receive({ control: "published", id: "3" });
    await expect(sent[0]).resolves.toBe("1");
    await expect(sent[1]).rejects.toMatchObject({ code: "forbidden", message: "no" });
    await expect(sent[2]).resolves.toBe("3");
    expect(rig.stream.isConnected).toBe(true);
    expect(rig.events).toHaveLength(1);
  });

  test("rejects what was not answered when the connection ends", async () => {
    const socket = await connect();
    const sent = rig.stream.send({ topic: "a" });
    socket.close(1006);
    await expect(sent).rejects.toMatchObject({ name: "StreamFailure", fatal: false });
  });

  test("posts an event that is too long for a message", async () => {
    rig.server.on("/events", () => json({ id: "9" }, 201));
    const socket = await connect();
    expect(await rig.stream.send({ topic: "a", data: "x".repeat(20_000) })).toBe("9");
    expect(socket.sent).toEqual([]);
  });

  test("posts while the socket is closing", async () => {
    rig.server.on("/events", () => json({ id: "9" }, 201));
    const socket = await connect();
    socket.readyState = 2;
    expect(await rig.stream.send({ topic: "a" })).toBe("9");
    expect(socket.sent).toEqual([]);
  });

  test("posts after a ticket, which lets nothing be published", async () => {
    rig.server.on("/auth/ticket", () => json({ ticket: "t" }, 201)).on("/events", () => json({ id: "9" }, 201));
    await rig.open(websocket, { headers: { Authorization: "Bearer x" } });
    const socket = FakeWebSocket.last.accept().receive(CONNECTED);
    await rig.pass();
    expect(await rig.stream.send({ topic: "a" })).toBe("9");
    expect(socket.sent).toEqual([]);
    expect(rig.server.requests.at(-1)!.headers.get("Authorization")).toBe("Bearer x");
  });
});
