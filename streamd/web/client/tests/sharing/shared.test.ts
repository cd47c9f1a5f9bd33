import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { createSharedStream } from "../../src/sharing/index.js";
import { SharedStream } from "../../src/sharing/shared.js";
import { EventStream } from "../../src/stream.js";
import { Rig, URL_OF_STREAM, type SharingTab } from "../support/sharing_rig.js";

const BACKOFF = { baseMs: 100 };

let rig: Rig;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  rig = new Rig();
});

afterEach(() => {
  rig.server.close();
  vi.useRealTimers();
});

const settle = (ms = 1000) => vi.advanceTimersByTimeAsync(ms);

/** Open tabs, the first of which leads. */
async function openTabs(count: number, options = {}): Promise<[SharingTab, ...SharingTab[]]> {
  const tabs: SharingTab[] = [];
  for (let index = 0; index < count; index += 1) {
    tabs.push(rig.open({ backoff: BACKOFF, ...options }));
    await settle();
  }
  return tabs as [SharingTab, ...SharingTab[]];
}

/** A page of its own for the streams that connect from now on. */
function stubPage() {
  const page = Object.assign(new EventTarget(), { hidden: false, baseURI: URL_OF_STREAM });
  const window = new EventTarget();
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
  return {
    show(isHidden: boolean) {
      vi.stubGlobal("document", Object.assign(page, { hidden: isHidden }));
      window.dispatchEvent(new Event("visibilitychange")); // on its way to the document
    },
    leave: () => void window.dispatchEvent(new Event("pagehide")),
    freeze: () => void window.dispatchEvent(new Event("freeze")),
    resume: () => void window.dispatchEvent(new Event("resume")),
    restore: () => void window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true })),
  };
}

test("ten tabs have one connection, and each sees all events", async () => {
  const tabs = await openTabs(10);
  for (let count = 0; count < 100; count += 1) rig.server.publish();
  await settle();
  expect(rig.server.connectionsMade).toBe(1);
  for (const tab of tabs) {
    expect(tab.ids).toEqual(rig.server.log.map(({ id }) => id));
    expect(tab.controls).toEqual(["connected"]);
    expect(tab.stream.lastEventId).toBe(rig.server.head);
    expect(tab.stream.state).toEqual({ ...tabs[0].stream.state, lastEventId: tab.stream.state.lastEventId });
  }
  expect(tabs.map(({ headersAsked }) => headersAsked.length)).toEqual([1, ...Array<number>(9).fill(0)]);
});

test("a late tab is greeted at the leader's cursor, and sees what follows", async () => {
  await openTabs(1);
  rig.server.publish("early");
  await settle();
  const [late] = await openTabs(1);
  expect(late.head).toBe(rig.server.head);
  rig.server.publish("late");
  await settle();
  expect(late.data).toEqual(["late"]);
});

test("a tab that resumes at the last event needs no connection of its own", async () => {
  await openTabs(1);
  const after = rig.server.publish();
  rig.server.nextId(); // the leader's cursor moves on without an event
  await settle(20_000);
  const [resumed] = await openTabs(1, { after });
  rig.server.publish("next");
  await settle();
  expect(resumed.data).toEqual(["next"]);
  expect(rig.server.connectionsMade).toBe(1);
});

test("the level of a leader that has seen no event is where it started", async () => {
  await openTabs(1);
  const after = rig.server.head;
  rig.server.nextId();
  await settle(20_000);
  await openTabs(1, { after });
  expect(rig.server.connectionsMade).toBe(1);
});

test("a tab behind the leader catches up by a connection that ends when it is level", async () => {
  await openTabs(1);
  const after = rig.server.publish();
  for (let count = 0; count < 50; count += 1) rig.server.publish();
  await settle();
  const [behind] = await openTabs(1, { after });
  expect(behind.ids).toEqual(rig.server.log.slice(1).map(({ id }) => id));
  expect(behind.controls).toEqual(["connected"]);
  expect([rig.server.connectionsMade, rig.server.connections.size]).toEqual([2, 1]);
  rig.server.publish("next");
  await settle();
  expect(behind.data.at(-1)).toBe("next");
});

test("a cursor beyond the leader's is shown to the server, which knows whether it is of another log", async () => {
  await openTabs(1);
  const [stale] = await openTabs(1, { after: "9999999999999-000000" });
  expect(stale.controls).toEqual(["connected", "gap"]);
  rig.server.publish("next");
  await settle(20_000);
  expect(stale.data).toEqual(["next"]);
  expect(rig.server.connections.size).toBe(1);
});

test.each(["crash", "disconnect"] as const)("the next tab resumes after the leader's %s", async (end) => {
  const [leader, ...others] = await openTabs(5);
  rig.server.publish();
  await settle();
  if (end === "crash") leader.crash();
  else leader.stream.disconnect();
  rig.server.publish("between");
  await settle();
  rig.server.publish("after");
  await settle();
  expect(rig.server.connections.size).toBe(1);
  expect(rig.server.connectionsMade).toBe(2); // no tab had to catch up
  for (const { data } of others) expect(data).toEqual(["0", "between", "after"]);
});

test("a tab that connects again after disconnect() resumes", async () => {
  const [, tab] = await openTabs(2);
  tab!.stream.disconnect();
  expect(tab!.stream.state.phase).toBe("closed");
  rig.server.publish("missed");
  await settle();
  tab!.connect();
  await settle();
  expect(tab!.data).toEqual(["missed"]);
  expect(rig.server.connections.size).toBe(1);
});

test("the lock of a leader that stands still is stolen, and it follows when it wakes up", async () => {
  const [leader, follower] = await openTabs(2);
  leader.tab.freeze();
  rig.server.publish("while frozen");
  await settle(40_000);
  expect(rig.browser.holder).toBe(follower!.tab);
  expect(follower!.data).toEqual(["while frozen"]);
  leader.tab.thaw();
  await settle(20_000);
  rig.server.publish("thawed");
  await settle();
  for (const { data } of [leader, follower!]) expect(data).toEqual(["while frozen", "thawed"]);
  expect(rig.server.connections.size).toBe(1);
});

test("a quiet leader that answers keeps the lock", async () => {
  const [leader] = await openTabs(3);
  rig.server.rejects = 503;
  rig.server.stop();
  rig.server.start();
  await settle(600_000);
  expect(rig.browser.holder).toBe(leader.tab);
});

test("states and failures are those of the leader", async () => {
  const [leader, follower] = await openTabs(2);
  rig.server.stop();
  await settle(1);
  expect(follower!.stream.state).toEqual(leader.stream.state);
  expect(follower!.stream.state.failure?.message).toMatch("the connection failed");
  rig.server.rejects = 403;
  rig.server.start();
  await settle();
  for (const { stream } of [leader, follower!]) {
    expect(stream.state).toMatchObject({ phase: "closed", status: 403, failure: { status: 403, fatal: true } });
  }
  const failed = [leader, follower!].map(({ stream }) => expect(stream.connect()).rejects.toMatchObject({ status: 403 }));
  await settle();
  await Promise.all(failed);
  rig.server.rejects = null;
  follower!.connect();
  await settle();
  expect(follower!.stream.isConnected).toBe(true);
});

test("a listener may disconnect when its tab takes the lead", async () => {
  const [leader, second, third] = await openTabs(3);
  second!.stream.onState(({ phase }) => phase === "connecting" && second!.stream.disconnect());
  leader.crash();
  rig.server.publish("next");
  await settle();
  expect(second!.stream.state.phase).toBe("closed");
  expect(third!.data).toEqual(["next"]);
});

test("a listener may connect again when the stream closes", async () => {
  const tabs = await openTabs(2);
  for (const { stream } of tabs) stream.onState(({ phase }) => phase === "closed" && void stream.connect());
  rig.server.rejects = 403;
  rig.server.stop();
  rig.server.start();
  await settle(200);
  rig.server.rejects = null;
  rig.server.publish("next");
  await settle(20_000);
  for (const { data } of tabs) expect(data).toEqual(["next"]);
  expect(rig.server.connections.size).toBe(1);
});

test("control frames reach all tabs, and a gap moves their cursors", async () => {
  const [, follower] = await openTabs(2);
  rig.server.publish();
  await settle();
  rig.server.stop();
  rig.server.publish("dropped");
  rig.server.trim();
  rig.server.start();
  await settle();
  expect(follower!.controls).toEqual(["connected", "connected", "gap"]);
  rig.server.publish("next");
  await settle(15_000);
  expect(follower!.data).toEqual(["0", "next"]);
  expect(follower!.controls.at(-1)).toBe("heartbeat");
});

test("reconnect() of a follower makes the leader connect again", async () => {
  const [leader, follower] = await openTabs(2);
  const connected = follower!.stream.reconnect();
  await settle();
  await connected;
  expect(rig.server.connectionsMade).toBe(2);
  expect(leader.phases).toEqual(["connecting", "open", "connecting", "open"]);
});

test("a follower sends by a request of its own", async () => {
  const [leader, follower] = await openTabs(2);
  const sent = follower!.stream.send({ topic: "orders", data: 1 });
  await settle();
  expect(await sent).toBe(leader.stream.lastEventId);
  expect(follower!.headersAsked.length).toBe(1);
});

test("a loop over the events of a follower ends with the stream", async () => {
  const [leader] = await openTabs(1);
  const follower = rig.open();
  const seen: string[] = [];
  const loop = (async () => {
    for await (const event of follower.stream) seen.push(event.data);
  })();
  rig.server.publish("one");
  await settle();
  leader.stream.disconnect();
  rig.server.publish("two");
  await settle();
  follower.stream.disconnect();
  await loop;
  expect(seen).toEqual(["one", "two"]);
});

test("a tab that has lost messages of the leader catches up", async () => {
  const [leader, follower] = await openTabs(2);
  follower!.tab.isDeaf = true;
  rig.server.publish();
  await settle();
  follower!.tab.isDeaf = false;
  rig.server.publish();
  await settle();
  for (const { data } of [leader, follower!]) expect(data).toEqual(["0", "1"]);
});

test("each tab asks a new leader once, however much it tells", async () => {
  const [leader] = await openTabs(5);
  const posted = vi.spyOn(rig.browser, "post");
  leader.crash();
  for (let count = 0; count < 100; count += 1) rig.server.publish();
  await settle();
  const joins = posted.mock.calls.filter(([, data]) => (data as { kind: string }).kind === "join");
  expect(joins.length).toBe(3);
});

test("callers with other names or credentials do not share", async () => {
  await openTabs(2);
  await openTabs(2, { name: "another user" });
  await openTabs(2, { credentials: "omit" });
  await openTabs(2, { topics: ["orders"] });
  expect(rig.server.connections.size).toBe(4);
});

test("a tab that may not ask for locks connects alone", async () => {
  vi.spyOn(rig.browser, "request").mockRejectedValue(new DOMException("no storage", "SecurityError"));
  const tabs = await openTabs(2);
  rig.server.publish("next");
  await settle();
  for (const { data } of tabs) expect(data).toEqual(["next"]);
  expect(rig.server.connections.size).toBe(2);
});

test.each([
  ["leave", "restore"],
  ["freeze", "resume"],
] as const)("a page gives the lock up at %s, and joins again at %s", async (leave, restore) => {
  const page = stubPage();
  const [leader] = await openTabs(1);
  stubPage();
  const [follower] = await openTabs(1);
  page[leave]();
  expect(leader.stream.state.phase).toBe("waiting");
  rig.server.publish("while left");
  await settle();
  expect(rig.browser.holder).toBe(follower.tab);
  expect([leader.data, follower.data]).toEqual([[], ["while left"]]);
  page[restore]();
  await settle();
  expect(leader.data).toEqual(["while left"]);
  expect(rig.server.connections.size).toBe(1);
});

test("with openWhenHidden: false, hidden tabs leave the connection to the visible ones", async () => {
  const pages = [stubPage()];
  const [leader] = await openTabs(1, { openWhenHidden: false });
  pages.push(stubPage());
  const [follower] = await openTabs(1, { openWhenHidden: false });
  pages[0]!.show(true);
  pages[1]!.show(false);
  rig.server.publish("one");
  await settle();
  expect(rig.browser.holder).toBe(follower.tab);
  pages[1]!.show(true);
  await settle();
  expect(rig.server.connections.size).toBe(0);
  rig.server.publish("two");
  pages[0]!.show(false);
  await settle();
  expect(leader.data).toEqual(["one", "two"]);
  expect(follower.data).toEqual(["one"]);
});

test("the leader keeps its connection while its page is hidden", async () => {
  const page = stubPage();
  const [leader] = await openTabs(2);
  page.show(true);
  await settle();
  expect(leader.stream.isConnected).toBe(true);
  expect(rig.server.connectionsMade).toBe(1);
});

test("a stream that cannot be shared is one like any other", () => {
  expect(createSharedStream(URL_OF_STREAM)).not.toBeInstanceOf(SharedStream); // Node 20 has no Web Locks
  vi.stubGlobal("navigator", { locks: rig.browser.openTab().locks });
  expect(createSharedStream(URL_OF_STREAM)).toBeInstanceOf(SharedStream);
  for (const [url, options] of [
    [URL_OF_STREAM, { snapshots: true }],
    [URL_OF_STREAM, { method: "POST" }],
    [URL_OF_STREAM, { method: "GET", body: "{}" }],
    [`${URL_OF_STREAM}?client_id=desk`, {}],
  ] as const) {
    const stream = createSharedStream(url, options);
    expect(stream).toBeInstanceOf(EventStream);
    expect(stream).not.toBeInstanceOf(SharedStream);
  }
});
