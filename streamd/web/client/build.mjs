/**
 * Builds dist/: a minified module for each entry point, the modules that they share, and the declarations.
 *
 *   node build.mjs [FOLDER]     into FOLDER in place of dist/
 *
 * The result depends on the sources and the locked tools alone, so that a test can compare dist/ with it.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { build } from "esbuild";

const ROOT = dirname(fileURLToPath(import.meta.url));
const OUT = resolve(process.argv[2] ?? join(ROOT, "dist"));
const NEW = `${OUT}.new`; // takes the place of OUT when it is complete

/** Paths below src/ by the names of the built files. */
const ENTRIES = {
  streamd: "index.ts",
  ladder: "ladder/index.ts",
  sharing: "sharing/index.ts",
  tasks: "tasks/index.ts",
  react: "react/index.ts",
  publish: "publish/index.ts",
};

async function bundle() {
  const entryPoints = Object.entries(ENTRIES)
    .map(([out, path]) => ({ out, in: `src/${path}` }))
    .filter((entry) => existsSync(join(ROOT, entry.in)));
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints,
    outdir: NEW,
    bundle: true,
    splitting: true, // what two entry points import is one module, and has one state
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    charset: "utf8",
    external: ["react", "react/jsx-runtime"],
    metafile: true,
    write: false,
  });
  const names = nameChunks(metafile);
  for (const { path, text } of outputFiles) {
    const name = basename(path);
    await writeFile(join(NEW, names.get(name) ?? name), renameImports(text, names));
  }
}

/**
 * Name each shared module after the first of its sources, because a hash in the name would rename the file, and all who
 * import it, at each change. Every source is in one module only, so the names differ.
 */
function nameChunks(metafile) {
  const names = new Map();
  for (const [path, { entryPoint, inputs }] of Object.entries(metafile.outputs)) {
    if (entryPoint) continue;
    const [first] = Object.keys(inputs).sort();
    names.set(basename(path), `shared-${first.replace(/^src\//, "").replace(/\.tsx?$/, "").replaceAll("/", "-")}.js`);
  }
  return names;
}

function renameImports(text, names) {
  return text.replace(/"\.\/(chunk-\w+\.js)"/g, (_, name) => `"./${names.get(name)}"`);
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
