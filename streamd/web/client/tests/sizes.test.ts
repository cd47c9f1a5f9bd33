import { expect, test } from "vitest";

// @ts-expect-error a script without declarations
import { loadedBytes, modules } from "../sizes.mjs";

const PARTS: readonly string[] = ["streamd", "ladder", "sharing", "tasks", "react"]; // not for browsers: publish

test("SSE with resume and backoff has its budget", () => {
  expect(loadedBytes("streamd")).toBeLessThanOrEqual(4300);
});

test("all parts for browsers together have their budget", () => {
  const built = PARTS.filter((name) => modules.includes(name));
  expect(loadedBytes(...built)).toBeLessThanOrEqual(9000);
});
