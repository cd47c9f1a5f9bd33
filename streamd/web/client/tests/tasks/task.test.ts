import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { StreamFailure } from "../../src/index.js";
import { TaskError, task, type TaskOptions, type TaskSnapshot } from "../../src/tasks/index.js";
import { ScriptedServer, json, problem } from "../support/scripted.js";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const EVENTS = "/tasks/t1/events";
const STATUS = "/tasks/t1";

let server: ScriptedServer;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ScriptedServer();
});

afterEach(() => {
  vi.useRealTimers();
});

function follow(options: TaskOptions = {}) {
  return task("t1", { baseUrl: "http://streamd.test", fetch: server.fetch as typeof fetch, ...options });
}

/** Fields of a message or an answer at this moment. */
function state(fields: Record<string, unknown> = {}) {
  return { status: "running", progress: 10, message: "reading", timestamp: at(0), ...fields };
}

function at(seconds: number): string {
  return new Date(Date.now() + 1000 * seconds).toISOString();
}

async function pass(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

function settled(promise: Promise<unknown>): { value?: unknown; error?: unknown } {
  const outcome: { value?: unknown; error?: unknown } = {};
  promise.then(
    (value) => (outcome.value = value),
    (error: unknown) => (outcome.error = error),
  );
  return outcome;
}

test("the stream's messages become snapshots, up to the result", async () => {
  server.stream(EVENTS);
  const snapshots: TaskSnapshot[] = [];
  const outcome = settled(follow({ onSnapshot: (snapshot) => snapshots.push(snapshot) }).result());
  await pass();
  server.last
    .send("status", state({ snapshot: true, version: 1, steps: 2, step_list: [{ name: "read", status: "pending", progress: 0 }], text: "" }))
    .send("progress", state({ version: 2, step: 1, step_name: "read", step_status: "running", step_progress: 20, message: "a fifth" }))
    .send("educational", state({ version: 3, educational_content: { title: "Did you know?" } }))
    .send("progress", state({ version: 4, progress: 40, text_delta: "Once " }))
    .send("progress", state({ version: 5, progress: 50, text_delta: "upon" }))
    .send("complete", state({ version: 6, status: "completed", progress: 100, result: { rows: 3 } }));
  await pass();
  expect(outcome).toEqual({ value: { rows: 3 } });
  expect(snapshots.map((snapshot) => snapshot.progress)).toEqual([10, 10, 10, 40, 50, 100]);
  expect(snapshots[1]).toMatchObject({ step: 1, steps: 2, step_list: [{ name: "read", status: "running", progress: 20 }] });
  expect(snapshots.at(-1)).toMatchObject({
    id: "t1",
    status: "completed",
    text: "Once upon",
    educational_content: { title: "Did you know?" },
  });
  expect(server.open).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("nothing is requested before somebody follows", async () => {
  follow();
  await pass(60_000);
  expect(server.requests).toEqual([]);
});

test("a failed task rejects with its own error, and no failure of the connection", async () => {
  server.stream(EVENTS);
  const outcome = settled(follow().result());
  await pass();
  server.last.send("error", state({ status: "failed", error: "the file is empty", code: "empty", message: "The task failed" }));
  await pass();
  expect(outcome.error).toBeInstanceOf(TaskError);
  expect(outcome.error).toMatchObject({ name: "TaskError", status: "failed", code: "empty", message: "the file is empty" });
});

test("a cancelled task rejects with the status cancelled", async () => {
  server.stream(EVENTS);
  const outcome = settled(follow().result());
  await pass();
  server.last.send("error", state({ status: "cancelled", error: "no longer needed", code: "cancelled" }));
  await pass();
  expect(outcome.error).toMatchObject({ name: "TaskError", status: "cancelled", message: "no longer needed" });
});

test("the snapshot of an ended task is followed by its last message, which has the result", async () => {
  server.stream(EVENTS);
  const outcome = settled(follow().result());
  await pass();
  server.last.send("status", state({ snapshot: true, status: "completed", version: 4, progress: 100 }));
  await pass();
  expect(outcome).toEqual({});
  server.last.send("complete", state({ status: "completed", version: 4, progress: 100, result: 7 }));
  await pass();
  expect(outcome).toEqual({ value: 7 });
});

test("a result that no message has is fetched, at each call", async () => {
  const answers = [problem(503, "busy"), json([1, 2])];
  server.stream(EVENTS).on("/tasks/t1/result", () => answers.shift()!);
  const followed = follow();
  const outcome = settled(followed.result());
  await pass();
  server.last.send("complete", state({ status: "completed", progress: 100 }));
  await pass();
  expect(outcome.error).toMatchObject({ name: "StreamFailure", status: 503, code: "busy" });
  await expect(followed.result()).resolves.toEqual([1, 2]);
});

test("a broken stream resumes after the last message", async () => {
  server.stream(EVENTS);
  const outcome = settled(follow().result());
  await pass();
  server.last.send("progress", state({ version: 2 }), "0000000000001-000001").break();
  await pass(600);
  expect(server.streams).toHaveLength(2);
  expect(server.requests[1]!.headers.get("Last-Event-ID")).toBe("0000000000001-000001");
  server.last.send("complete", state({ version: 3, status: "completed", result: null }));
  await pass();
  expect(outcome).toEqual({ value: null });
});

test("the end of a stream without a last message (204) is settled by the status", async () => {
  server.on(EVENTS, () => new Response(null, { status: 204 }));
  server.on(STATUS, () => json({ ...state({ status: "failed" }), error: { code: "stalled", detail: "no report" } }));
  const outcome = settled(follow().result());
  await pass();
  expect(outcome.error).toMatchObject({ name: "TaskError", code: "stalled", message: "no report" });
});

test("failures never end a task before its deadline", async () => {
  server.stream(EVENTS, (stream) => stream.send("connected", {}).send("status", state({ snapshot: true, deadline: at(600) })));
  const outcome = settled(follow().result());
  await pass();
  server.off(EVENTS);
  server.last.break();
  await pass(599_000);
  expect(outcome).toEqual({});
  expect(server.requests.length).toBeGreaterThan(40);
  server.stream(EVENTS);
  await pass(40_000); // the deadline has passed, and the server tells no end
  expect(outcome.error).toBeInstanceOf(StreamFailure);
  expect(outcome.error).toMatchObject({ code: "deadline", fatal: true });
  expect((outcome.error as Error).message).toContain("2026-01-01T12:10:00.000Z");
  expect(vi.getTimerCount()).toBe(0);
});

test("a server that is back just before the deadline is heard", async () => {
  server.stream(EVENTS, (stream) => stream.send("connected", {}).send("status", state({ snapshot: true, deadline: at(600) })));
  const outcome = settled(follow({ maxAttempts: 1 }).result());
  await pass();
  server.off(EVENTS);
  server.last.break();
  await pass(560_000);
  server.stream(EVENTS, (stream) => stream.send("connected", {}).send("complete", state({ status: "completed", result: 1 })));
  await pass(35_000);
  expect(outcome).toEqual({ value: 1 });
});

test("an open stream ends with the deadline, after a last question", async () => {
  server.stream(EVENTS, (stream) => stream.send("connected", {}).send("status", state({ snapshot: true, deadline: at(60) })));
  server.on(STATUS, () => json(state({ status: "failed", error: { code: "timeout", detail: "too slow" } })));
  const outcome = settled(follow().result());
  await pass(64_000);
  expect(outcome).toEqual({});
  await pass(2000);
  expect(outcome.error).toMatchObject({ name: "TaskError", code: "timeout" });
});

test("a computer that slept through the deadline asks again until its network is back", async () => {
  server.stream(EVENTS, (stream) => stream.send("connected", {}).send("status", state({ snapshot: true, deadline: at(60) })));
  const outcome = settled(follow({ maxAttempts: 1 }).result());
  await pass();
  server.off(EVENTS);
  server.last.break();
  await pass(1);
  vi.setSystemTime(NOW + 3_600_000);
  const before = server.requests.length;
  await pass(600);
  expect(server.paths().slice(before)).toEqual([`GET ${STATUS}`]);
  server.on(STATUS, () => json(state({ status: "completed", progress: 100 }))).on("/tasks/t1/result", () => json(5));
  await pass(10_000);
  expect(outcome).toEqual({ value: 5 });
  expect(server.paths().slice(before)).toEqual([`GET ${STATUS}`, `GET ${STATUS}`, "GET /tasks/t1/result"]);
});

test("the deadline is one of the server's clock", async () => {
  const ahead = -3600; // this computer's clock is an hour ahead
  server.stream(EVENTS, (stream) =>
    stream.send("connected", {}).send("status", state({ snapshot: true, timestamp: at(ahead), deadline: at(ahead + 60) })),
  );
  const outcome = settled(follow().result());
  await pass(60_000);
  expect(outcome).toEqual({});
  await pass(60_000);
  expect(outcome.error).toMatchObject({ code: "deadline" });
});

test("a deadline known from the service's answer counts before the first message", async () => {
  const outcome = settled(follow({ deadline: at(100) }).result());
  await pass(99_000);
  expect(outcome).toEqual({});
  await pass(120_000);
  expect(outcome.error).toMatchObject({ code: "deadline" });
});

test.each([401, 403, 404, 410])("the server's own %i ends the task at once", async (status) => {
  server.on(EVENTS, () => problem(status, "rejected")).on(STATUS, () => problem(status, "rejected"));
  const outcome = settled(follow({ deadline: at(600) }).result());
  await pass(1);
  expect(outcome.error).toMatchObject({ name: "StreamFailure", status, code: "rejected" });
  expect(vi.getTimerCount()).toBe(0);
});

test.each([400, 404, 500, 502, 503])("a proxy's %i does not end a task with a deadline", async (status) => {
  const page = () => new Response("<h1>Sorry</h1>", { status });
  server.on(EVENTS, page).on(STATUS, page);
  const outcome = settled(follow({ deadline: at(600) }).result());
  await pass(300_000);
  expect(outcome).toEqual({});
});

test("a stream that is withheld is replaced by polls at the interval that the server suggests", async () => {
  server.stream(EVENTS, () => {}); // a buffering proxy: the head, and no block
  let progress = 0;
  server.on(STATUS, () => json(state({ progress: (progress += 10) }), 200, { "Retry-After": "10" }));
  const shown: number[] = [];
  const followed = follow({ onSnapshot: (snapshot) => shown.push(snapshot.progress) });
  await pass(30_000);
  const before = server.requests.length;
  await pass(60_000);
  const asked = server.paths().slice(before);
  expect(new Set(asked)).toEqual(new Set([`GET ${STATUS}`]));
  expect(asked.length).toBeGreaterThanOrEqual(5);
  expect(asked.length).toBeLessThanOrEqual(6);
  expect(shown.at(-1)).toBe(progress);
  followed.close();
});

test("after a poll, the stream begins again with the present state, not with older messages", async () => {
  server.stream(EVENTS);
  server.on(STATUS, () => json(state({ progress: 50 })));
  const shown: number[] = [];
  const followed = follow({ maxAttempts: 1, onSnapshot: ({ progress }) => shown.push(progress) });
  await pass();
  server.last.send("progress", state({ progress: 30, text_delta: "a" }), "0000000000001-000001").break();
  await pass(4000);
  expect(followed.snapshot).toMatchObject({ progress: 50, text: "a" });
  expect(server.requests.at(-1)!.headers.has("Last-Event-ID")).toBe(false);
  server.last
    .send("status", state({ snapshot: true, progress: 50, text: "ab" }), "0000000000001-000002")
    .send("progress", state({ progress: 60, text_delta: "c" }), "0000000000001-000003");
  await pass();
  expect(followed.snapshot).toMatchObject({ progress: 60, text: "abc" });
  expect(shown).toEqual([30, 50, 50, 60]);
  followed.close();
});

test("a loop has each snapshot, and ends with the task", async () => {
  server.stream(EVENTS);
  const shown: string[] = [];
  const loop = (async () => {
    for await (const { status, progress } of follow()) shown.push(`${status} ${progress}`);
    shown.push("over");
  })();
  await pass();
  server.last.send("status", state({ snapshot: true }));
  await pass();
  server.last.send("error", state({ status: "failed", error: "no", progress: 20 }));
  await pass();
  await loop;
  expect(shown).toEqual(["running 10", "failed 20", "over"]);
});

test("a slow loop skips snapshots that are out of date, and not the last one", async () => {
  server.stream(EVENTS);
  const shown: number[] = [];
  const loop = (async () => {
    for await (const { progress } of follow()) {
      shown.push(progress);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  })();
  await pass();
  for (const progress of [1, 2, 3]) server.last.send("progress", state({ progress }));
  server.last.send("complete", state({ status: "completed", progress: 100 }));
  await pass(5000);
  await loop;
  expect(shown.at(-1)).toBe(100);
  expect(shown.length).toBeLessThan(4);
});

test("cancel posts the reason once, and returns the last state", async () => {
  server.on("/tasks/t1/cancel", () => json(state({ status: "cancelled", error: { code: "cancelled", detail: "changed my mind" } })));
  server.stream(EVENTS);
  const followed = follow({ headers: () => ({ Authorization: "Bearer t" }) });
  const outcome = settled(followed.result());
  await pass();
  const last = await followed.cancel("changed my mind");
  expect(last).toMatchObject({ status: "cancelled", error: { detail: "changed my mind" } });
  const posted = server.requests.find(({ method }) => method === "POST")!;
  expect(posted).toMatchObject({ path: "/tasks/t1/cancel", body: '{"message":"changed my mind"}' });
  expect(posted.headers.get("Authorization")).toBe("Bearer t");
  await pass();
  expect(outcome.error).toMatchObject({ name: "TaskError", status: "cancelled" });
  expect(server.open).toBe(0);
});

test("cancel is not repeated, and tells that the task has ended before", async () => {
  server.on("/tasks/t1/cancel", () => problem(409, "task-ended"));
  await expect(follow().cancel()).rejects.toMatchObject({ name: "StreamFailure", status: 409, code: "task-ended" });
  server.off("/tasks/t1/cancel");
  await expect(follow().cancel()).rejects.toMatchObject({ name: "StreamFailure", status: null });
  expect(server.requests).toHaveLength(2);
});

test("close ends the stream, the loops and the timers", async () => {
  server.stream(EVENTS);
  const followed = follow();
  const outcome = settled(followed.result());
  await pass();
  server.last.send("status", state({ snapshot: true, deadline: at(60) }));
  await pass();
  followed.close();
  await pass();
  expect(outcome.error).toMatchObject({ name: "StreamFailure", code: "closed" });
  expect(server.open).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("an abort closes the task", async () => {
  server.stream(EVENTS);
  const abort = new AbortController();
  const outcome = settled(follow({ signal: abort.signal }).result());
  await pass();
  abort.abort();
  await pass();
  expect(outcome.error).toMatchObject({ code: "closed" });
  expect(server.open).toBe(0);
});

test("a service's answer names the URLs", async () => {
  const answer = {
    strategyId: "s/1",
    eventsUrl: "/app/api/strategy/s1/events",
    statusUrl: "/app/api/strategy/s1/status",
    resultUrl: "/app/api/strategy/s1/result",
    cancelUrl: "/app/api/strategy/s1/cancel",
  };
  server.stream(answer.eventsUrl).on(answer.resultUrl, () => json("the strategy"));
  const outcome = settled(follow(answer).result());
  await pass();
  server.last.send("complete", state({ status: "completed" }));
  await pass();
  expect(outcome).toEqual({ value: "the strategy" });
});

test("the id is one segment of the path", async () => {
  server.stream("/base/tasks/a%2Fb/events");
  const followed = task("a/b", { baseUrl: "http://streamd.test/base", fetch: server.fetch as typeof fetch, onSnapshot: () => {} });
  await pass();
  expect(server.paths()).toEqual(["GET /base/tasks/a%2Fb/events"]);
  followed.close();
});

test("the words of the services for a task's states are understood", async () => {
  server.stream(EVENTS);
  const followed = follow({ onSnapshot: () => {} });
  await pass();
  server.last.send("status", { status: "initiated", steps: [{ dataset: "profile" }, { dataset: "news" }] });
  await pass();
  expect(followed.snapshot).toMatchObject({ status: "pending", steps: 2 });
  server.last.send("progress", { status: "in_progress", stage: "sentiment" });
  await pass();
  expect(followed.snapshot).toMatchObject({ status: "running", step_name: "sentiment", progress: 0 });
  server.last.send("progress", { status: "completed", progress: 100, result: { share: 1 } });
  await expect(followed.result()).resolves.toEqual({ share: 1 });
});

test("a listener that was removed is not called", async () => {
  server.stream(EVENTS);
  const followed = follow();
  const removed = vi.fn();
  followed.onSnapshot(removed)();
  const kept = vi.fn();
  followed.onSnapshot(kept);
  await pass();
  server.last.send("status", state());
  await pass();
  expect(removed).not.toHaveBeenCalled();
  expect(kept).toHaveBeenCalledTimes(1);
  followed.close();
});
