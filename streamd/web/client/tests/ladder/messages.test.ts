import { describe, expect, test } from "vitest";

import { asBlock, readFields } from "../../src/ladder/messages.js";

const ID = "1700000000000-000001";

function readMessage(text: string) {
  return asBlock(readFields(text));
}

function dataOf(json: string): string | null {
  return readMessage(`{"id":"${ID}","type":"message","topics":["t"],"data":${json}}`).data;
}

describe("an event", () => {
  test("has the fields of a block of Server-Sent Events", () => {
    const text = `{"id":"${ID}","type":"stage","topics":["a","b"],"data":"AAE=","retry":5,"encoding":"base64"}`;
    const block = { id: ID, type: "stage", topics: ["a", "b"], data: "AAE=", retry: 5, encoding: "base64" };
    expect(readMessage(text)).toEqual(block);
  });

  test.each([
    "1.0",
    "12345678901234567890",
    "-0.0",
    "1e400",
    "null",
    "true",
    "[]",
    "{}",
    '{"a":1.0,"b":[1,{"c":"}]{[,:\\"\\\\"}],"":{}}',
    '["\\\\","\\"",",",":"]',
  ])("keeps the text of %s", (json) => {
    expect(dataOf(json)).toBe(json);
  });

  test.each(["", "plain", 'a "quoted" text', "\\", '\\"', "\\\\\\", "a\nb\u0000", "é☃😀", "{[,:]}", "null"])("has the text %j as its data", (text) => {
    expect(dataOf(JSON.stringify(text))).toBe(text);
  });

  test("may have its members in any order, with white space and unknown ones", () => {
    const text = ` { "later" : {"data": 1} , "data" : {"a": 1.0} ,\n"topics":[ ], "id" : "${ID}" } `;
    expect(readMessage(text)).toMatchObject({ id: ID, type: "message", topics: [], data: '{"a": 1.0}', retry: null, encoding: "" });
  });

  test("of a megabyte is read in time that grows with its length", () => {
    const text = "\\".repeat(500_000) + '"'.repeat(500_000);
    expect(dataOf(JSON.stringify(text))).toBe(text);
  });
});

describe("a control message", () => {
  test("is a block with the other fields as its data", () => {
    const message = readMessage('{"control":"connected","head":"1","heartbeat_seconds":15.0,"retry":2000}');
    const data = '{"head":"1","heartbeat_seconds":15}';
    expect(message).toMatchObject({ id: null, type: "connected", data, retry: 2000, topics: [], encoding: "" });
  });

  test("moves the cursor without an event", () => {
    expect(readMessage(`{"control":"cursor","id":"${ID}"}`)).toMatchObject({ id: ID, data: null });
  });

  test("may be an event without an id", () => {
    const message = readMessage('{"control":"message","type":"notice","data":{"n":1.0}}');
    expect(message).toMatchObject({ id: null, type: "notice", data: '{"n":1.0}' });
  });
});

test.each(["", "{", "[]", "null", '"text"', "5", "[{}]", "<html>"])("%j is no message", (text) => {
  expect(() => readMessage(text)).toThrow(expect.objectContaining({ name: "StreamFailure", fatal: true }));
});

test("events in an array keep their data, too", () => {
  const data = ['{"data":[1.0]}', '"1.0"', "2.0", '{"a":"data\\"","b":{},"data":"x"}'];
  const events = data.map((json) => `{"data":${json} , "id":"${ID}"}`);
  const { events: read } = readFields(`{"gap":null,"events":[${events.join(", ")}],"next":"${ID}"}`);
  expect((read as Record<string, unknown>[]).map((event) => event["data"])).toEqual([data[0], "1.0", "2.0", data[3]]);
});
