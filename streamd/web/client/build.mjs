/**
 * Builds dist/: a minified module for each entry point, and the declarations.
 *
 *   node build.mjs [FOLDER]     into FOLDER in place of dist/
 *
 * Each source is in one module only: in that of its folder. Modules import the others, so that a page which loads two of
 * them has one StreamFailure, and loads nothing twice. esbuild's own code splitting would put the shared part of the core
 * into a file of its own, which costs 8 % more bytes.
 *
 * The result depends on the sources and the locked tools alone, so that a test can compare dist/ with it.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { build } from "esbuild";

const ROOT = dirname(fileURLToPath(import.meta.url));
const SRC = join(ROOT, "src");
const OUT = resolve(process.argv[2] ?? join(ROOT, "dist"));
const NEW = `${OUT}.new`; // takes the place of OUT when it is complete

/** Folders below src/ by the names of the modules. */
const FOLDERS = { streamd: "", ladder: "ladder", sharing: "sharing", tasks: "tasks", react: "react", publish: "publish" };

const OPTIONS = {
  absWorkingDir: ROOT,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  jsx: "automatic",
  external: ["react", "react/jsx-runtime"],
};

async function bundle() {
  const names = Object.keys(FOLDERS).filter((name) => existsSync(entryOf(name)));
  const shared = await findShared(names);
  await Promise.all(names.map((name) => bundleOne(name, shared)));
}

function entryOf(name) {
  return join(SRC, FOLDERS[name], "index.ts");
}

/** Return the name of the module that a source belongs to. */
function moduleOf(path) {
  const [folder, ...rest] = relative(SRC, path).split(sep);
  return rest.length === 0 ? "streamd" : folder;
}

/** Return the sources that modules other than their own import. */
async function findShared(names) {
  const { metafile } = await build({ ...OPTIONS, entryPoints: names.map(entryOf), outdir: NEW, metafile: true, write: false });
  const shared = new Set();
  for (const [importer, { imports }] of Object.entries(metafile.inputs)) {
    for (const { path, external } of imports) {
      if (!external && moduleOf(join(ROOT, path)) !== moduleOf(join(ROOT, importer))) shared.add(join(ROOT, path));
    }
  }
  return [...shared].sort();
}

/** Bundle a module. It also exports what the others import; the declarations name its public part alone. */
async function bundleOne(name, shared) {
  const own = shared.filter((path) => moduleOf(path) === name && path !== entryOf(name));
  // For React Server Components; esbuild keeps the directive of an entry point alone.
  const [directive = ""] = (await readFile(entryOf(name), "utf8")).match(/^"use client";/) ?? [];
  const contents = directive + [entryOf(name), ...own].map((path) => `export * from ${JSON.stringify(path)};`).join("\n");
  const importOthers = {
    name: "import-other-modules",
    setup({ onResolve, resolve: find }) {
      onResolve({ filter: /^\./ }, async ({ path, pluginData, ...from }) => {
        if (pluginData === "resolving") return undefined;
        const found = await find(path, { ...from, pluginData: "resolving" });
        const other = found.path && moduleOf(found.path);
        return !other || other === name ? found : { path: `./${other}.js`, external: true };
      });
    },
  };
  const stdin = { contents, resolveDir: SRC };
  const banner = name === "react" ? { js: '"use client";' } : {}; // for frameworks that render on a server
  await build({ ...OPTIONS, stdin, banner, outfile: join(NEW, `${name}.js`), plugins: [importOthers] });
}

async function declare() {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const options = ["--emitDeclarationOnly", "--project", ROOT, "--outDir", NEW];
  await promisify(execFile)(process.execPath, [tsc, ...options]).catch((error) => {
    throw new Error(`tsc fails:\n${error.stdout}`);
  });
}

await rm(NEW, { recursive: true, force: true });
await mkdir(NEW, { recursive: true });
await Promise.all([bundle(), declare()]);
await rm(OUT, { recursive: true, force: true });
await rename(NEW, OUT);
console.log((await readdir(OUT)).filter((name) => name.endsWith(".js")).join(" "));
