/**
 * Makes one file for each entry of the package, and one or two of what they share, from the modules that tsc has put into dist/: a part of `npm run build`.
 * Node takes about half a millisecond to find, read and link a module file, and the library has 156 of them. The declarations stay as they are; the source
 * maps lead back to src/, which is published too.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rollup } from "@rollup/wasm-node";

const dist = fileURLToPath(new URL("../dist", import.meta.url));

/** Modules by the names that they have in the bundle. */
const input = Object.fromEntries(["index", "tornado", "asyncio/index", "testing/index"].map((entry) => [entry, join(dist, `${entry}.js`)]));
// Not imported: the thread pool loads it by its path, which is beside the code that names it.
input["thread-worker"] = join(dist, "concurrent/thread-worker.js");

const bundle = await rollup({
  input,
  external: /^[^./]/,
  // All of it: a user's own bundler may leave out what its program does not need.
  treeshake: false,
  plugins: [
    {
      name: "tsc's source maps",
      load: (path) => ({
        code: readFileSync(path, "utf8").replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"),
        map: readFileSync(`${path}.map`, "utf8"),
      }),
    },
  ],
  onLog: (level, log) => {
    throw new Error(`rollup, ${level}: ${log.message}`);
  },
});
for (const file of readdirSync(dist, { recursive: true })) if (/\.js(\.map)?$/.test(file)) rmSync(join(dist, file));
await bundle.write({ dir: dist, format: "es", chunkFileNames: "shared-[hash].js", sourcemap: true, sourcemapExcludeSources: true });
await bundle.close();
