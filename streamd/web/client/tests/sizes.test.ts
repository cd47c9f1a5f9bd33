import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

// @ts-expect-error a script without declarations
import { bundledBytes, loadedBytes } from "../sizes.mjs";

const PARTS: readonly string[] = ["streamd", "ladder", "sharing", "tasks", "react"]; // not for browsers: publish

test("SSE with resume and backoff has its budget", async () => {
  expect(await bundledBytes("streamd")).toBeLessThanOrEqual(4096);
});

test("all parts for browsers together have their budget", async () => {
  expect(await bundledBytes(...PARTS)).toBeLessThanOrEqual(9750);
});

describe("the README's sizes are those of today, within 10 %", () => {
  const rows = [...readFileSync("README.md", "utf8").matchAll(/^\| (.+) \| ([\d,]+) \| ([\d,]+) \|$/gm)];
  const cases = rows.map(([, title = "", loaded = "", bundled = ""], index) => {
    const names = index < PARTS.length ? [PARTS[index]!] : PARTS;
    return { title, names, loaded: Number(loaded.replace(",", "")), bundled: Number(bundled.replace(",", "")) };
  });

  test("every part has a row, and all together", () => {
    expect(cases).toHaveLength(PARTS.length + 1);
  });

  test.each(cases)("$title", async ({ names, loaded, bundled }) => {
    expect(Math.abs(loadedBytes(...names) / loaded - 1)).toBeLessThan(0.1);
    expect(Math.abs((await bundledBytes(...names)) / bundled - 1)).toBeLessThan(0.1);
  });
});
