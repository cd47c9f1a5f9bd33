import { expect, test, vi } from "vitest";

import { StreamFailure, type StreamEvent } from "../src/index.js";
import { PATH, open, outcome, pass, server, useVirtualServer } from "./support/core.js";
import { problem } from "./support/scripted.js";

useVirtualServer();

/** Read a loop to its end. */
async function read(loop: AsyncIterable<StreamEvent>, seen: string[] = []): Promise<string[]> {
  for await (const event of loop) seen.push(event.data);
  return seen;
}

function send(from: number, to: number): void {
  for (let number = from; number < to; number += 1) server.last.send("tick", number);
}

test("a loop opens the stream, has its events without control frames, and ends with it", async () => {
  const { stream } = open();
  stream.disconnect();
  const loop = outcome(read(stream));
  await pass();
  server.last.send("connected", { head: "" }).send("tick", 1).send("heartbeat", {}).send("unknown", 2);
  await pass();
  stream.disconnect();
  await pass();
  expect(loop.value).toEqual(["1", "2"]);
});

test("a loop throws the fatal failure of its stream, after the events before it", async () => {
  const { stream } = open();
  await pass();
  const seen: string[] = [];
  const loop = outcome(read(stream, seen));
  send(0, 3);
  await pass();
  server.on(PATH, () => problem(403, "forbidden"));
  server.last.end();
  await pass(1000);
  expect(seen).toEqual(["0", "1", "2"]);
  expect(loop.error).toBeInstanceOf(StreamFailure);
  expect(loop.error).toBe(stream.state.failure);
});

test("two loops at once have all events each", async () => {
  const { stream } = open();
  await pass();
  const loops = [outcome(read(stream)), outcome(read(stream))];
  send(0, 2);
  await pass();
  stream.disconnect();
  await pass();
  expect(loops.map(({ value }) => value)).toEqual([
    ["0", "1"],
    ["0", "1"],
  ]);
});

test("calls of next() at once have one event each, in order", async () => {
  const { stream } = open();
  await pass();
  const iterator = stream[Symbol.asyncIterator]();
  const results = [iterator.next(), iterator.next(), iterator.next()].map(outcome);
  send(0, 2);
  await pass();
  expect(results.map(({ value }) => value?.value?.data)).toEqual(["0", "1", undefined]);
  await iterator.return?.();
  await pass();
  expect(results[2]?.value).toEqual({ done: true, value: undefined });
  stream.disconnect();
});

test("return() ends a next() that waits, and nothing is queued any more", async () => {
  const { stream } = open();
  await pass();
  const iterator = stream[Symbol.asyncIterator]();
  const waiting = outcome(iterator.next());
  expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
  await pass();
  expect(waiting.value).toEqual({ done: true, value: undefined });
  send(0, 5000);
  await pass();
  send(5000, 5001);
  await pass();
  expect(stream.isConnected).toBe(true);
  expect((await iterator.next()).done).toBe(true);
  stream.disconnect();
});

test("leaving a loop by break does not close the stream, and the next loop has what follows", async () => {
  const { stream } = open();
  await pass();
  const loop = (async () => {
    for await (const event of stream) return event.data;
    return "none";
  })();
  send(0, 2);
  expect(await loop).toBe("0");
  expect(stream.isConnected).toBe(true);
  const next = outcome(read(stream));
  send(2, 4);
  await pass();
  stream.disconnect();
  await pass();
  expect(next.value).toEqual(["2", "3"]);
});

test("a slow loop pushes back to the server, and is not taken for its silence", async () => {
  const { stream, data } = open({ silenceMs: 5000 });
  await pass();
  const iterator = stream[Symbol.asyncIterator]();
  send(0, 1001);
  await pass();
  send(1001, 1010);
  await pass(60_000);
  expect(data().length).toBe(1001);
  expect(stream.isConnected).toBe(true);
  expect(server.streams.length).toBe(1);
  await iterator.next();
  await pass();
  expect(data().length).toBeGreaterThan(1001);
  while (data().length < 1010) {
    await iterator.next();
    await pass();
  }
  await iterator.next();
  expect(server.streams.length).toBe(1);
  await pass(7000); // from here on the server is silent
  expect(server.streams.length).toBe(2);
  stream.disconnect();
});

test("a loop that is left lets the others go on", async () => {
  const { stream, data } = open();
  await pass();
  const slow = stream[Symbol.asyncIterator]();
  send(0, 1001);
  await pass();
  send(1001, 1002);
  await pass();
  expect(data().length).toBe(1001);
  await slow.return?.();
  await pass();
  expect(data().length).toBe(1002);
  stream.disconnect();
});

test("a slow loop does not keep reconnect() and disconnect() from working", async () => {
  const { stream } = open();
  await pass();
  const slow = stream[Symbol.asyncIterator]();
  send(0, 1001);
  await pass();
  await stream.reconnect();
  expect(server.open).toBe(1);
  stream.disconnect();
  await pass();
  expect(vi.getTimerCount()).toBe(0);
  const rest = [];
  for await (const event of slow) rest.push(event.data);
  expect(rest.length).toBe(1001);
});
