/**
 * Prints the sizes of the modules in dist/, compressed with Brotli (bytes).
 *
 *   node sizes.mjs
 *
 * "alone" is the module itself, "with imports" what a browser loads from a server, each file compressed by itself, and
 * "bundled" what an application's bundler makes of all exports of the module.
 */

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

import { build } from "esbuild";

const ROOT = dirname(fileURLToPath(import.meta.url));
const DIST = join(ROOT, "dist");
const IMPORT = /(?:\bfrom|\bimport)\s*\(?"\.\/([^"]+)"/g;

/** Names of the modules, such as `ladder`. */
export const modules = readdirSync(DIST)
  .filter((name) => name.endsWith(".js"))
  .map((name) => name.slice(0, -".js".length));

/** Return the size of modules with all that they import, each file once. */
export function loadedBytes(...names) {
  const files = new Set();
  for (const name of names) follow(`${name}.js`, files);
  return [...files].reduce((sum, file) => sum + brotliBytes(read(file)), 0);
}

/** Return the size of a bundle of modules. */
export async function bundledBytes(...names) {
  const exports = names.length > 1 ? (name) => `* as ${name}` : () => "*";
  const path = (name) => (name === "streamd" ? "./index.js" : `./${name}/index.js`);
  const contents = names.map((name) => `export ${exports(name)} from "${path(name)}";`);
  const { outputFiles } = await build({
    stdin: { contents: contents.join(""), resolveDir: join(ROOT, "src") },
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    external: ["react", "react/jsx-runtime"],
    write: false,
  });
  return brotliBytes(outputFiles[0].contents);
}

function follow(file, files) {
  if (files.has(file)) return;
  files.add(file);
  for (const [, imported] of read(file).toString().matchAll(IMPORT)) follow(imported, files);
}

function read(file) {
  return readFileSync(join(DIST, file));
}

function brotliBytes(content) {
  return brotliCompressSync(content).length;
}

async function print() {
  const row = (...cells) => console.log(cells.map((cell) => String(cell).padStart(12)).join(" "));
  row("", "alone", "with imports", "bundled");
  for (const name of modules) row(name, brotliBytes(read(`${name}.js`)), loadedBytes(name), await bundledBytes(name));
  const inBrowsers = modules.filter((name) => name !== "publish");
  row("all*", "", loadedBytes(...inBrowsers), await bundledBytes(...inBrowsers));
  console.log("\n* but publish, which is for Node");
}

if (argv[1] === fileURLToPath(import.meta.url)) await print();
