import { describe, expect, test } from "vitest";

import { EventStreamParser, type Block } from "../src/parser.js";
import vectors from "./vectors/event-streams.json";

/** An event of the vectors: one with data, or a block that only changes the last event id. */
type Decoded = { type: string; data: string; id: string; encoding: string } | { cursor: string };

interface Reading {
  readonly events: Decoded[];
  readonly lastEventId: string;
  readonly retryMs: number | null;
}

/** Parse pieces of bytes as the transport does; keep the last event id as the standard says. */
function read(pieces: Iterable<Uint8Array>): Reading {
  const decoder = new TextDecoder();
  const parser = new EventStreamParser();
  const events: Decoded[] = [];
  let lastEventId = "";
  let retryMs: number | null = null;
  for (const piece of pieces) {
    for (const block of parser.receive(decoder.decode(piece, { stream: true }))) {
      const moves = block.id !== null && block.id !== lastEventId;
      lastEventId = block.id ?? lastEventId;
      retryMs = block.retry ?? retryMs;
      if (block.data !== null) events.push(describeEvent(block, block.data, lastEventId));
      else if (moves) events.push({ cursor: lastEventId });
    }
  }
  return { events, lastEventId, retryMs };
}

function describeEvent({ type, encoding }: Block, data: string, id: string): Decoded {
  return { type, data, id, encoding };
}

function bytesOf(stream: string): Uint8Array {
  return Uint8Array.from(stream, (character) => character.charCodeAt(0));
}

const CASES = vectors.cases.map((vector) => {
  const { name, stream, events, last_event_id: lastEventId = "", retry_ms: retryMs = null } = vector;
  const expected: Reading = {
    events: events.map((event) => ("cursor" in event ? event : { type: "message", id: "", encoding: "", ...event }) as Decoded),
    lastEventId,
    retryMs,
    ...("in_browsers" in vector ? { retryMs: vector.in_browsers?.retry_ms ?? null } : {}),
  };
  return { name, bytes: bytesOf(stream), expected };
});

describe.each(CASES)("$name", ({ bytes, expected }) => {
  test("whole", () => {
    expect(read([bytes])).toEqual(expected);
  });

  test("byte by byte", () => {
    expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  test("cut in two anywhere", () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(read([bytes.slice(0, cut), bytes.slice(cut)]), `cut at ${cut}`).toEqual(expected);
    }
  });
});

function parse(text: string): Block[] {
  return new EventStreamParser().receive(text);
}

test("a block tells whether it has an id of its own", () => {
  expect(parse("data: a\n\nid: 7\ndata: b\n\ndata: c\n\nid\ndata: d\n\n").map((block) => block.id)).toEqual([null, "7", null, ""]);
});

test("topics hold for their block", () => {
  const [first, second] = parse("topic: a\ntopic: b/c\ndata: x\n\ndata: y\n\n");
  expect(first?.topics).toEqual(["a", "b/c"]);
  expect(second?.topics).toEqual([]);
});

test("a block of more than 16 million characters is an error, however it arrives", () => {
  const part = "data: " + "x".repeat(1024 * 1024) + "\n";
  const parser = new EventStreamParser();
  for (let count = 0; count < 15; count++) expect(parser.receive(part)).toEqual([]);
  expect(() => parser.receive(part)).toThrow(RangeError);
  expect(() => new EventStreamParser().receive("x".repeat(16 * 1024 * 1024 + 1))).toThrow(RangeError);
});

test("the limit applies to each block", () => {
  const parser = new EventStreamParser();
  const part = "data: " + "x".repeat(1024 * 1024) + "\n\n";
  let blocks = 0;
  for (let count = 0; count < 20; count++) blocks += parser.receive(part).length;
  expect(blocks).toBe(20);
});
