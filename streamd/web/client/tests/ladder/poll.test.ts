import { afterEach, beforeEach, expect, test } from "vitest";

import { poll } from "../../src/ladder/index.js";
import { json, problem } from "../support/scripted.js";
import { Rig, eventId } from "./rig.js";

const PATH = "/events/poll";

let rig: Rig;
let answers: (Response | Promise<Response>)[];

beforeEach(() => {
  rig = new Rig();
  answers = [];
  rig.server.on(PATH, () => answers.shift() ?? new Promise<Response>(() => {}));
});

afterEach(() => {
  rig.close();
});

function event(number: number, fields: Record<string, unknown> = {}) {
  return { id: eventId(number), type: "message", topics: ["a"], data: `event ${number}`, ...fields };
}

function answer(events: unknown[], next: number, fields: Record<string, unknown> = {}) {
  return json({ events, next: eventId(next), gap: null, ...fields });
}

/** The query of each poll. */
function queries(): Record<string, string>[] {
  return rig.server.requests.map(({ path }) => Object.fromEntries(new URL(path, "http://x").searchParams));
}

test("the first poll does not wait and gives the head, the next ones wait for what follows", async () => {
  answers = [answer([], 5), answer([event(6), event(7)], 8), answer([], 9)];
  await rig.open(poll);
  await rig.pass(600);
  expect(rig.stream.state).toMatchObject({ phase: "open", transport: "poll", status: 200 });
  expect(queries()).toEqual([
    { topic: "a", wait: "0" },
    { topic: "a", wait: "25", after: eventId(5) },
    { topic: "a", wait: "25", after: eventId(8) },
    { topic: "a", wait: "25", after: eventId(9) },
  ]);
  expect(rig.controls.map(({ type, data }) => [type, JSON.parse(data)])).toEqual([
    ["connected", { head: eventId(5), heartbeat_seconds: 25, resume_secret: "" }],
  ]);
  expect(rig.events.map(({ id }) => id)).toEqual([eventId(6), eventId(7)]);
  expect(rig.stream.lastEventId).toBe(eventId(9));
});

test("events of the first answer are not skipped by its head", async () => {
  answers = [answer([event(6)], 6)];
  await rig.open(poll, { after: eventId(1) });
  expect(queries()[0]).toEqual({ topic: "a", wait: "0", after: eventId(1) });
  expect(rig.events).toHaveLength(1);
});

test("the data of an event is its text", async () => {
  const body = `{"events":[{"id":"${eventId(1)}","type":"t","topics":["a"],"data":{"n":1.0,"big":12345678901234567890}}],"next":"${eventId(1)}","gap":null}`;
  answers = [new Response(body)];
  await rig.open(poll, { after: "earliest" });
  expect(rig.events).toEqual([{ id: eventId(1), type: "t", topics: ["a"], data: '{"n":1.0,"big":12345678901234567890}', encoding: "" }]);
});

test("a gap comes before the events after it", async () => {
  const gap = { requested: eventId(1), resumed_after: eventId(5) };
  answers = [answer([event(6)], 6, { gap })];
  const order: string[] = [];
  await rig.open(poll, { after: eventId(1), onEvent: ({ type }) => order.push(type) });
  expect(order).toEqual(["connected", "gap", "message"]);
  expect(JSON.parse(rig.controls[1]!.data)).toEqual(gap);
});

test("messages for this client alone come after the events", async () => {
  const control = [{ control: "message", type: "notice", data: "hello" }];
  answers = [answer([event(6)], 6, { control })];
  const order: string[] = [];
  await rig.open(poll, { onEvent: ({ type }) => order.push(type) });
  expect(order).toEqual(["connected", "message", "notice"]);
});

test("closing ends the connection, and the stream comes back after the last event", async () => {
  answers = [answer([], 5), answer([], 7, { control: [{ control: "closing", reason: "shutdown", retry: 3000 }] })];
  await rig.open(poll);
  expect(rig.stream.state).toMatchObject({ phase: "waiting", failure: null });
  await rig.pass(2900);
  expect(queries()).toHaveLength(2);
  await rig.pass(1600);
  expect(queries()[2]).toEqual({ topic: "a", wait: "0", after: eventId(7) });
});

test("an early answer without events is followed by a pause", async () => {
  rig.server.on(PATH, () => answer([], 5));
  await rig.open(poll);
  expect(queries()).toHaveLength(2);
  await rig.pass(499);
  expect(queries()).toHaveLength(2);
  await rig.pass(1);
  expect(queries()).toHaveLength(3);
});

test("the first poll is followed by the next one without a pause", async () => {
  answers = [answer([], 5)];
  await rig.open(poll, { after: eventId(5) });
  expect(queries()).toHaveLength(2);
});

test("the resume secret of an answer goes with the next poll", async () => {
  answers = [answer([], 5, { resume_secret: "s1" }), answer([event(6)], 6, { resume_secret: "s1" })];
  await rig.open(poll, { headers: { Authorization: "Bearer t" } });
  expect(rig.server.requests.map(({ headers }) => headers.get("Resume-Secret"))).toEqual([null, "s1", "s1"]);
  expect(rig.server.requests.every(({ headers }) => headers.get("Authorization") === "Bearer t")).toBe(true);
});

test("204 ends the stream", async () => {
  answers = [new Response(null, { status: 204 })];
  await rig.open(poll);
  expect(rig.stream.state).toMatchObject({ phase: "closed", status: 204, failure: null });
});

test("a rejection has the server's reason", async () => {
  answers = [problem(403, "forbidden")];
  await rig.open(poll);
  expect(rig.stream.state).toMatchObject({ phase: "closed", status: 403, failure: { code: "forbidden", fatal: true } });
});

test("503 is asked again when the server says so", async () => {
  answers = [problem(503, "too-many-connections", { "Retry-After": "5" }), answer([], 5)];
  await rig.open(poll);
  await rig.pass(4999);
  expect(queries()).toHaveLength(1);
  await rig.pass(501);
  expect(rig.stream.isConnected).toBe(true);
});

test.each(["<html>captive portal</html>", "[]", "", '{"ok":true}'])("%j is no answer", async (body) => {
  answers = [new Response(body)];
  await rig.open(poll);
  expect(rig.stream.state).toMatchObject({ phase: "closed", failure: { fatal: true, code: "" } });
});

test("a poll that is never answered is given up after 2.5 waits", async () => {
  answers = [answer([], 5)];
  await rig.open(poll);
  await rig.pass(62_000);
  expect(rig.stream.isConnected).toBe(true);
  await rig.pass(1200);
  expect(rig.stream.state).toMatchObject({ phase: "waiting", failure: { fatal: false } });
});

test("a loop that is behind keeps the next poll back", async () => {
  answers = [answer(Array.from({ length: 1500 }, (_, index) => event(index + 1)), 1500)];
  await rig.open(poll, { after: "earliest" });
  expect(queries()).toHaveLength(2);
  rig.stream.disconnect();
  const before = queries().length;
  answers = [answer(Array.from({ length: 1500 }, (_, index) => event(index + 2001)), 4000)];
  const loop = rig.stream[Symbol.asyncIterator]();
  const first = loop.next();
  await rig.pass();
  expect((await first).value.id).toBe(eventId(2001));
  expect(queries().length - before).toBe(1);
  for (let taken = 0; taken < 600; taken += 1) await loop.next();
  await rig.pass();
  expect(queries().length - before).toBe(2);
});
