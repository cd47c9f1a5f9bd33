import { describe, expect, test } from "vitest";

import { PATH, id, open, pass, server, useVirtualServer } from "./support/core.js";

useVirtualServer();

async function cursorAfter(...ids: string[]): Promise<string | null> {
  const { length } = server.requests;
  const { stream } = open();
  await pass();
  for (const each of ids) server.last.write(`id: ${each}\ndata: x\n\n`);
  server.last.end();
  await pass(1000);
  stream.disconnect();
  return server.requests[length + 1]!.headers.get("Last-Event-ID");
}

describe("resuming", () => {
  test("begins after the last event, and drops repeats", async () => {
    const { stream, data } = open();
    await pass();
    server.last.send("tick", 1, id(1)).send("tick", 2, id(2));
    await pass();
    server.last.break();
    await pass(1000);
    expect(server.requests[1]?.headers.get("Last-Event-ID")).toBe(id(2));
    server.last.send("tick", 1, id(1)).send("tick", 2, id(2)).send("tick", 3, id(3));
    await pass();
    expect(data()).toEqual(["1", "2", "3"]);
    stream.disconnect();
  });

  test("begins at the head of the first connection, if no event has arrived", async () => {
    const { stream } = open();
    await pass();
    server.last.send("connected", { head: id(5), resume_secret: "s" }).break();
    await pass(1000);
    server.last.send("connected", { head: id(9), resume_secret: "t" }).break();
    await pass(2000);
    expect(server.requests.map(({ headers }) => headers.get("Last-Event-ID"))).toEqual([null, id(5), id(5)]);
    expect(server.requests.map(({ headers }) => headers.get("Resume-Secret"))).toEqual([null, "s", "t"]);
    stream.disconnect();
  });

  test("begins at `after`, and moves with ids that have no data", async () => {
    const { stream, events } = open({ after: id(3) });
    await pass();
    server.last.write(`id: ${id(8)}\n\n`).end();
    await pass(1000);
    expect(server.requests.map(({ headers }) => headers.get("Last-Event-ID"))).toEqual([id(3), id(8)]);
    expect(events).toEqual([]);
    stream.disconnect();
  });

  test("of snapshots has no cursor before the first event, and no repeats to drop", async () => {
    const { stream, data } = open({ snapshots: true });
    await pass();
    server.last.send("connected", { head: id(5) }).break();
    await pass(1000);
    expect(server.requests[1]?.headers.get("Last-Event-ID")).toBeNull();
    server.last.send("status", 1, id(4)).send("progress", 2, id(4));
    await pass();
    expect(data()).toContain("2");
    stream.disconnect();
  });

  test("after a gap follows the server's new cursor, also a smaller one", async () => {
    const { stream, data } = open({ after: id(100) });
    await pass();
    server.last.send("gap", { requested: id(100), resumed_after: id(1) }).send("tick", 2, id(2));
    await pass();
    expect(data().at(-1)).toBe("2");
    expect(stream.lastEventId).toBe(id(2));
    stream.disconnect();
  });
});

describe("a foreign server", () => {
  test("may use ids in any order, and reset them", async () => {
    expect(await cursorAfter("b", "a")).toBe("a");
    expect(await cursorAfter("b", "")).toBeNull();
  });

  test.each(["ü", "日本", "%41", "a b", "~\x7f"])("may use the id %s, which is sent in UTF-8", async (each) => {
    const sent = await cursorAfter(each);
    const bytes = Uint8Array.from(sent!, (character) => character.charCodeAt(0));
    expect(new TextDecoder().decode(bytes)).toBe(each);
  });

  test("may send events of the names of control frames, which do not move the cursor", async () => {
    const { stream, events } = open();
    await pass();
    server.last.send("tick", 1, "7").send("gap", { from: 1 }).send("connected", "hello").send("closing", null);
    await pass();
    expect(events.map(({ type }) => type)).toEqual(["tick", "gap", "connected", "closing"]);
    expect(stream.lastEventId).toBe("7");
    stream.disconnect();
  });
});

describe("bytes", () => {
  test("may be cut anywhere, also within a character, and begin with a byte order mark", async () => {
    const { stream, data } = open();
    await pass();
    for (const byte of new TextEncoder().encode("\ufeffdata: aü€😀\r\n\r\ndata: b\n\n")) server.last.write(Uint8Array.of(byte));
    await pass();
    expect(data()).toEqual(["aü€😀", "b"]);
    stream.disconnect();
  });

  test("of an event that the stream's end cuts off are no event", async () => {
    const { stream, data } = open();
    await pass();
    server.last.write("data: whole\n\ndata: cut").write(Uint8Array.of(0xe2, 0x82)).end();
    await pass(1000);
    server.last.write("data: next\n\n");
    await pass();
    expect(data()).toEqual(["whole", "next"]);
    stream.disconnect();
  });

  test("of a long stream do not pile up", async () => {
    const { stream, events } = open();
    await pass();
    const piece = `data: ${"x".repeat(1000)}\n\n`.repeat(1000);
    for (let count = 0; count < 20; count += 1) {
      server.last.write(piece);
      await pass();
    }
    expect(events.length).toBe(20_000);
    expect(stream.isConnected).toBe(true);
    stream.disconnect();
  });

  test("of an event without end are fatal, in whatever pieces it comes", async () => {
    for (const piece of ["x".repeat(1 << 20), `${"x".repeat(1 << 20)}\ndata:`]) {
      const { stream } = open();
      await pass();
      server.last.write("data:");
      for (let count = 0; count < 17 && stream.isConnected; count += 1) {
        server.last.write(piece);
        await pass();
      }
      expect(stream.state).toMatchObject({ phase: "closed", failure: { fatal: true } });
    }
  });

  test("as base64 are decoded, and text is UTF-8", async () => {
    const { stream, events } = open();
    await pass();
    server.last.write("encoding: base64\ntopic: a\ntopic: b\ndata: AP8=\n\ndata: ü\n\n");
    await pass();
    expect([...events[0]!.bytes()]).toEqual([0, 255]);
    expect(events[0]!.topics).toEqual(["a", "b"]);
    expect([...events[1]!.bytes()]).toEqual([0xc3, 0xbc]);
    stream.disconnect();
  });
});

test.each(["text/event-stream", "Text/Event-Stream ; charset=utf-8"])("the content type %s is a stream", async (type) => {
  server.on(PATH, () => new Response("data: x\n\n", { headers: { "Content-Type": type } }));
  const { stream, data } = open();
  await pass();
  expect(data()).toEqual(["x"]);
  stream.disconnect();
});
