import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { createPublisher, type EventToPublish, type PublisherOptions } from "../../src/publish/index.js";
import { ScriptedServer, settle, useVirtualClock, type Reply } from "./scripted.js";

const URL = "http://server/prefix";
const PUBLISHED: Reply = [201, { id: "1-1" }];

beforeEach(useVirtualClock);
afterEach(() => void vi.useRealTimers());

function make(server: ScriptedServer, options: Partial<PublisherOptions> = {}) {
  return createPublisher({ url: URL, fetch: server.fetch, ...options });
}

test("an event is posted with its properties below the server's prefix", async () => {
  const server = new ScriptedServer(PUBLISHED);
  const id = await settle(
    make(server).publish(["a", "b"], { n: [1, null, "x"] }, { type: "t", private: true, retry: 5000, idempotencyKey: "k" }),
  );
  expect(id).toBe("1-1");
  const [request] = server.received;
  expect(request).toMatchObject({ method: "POST", url: "http://server/prefix/events" });
  expect(request?.headers.get("Content-Type")).toBe("application/json");
  expect(request?.body).toEqual({
    topics: ["a", "b"],
    type: "t",
    data: { n: [1, null, "x"] },
    private: true,
    retry: 5000,
    idempotency_key: "k",
  });
});

test("all attempts of a call have one key, and each call has its own", async () => {
  const server = new ScriptedServer("lost", [503], PUBLISHED, PUBLISHED);
  const publisher = make(server);
  await settle(publisher.publish("a", 1));
  await settle(publisher.publish("a", 1));
  const keys = server.received.map(({ body }) => body.idempotency_key as string);
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  expect(keys.slice(0, 3)).toEqual(Array(3).fill(keys[0]));
  expect(keys[3]).not.toBe(keys[0]);
});

test.each<[string, Reply]>([
  ["a network error", "lost"],
  ["408", [408]],
  ["425", [425]],
  ["429", [429]],
  ["500", [500]],
  ["502 of a proxy", [502]],
  ["503", [503]],
  ["504 outcome-unknown", [504, { code: "outcome-unknown" }]],
])("%s is retried", async (_, reply) => {
  const server = new ScriptedServer(reply, PUBLISHED);
  expect(await settle(make(server).publish("a", 1))).toBe("1-1");
  expect(server.times).toEqual([0, 250]);
});

test.each([400, 401, 403, 404, 409, 413, 415, 422])("%i is not retried, and the failure has code and detail", async (status) => {
  const server = new ScriptedServer([status, { code: "reserved-topic", detail: "not yours" }]);
  const failure = { name: "StreamFailure", status, code: "reserved-topic", message: "not yours", fatal: true };
  await expect(settle(make(server, { token: "t" }).publish("a", 1))).rejects.toMatchObject(failure);
  expect(server.received).toHaveLength(1);
});

test("the waits double, up to the number of retries", async () => {
  const server = new ScriptedServer(...Array<Reply>(4).fill([503, { code: "unavailable", detail: "later" }]));
  await expect(settle(make(server, { retries: 3 }).publish("a", 1))).rejects.toMatchObject({ status: 503, message: "later" });
  expect(server.times).toEqual([0, 250, 750, 1750]);
});

test("a wait has full jitter", async () => {
  vi.mocked(Math.random).mockReturnValue(0.5);
  const server = new ScriptedServer([503], [503], PUBLISHED);
  await settle(make(server, { backoff: { baseMs: 1000, maxMs: 1200 } }).publish("a", 1));
  expect(server.times).toEqual([0, 500, 1100]);
});

test("Retry-After is waited for", async () => {
  const server = new ScriptedServer([429, undefined, { "Retry-After": "7" }], PUBLISHED);
  await settle(make(server).publish("a", 1));
  expect(server.times).toEqual([0, 7250]);
});

test("a wait beyond the timeout is not begun", async () => {
  const server = new ScriptedServer([429, undefined, { "Retry-After": "60" }]);
  await expect(settle(make(server).publish("a", 1))).rejects.toMatchObject({ status: 429 });
  expect(Date.now()).toBe(0);
});

test("an attempt without an answer is given up, and the timeout holds over all of them", async () => {
  const server = new ScriptedServer("silent", "silent", "silent");
  const call = make(server, { attemptMs: 1000, timeoutMs: 2600 }).publish("a", 1);
  await expect(settle(call)).rejects.toMatchObject({ code: "timeout", status: null, fatal: false });
  expect(server.times).toEqual([0, 1250]);
  // The third would begin at 2750.
  expect(Date.now()).toBe(2250);
});

test("the last attempt is cut at the timeout of the call", async () => {
  const server = new ScriptedServer("silent", "silent");
  const call = make(server, { attemptMs: 1000, timeoutMs: 1500 }).publish("a", 1);
  await expect(settle(call)).rejects.toMatchObject({ code: "timeout", message: "http://server/prefix/ did not answer within 250 ms" });
  expect(Date.now()).toBe(1500);
});

test("a network error has Node's reason in its sentence", async () => {
  const call = make(new ScriptedServer("lost"), { retries: 0 }).publish("a", 1);
  await expect(settle(call)).rejects.toMatchObject({ message: "http://server/prefix/ cannot be reached (ECONNREFUSED)", status: null });
});

test("an abort ends a request, a wait, and a call that has not begun", async () => {
  for (const [reply, waitMs] of [["silent", 10], [[503], 10]] as const) {
    const abort = new AbortController();
    const server = new ScriptedServer(reply as Reply);
    const call = make(server).publish("a", 1, { signal: abort.signal });
    setTimeout(() => abort.abort(), waitMs);
    await expect(settle(call)).rejects.toMatchObject({ code: "aborted", name: "StreamFailure" });
    expect(server.received).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  }
  const server = new ScriptedServer();
  await expect(settle(make(server).publish("a", 1, { signal: AbortSignal.abort() }))).rejects.toMatchObject({ code: "aborted" });
  expect(server.received).toHaveLength(0);
});

test("token and headers are asked at every attempt", async () => {
  const server = new ScriptedServer([503], PUBLISHED);
  let count = 0;
  await settle(make(server, { token: async () => `t${++count}`, headers: () => ({ "X-Team": `${count}` }) }).publish("a", 1));
  expect(server.received.map(({ headers }) => headers.get("Authorization"))).toEqual(["Bearer t1", "Bearer t2"]);
  expect(server.received.map(({ headers }) => headers.get("X-Team"))).toEqual(["0", "1"]);
});

test("a function is asked for another token after 401, once", async () => {
  const server = new ScriptedServer([401], [401, { code: "invalid-token", detail: "expired" }]);
  await expect(settle(make(server, { token: () => "t" }).publish("a", 1))).rejects.toMatchObject({ code: "invalid-token" });
  expect(server.times).toEqual([0, 0]);
});

test("a token function that fails is asked again, and one that hangs is given up", async () => {
  const server = new ScriptedServer(PUBLISHED);
  let calls = 0;
  const token = async () => {
    calls += 1;
    if (calls === 1) throw new Error("no login");
    if (calls === 2) await new Promise(() => {});
    return "t";
  };
  await settle(make(server, { token, attemptMs: 1000 }).publish("a", 1));
  expect(server.times).toEqual([250 + 1000 + 500]);
});

test("bytes travel as base64", async () => {
  const server = new ScriptedServer(PUBLISHED, PUBLISHED);
  const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index % 256);
  await settle(make(server).publish("a", bytes));
  await settle(make(server).publish("a", new Uint8Array([255, 254])));
  const [large, small] = server.received;
  expect(large?.body.encoding).toBe("base64");
  expect(Uint8Array.from(atob(large?.body.data), (character) => character.charCodeAt(0))).toEqual(bytes);
  expect(small?.body).toMatchObject({ data: "//4=", encoding: "base64" });
});

const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

test.each<[unknown, string]>([
  [undefined, "data must be a JSON value, and no undefined"],
  [Number.NaN, "data must be a JSON value, and no NaN"],
  [{ items: [{ price: -Infinity }] }, "data.items[0].price must be a JSON value, and no -Infinity"],
  [[1n], "data[0] must be a JSON value, and no bigint"],
  [{ a: { b: undefined } }, "data.a.b must be a JSON value, and no undefined"],
  [{ f: () => 1 }, "data.f must be a JSON value, and no function"],
  [{ s: Symbol("s") }, "data.s must be a JSON value, and no symbol"],
  [{ m: new Map([[1, 2]]) }, "data.m must be a JSON value, and no Map"],
  [{ b: new Uint8Array(2) }, "data.b must be a JSON value, and no Uint8Array"],
  [cyclic, "data.self must be a JSON value, and does not end: it contains itself"],
])("data %# that is no JSON is rejected, and the failure names the field", async (data, message) => {
  const server = new ScriptedServer();
  const failure = { name: "StreamFailure", code: "invalid-field", status: null, fatal: true, message };
  await expect(make(server).publish("a", data)).rejects.toMatchObject(failure);
  await expect(make(server).publishAll([{ topics: "a" }, { topics: "a", data }])).rejects.toMatchObject({
    message: expect.stringMatching(/^event 1: data/),
  });
  expect(server.received).toHaveLength(0);
});

test("dates, and values that are used twice, are JSON", async () => {
  const server = new ScriptedServer(PUBLISHED);
  const at = new Date(0);
  await settle(make(server).publish("a", { first: at, second: at }));
  expect(server.received[0]?.body.data).toEqual({ first: "1970-01-01T00:00:00.000Z", second: "1970-01-01T00:00:00.000Z" });
});

test("several events are one array, each with its own key, kept over retries", async () => {
  const server = new ScriptedServer([504], [201, { ids: ["1-1", "1-2"] }]);
  const events: EventToPublish[] = [{ topics: "a", data: "x" }, { topics: ["b"], type: "t", idempotencyKey: "mine" }];
  expect(await settle(make(server).publishAll(events))).toEqual(["1-1", "1-2"]);
  const [first, second] = server.received;
  expect(first?.body).toEqual([
    { topics: ["a"], data: "x", idempotency_key: expect.any(String) },
    { topics: ["b"], data: "", type: "t", idempotency_key: "mine" },
  ]);
  expect(second?.body).toEqual(first?.body);
  expect(await settle(make(server).publishAll([]))).toEqual([]);
});

test("an answer that is not streamd's, and a redirect, are failures for good", async () => {
  const strange = make(new ScriptedServer([200, []])).publish("a", 1);
  await expect(settle(strange)).rejects.toMatchObject({ code: "protocol", fatal: true });
  const redirect = make(new ScriptedServer([307])).publish("a", 1);
  await expect(settle(redirect)).rejects.toMatchObject({ status: 307, fatal: true });
});

test("a url or a header that cannot be sent is rejected", async () => {
  expect(() => createPublisher({ url: "ftp://server" })).toThrow("url must begin with http:// or https://");
  expect(() => createPublisher({ url: "http://user:secret@server" })).toThrow("url must not have a user");
  const call = make(new ScriptedServer(), { token: "line\nbreak" }).publish("a", 1);
  await expect(settle(call)).rejects.toMatchObject({ code: "invalid-field", fatal: true });
});
