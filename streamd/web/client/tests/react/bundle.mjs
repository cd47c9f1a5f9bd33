/** Bundles page.tsx with the built client and React: node tests/react/bundle.mjs FILE */

import { build } from "esbuild";

await build({
  entryPoints: ["tests/react/page.tsx"],
  outfile: process.argv[2],
  bundle: true,
  format: "esm",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"development"' }, // StrictMode does nothing in production
});
