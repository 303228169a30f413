/**
 * Module hooks that run this project's TypeScript: `./name.js` beside a `name.ts` is that file, "ioloop" is the source and not what was built,
 * and types are taken off by esbuild, tsx's own compiler. See `typescript.js`.
 *
 * What was compiled stays in .tmp/compiled, so that only the first process after a change has to compile.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = new URL("../..", import.meta.url).href;
const cache = new URL(".tmp/compiled/", root);
/** The package's own entries, as the `paths` of tsconfig.json have them. */
const entries = new Map([
  ["ioloop", "src/index.ts"],
  ["ioloop/tornado", "src/tornado.ts"],
  ["ioloop/testing", "src/testing/index.ts"],
  ["ioloop/asyncio", "src/asyncio/index.ts"],
]);

const isOurs = (url) => url?.startsWith(root) === true && !url.includes("/node_modules/");

let esbuild;

function compile(source, path) {
  // It comes with tsx and is found as tsx finds it.
  esbuild ??= createRequire(createRequire(import.meta.url).resolve("tsx"))("esbuild");
  return esbuild.transformSync(source, {
    loader: "ts",
    format: "esm",
    // The oldest that runs it, so that all versions share the cache.
    target: "node20.19",
    sourcefile: path,
    sourcemap: "inline",
    sourcesContent: false,
    tsconfigRaw: { compilerOptions: { target: "ES2023", verbatimModuleSyntax: true } },
  }).code;
}

/** The compiled text of a file, from the cache when its source is the same as then. */
function compiled(url) {
  const path = fileURLToPath(url);
  const source = readFileSync(path, "utf8");
  const name = url.slice(root.length);
  // Programs that a test writes for itself run once.
  if (name.startsWith(".tmp/")) return compile(source, path);
  const mark = `// ${createHash("sha1").update(source).digest("hex")}\n`;
  const kept = fileURLToPath(new URL(`${name}.js`, cache));
  try {
    const text = readFileSync(kept, "utf8");
    if (text.startsWith(mark)) return text;
  } catch {
    // Not compiled yet.
  }
  const text = mark + compile(source, path);
  mkdirSync(dirname(kept), { recursive: true });
  // In one step: other processes read it.
  const draft = `${kept}.${process.pid}`;
  writeFileSync(draft, text);
  renameSync(draft, kept);
  return text;
}

/** For `register` (where `nextResolve` gives a promise) and for `registerHooks` alike. */
export function resolve(specifier, context, nextResolve) {
  if (isOurs(context.parentURL)) {
    const entry = entries.get(specifier);
    if (entry !== undefined) return { url: root + entry, format: "module", shortCircuit: true };
    if (/^\.{1,2}\/.*\.js$/.test(specifier)) {
      const url = new URL(`${specifier.slice(0, -2)}ts`, context.parentURL).href;
      if (existsSync(fileURLToPath(url))) return { url, format: "module", shortCircuit: true };
    }
  }
  return nextResolve(specifier, context);
}

export function load(url, context, nextLoad) {
  if (!url.endsWith(".ts") || !isOurs(url)) return nextLoad(url, context);
  return { format: "module", source: compiled(url), shortCircuit: true };
}
