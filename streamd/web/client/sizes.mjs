/**
 * Prints the size of each entry point in dist/ as a browser loads it: compressed with Brotli, with all that it imports.
 *
 *   node sizes.mjs
 */

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

const DIST = join(dirname(fileURLToPath(import.meta.url)), "dist");
const IMPORT = /(?:\bfrom|\bimport)\s*\(?"\.\/([^"]+)"/g;

/** Names of the entry points, such as `ladder`. */
export const entries = readdirSync(DIST)
  .filter((name) => name.endsWith(".js") && !name.startsWith("shared-"))
  .map((name) => name.slice(0, -".js".length));

/** Return the sum of the compressed sizes of entry points and of the modules that they import (bytes), each once. */
export function brotliBytes(...names) {
  const modules = new Set();
  for (const name of names) follow(`${name}.js`, modules);
  return [...modules].reduce((sum, name) => sum + brotliCompressSync(read(name)).length, 0);
}

function follow(name, modules) {
  if (modules.has(name)) return;
  modules.add(name);
  for (const [, imported] of read(name).toString().matchAll(IMPORT)) follow(imported, modules);
}

function read(name) {
  return readFileSync(join(DIST, name));
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of entries) console.log(`${name.padEnd(10)} ${brotliBytes(name)}`);
  const inBrowsers = entries.filter((name) => name !== "publish");
  console.log(`${"together".padEnd(10)} ${brotliBytes(...inBrowsers)}  (without publish)`);
}
