import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { createPublisher, type PublisherOptions, type TaskStatus } from "../../src/publish/index.js";
import { ScriptedServer, settle, useVirtualClock, type Reply } from "./scripted.js";

const HELD = { id: "a/b", lease: "l" };
const PATH = "http://server/tasks/a%2Fb";

beforeEach(useVirtualClock);
afterEach(() => void vi.useRealTimers());

function make(server: ScriptedServer, options: Partial<PublisherOptions> = {}) {
  return createPublisher({ url: "http://server", fetch: server.fetch, ...options });
}

function task(version: number, status: TaskStatus = "running"): Reply {
  return [200, { id: HELD.id, status, version, cancelled: status === "cancelled" }];
}

function created(version = 1): Reply {
  return [201, { ...HELD, status: "running", version }];
}

function requests(server: ScriptedServer): string[] {
  return server.received.map(({ method, url }) => `${method} ${url}`);
}

/** Make a publisher that has created the task. */
async function holding(...replies: Reply[]) {
  const server = new ScriptedServer(created(), ...replies);
  const publisher = make(server);
  const held = await settle(publisher.createTask({ kind: "import" }));
  server.received.length = 0;
  return { server, publisher, held };
}

test("a task is created under one key over all attempts, and held by this worker", async () => {
  const server = new ScriptedServer("lost", created());
  const held = await settle(
    make(server).createTask({
      kind: "import",
      input: { rows: 2 },
      steps: [{ name: "read", weight: undefined }, { name: "write", weight: 3 }] as unknown as { name: string }[],
      timeoutSeconds: 60,
      leaseSeconds: 20,
    }),
  );
  expect(held.lease).toBe("l");
  const [first, second] = server.received;
  expect(requests(server)).toEqual(Array(2).fill("POST http://server/tasks"));
  expect(first?.body).toEqual({
    kind: "import",
    input: { rows: 2 },
    steps: [{ name: "read" }, { name: "write", weight: 3 }],
    timeout_seconds: 60,
    worker: "streamd-client",
    lease_seconds: 20,
  });
  expect(first?.headers.get("Idempotency-Key")).toMatch(/^"[0-9a-f-]{36}"$/);
  expect(second?.headers.get("Idempotency-Key")).toBe(first?.headers.get("Idempotency-Key"));
});

test("a key of the caller is quoted, and a task may be left to another worker", async () => {
  const server = new ScriptedServer([201, { id: "t", status: "pending", version: 1 }]);
  await settle(make(server).createTask({ kind: "import", worker: null, idempotencyKey: 'a"b' }));
  expect(server.received[0]?.headers.get("Idempotency-Key")).toBe('"a\\"b"');
  expect(server.received[0]?.body).toEqual({ kind: "import", worker: null });
});

test("reports have the lease and the server's names", async () => {
  const { server, publisher, held } = await holding(task(2), task(3, "completed"));
  await settle(
    publisher.updateTask(held, { step: { name: "read", progress: 5 }, stepName: "x", text: "t", fields: { n: 1 }, leaseSeconds: 9 }),
  );
  await settle(publisher.completeTask(held, { rows: 2 }, { message: "done" }));
  expect(server.received.map(({ method, url, body }) => [method, url, body])).toEqual([
    ["PATCH", PATH, { lease: "l", step: { name: "read", progress: 5 }, step_name: "x", text: "t", fields: { n: 1 }, lease_seconds: 9 }],
    ["PATCH", PATH, { lease: "l", status: "completed", result: { rows: 2 }, message: "done" }],
  ]);
});

test("a failure has a sentence, and a code if one is given", async () => {
  const { server, publisher, held } = await holding(task(2, "failed"));
  await settle(publisher.failTask(held, "no file"));
  const other = await holding(task(2, "failed"));
  await settle(other.publisher.failTask(other.held, { detail: "no file", code: "missing" }));
  expect(server.received[0]?.body).toEqual({ lease: "l", status: "failed", error: { detail: "no file" } });
  expect(other.server.received[0]?.body.error).toEqual({ detail: "no file", code: "missing" });
});

test("a report whose answer was lost is not repeated if the version tells that it arrived", async () => {
  const { server, publisher, held } = await holding("lost", task(2), task(3));
  const answer = await settle(publisher.updateTask(held, { text: "once" }));
  expect(answer.version).toBe(2);
  await settle(publisher.updateTask(held, { text: "twice" }));
  expect(requests(server)).toEqual([`PATCH ${PATH}`, `GET ${PATH}`, `PATCH ${PATH}`]);
});

test("a report that did not arrive is repeated", async () => {
  const { server, publisher, held } = await holding([504], task(1), task(2));
  expect((await settle(publisher.updateTask(held, { text: "once" }))).version).toBe(2);
  expect(requests(server)).toEqual([`PATCH ${PATH}`, `GET ${PATH}`, `PATCH ${PATH}`]);
});

test("a completion whose answer was lost has succeeded", async () => {
  const { publisher, held } = await holding("lost", task(2, "completed"));
  expect((await settle(publisher.completeTask(held, 1))).status).toBe("completed");
});

test("a cancellation tells the worker to stop, also when its report was lost", async () => {
  const { publisher, held } = await holding("lost", task(2, "cancelled"));
  expect((await settle(publisher.updateTask(held, { progress: 5 }))).cancelled).toBe(true);
});

test("a task that ended otherwise is not taken for completed", async () => {
  const conflict: Reply = [409, { code: "invalid-transition", detail: "the task is failed" }];
  const { publisher, held } = await holding("lost", task(2, "failed"), conflict);
  await expect(settle(publisher.completeTask(held, 1))).rejects.toMatchObject({ status: 409, code: "invalid-transition" });
});

test("the version is read before the first report on a task that another process created", async () => {
  const server = new ScriptedServer("lost", task(7), "lost", task(7), task(8));
  expect((await settle(make(server).updateTask(HELD, { text: "x" }))).version).toBe(8);
  expect(requests(server)).toEqual([`GET ${PATH}`, `GET ${PATH}`, `PATCH ${PATH}`, `GET ${PATH}`, `PATCH ${PATH}`]);
});

test("after a report that failed with its outcome unknown, the next one reads the version", async () => {
  const server = new ScriptedServer(created(), "lost", task(2), "lost", task(2), task(3));
  const publisher = make(server, { retries: 2 });
  const held = await settle(publisher.createTask({ kind: "import" }));
  const abort = new AbortController();
  const first = publisher.updateTask(held, { text: "arrived", signal: abort.signal });
  const second = publisher.updateTask(held, { text: "next" });
  setTimeout(() => abort.abort(), 100);
  await expect(settle(first)).rejects.toMatchObject({ code: "aborted" });
  expect((await settle(second)).version).toBe(3);
  expect(requests(server).slice(1)).toEqual([`PATCH ${PATH}`, `GET ${PATH}`, `PATCH ${PATH}`, `GET ${PATH}`, `PATCH ${PATH}`]);
});

test("reports on one task go one after another", async () => {
  const { server, publisher, held } = await holding([503], task(1), task(2), task(3));
  await settle(Promise.all([publisher.updateTask(held, { progress: 1 }), publisher.updateTask(held, { progress: 2 })]));
  expect(server.received.map(({ body }) => body?.progress)).toEqual([1, undefined, 1, 2]);
});

test.each(["", ".", ".."])("%j cannot be the id of a task", async (id) => {
  await expect(make(new ScriptedServer()).updateTask({ id, lease: "l" })).rejects.toMatchObject({ code: "invalid-field" });
});

test("input, result, and numbers that are no JSON are rejected by name", async () => {
  const publisher = make(new ScriptedServer());
  await expect(publisher.createTask({ kind: "k", input: { n: 1n } })).rejects.toThrow("input.n must be a JSON value");
  await expect(publisher.completeTask(HELD, [undefined])).rejects.toThrow("result[0] must be a JSON value");
  await expect(publisher.updateTask(HELD, { step: { name: "a", progress: Number.NaN } })).rejects.toThrow("step.progress must be");
});
