import { expect, test } from "vitest";

import { backoffMs, retryAfterMs } from "../src/backoff.js";

test("waits are evenly distributed below 1, 2, 4, 8, 16, 30, 30 s", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6].map((failures) => backoffMs(failures, 0, {}, () => 1));
  expect(longest).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(backoffMs(3, 0, {}, () => 0)).toBe(0);
  expect(backoffMs(3, 0, {}, () => 0.25)).toBe(2000);
});

test("a wait that the server asked for is never shortened", () => {
  expect(backoffMs(0, 5000, {}, () => 0)).toBe(5000);
  expect(backoffMs(0, 5000, {}, () => 1)).toBe(6000);
  expect(backoffMs(0, 2 ** 40)).toBe(2 ** 31 - 1);
});

test("a lower bound holds for each wait", () => {
  expect([0, 5].map((failures) => backoffMs(failures, 0, { minMs: 2000, baseMs: 0 }))).toEqual([2000, 2000]);
  expect(backoffMs(0, 3000, { minMs: 2000, baseMs: 0 })).toBe(3000);
  expect(backoffMs(1, 0, { minMs: 500 }, () => 0.5)).toBe(1500);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(retryAfterMs("3", now)).toBe(3000);
  expect(retryAfterMs("Thu, 01 Jan 2026 00:01:00 GMT", now)).toBe(60_000);
  expect(retryAfterMs("Wed, 31 Dec 2025 00:01:00 GMT", now)).toBe(0);
  for (const nothing of [null, "", " ", "soon", "-4"]) expect(retryAfterMs(nothing, now)).toBe(0);
});
