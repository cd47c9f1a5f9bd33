import { existsSync } from "node:fs";

import { expect, test } from "vitest";

// @ts-expect-error a script without declarations
import { bundledBytes } from "../sizes.mjs";

const PARTS: readonly string[] = ["ladder", "sharing", "tasks", "react"]; // not for browsers: publish

test("SSE with resume and backoff has its budget", async () => {
  expect(await bundledBytes("streamd")).toBeLessThanOrEqual(4300);
});

test("all parts for browsers together have their budget", async () => {
  const present = PARTS.filter((name) => existsSync(`src/${name}/index.ts`));
  expect(await bundledBytes("streamd", ...present)).toBeLessThanOrEqual(13_000);
});
