/**
 * Lists the numbered behaviours of docs/spec for which no test title carries the number, and fails when one of those asked for is missing.
 *
 *     npm run spec:coverage                    every behaviour
 *     npm run spec:coverage -- L H N1-N32      all of L and H, and a range of N
 *
 * A behaviour is a line of docs/spec that starts, after list or table marks, with its number: "- **L12** ...". A test carries it when a title
 * passed to `it` or `describe` contains the number as a word.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const specFolder = join(root, "docs/spec");

interface Range {
  readonly prefix: string;
  readonly first: number;
  readonly last: number;
}

/** "L" is all of L, "N1-N32" a range, "P17" one. */
function parseRange(text: string): Range {
  const match = /^([A-Z])(?:(\d+)(?:-\1?(\d+))?)?$/.exec(text);
  if (match === null) throw new RangeError(`Unknown range ${JSON.stringify(text)}: use L, L12 or L12-L20`);
  const [, prefix = "", first, last] = match;
  return { prefix, first: Number(first ?? 1), last: Number(last ?? first ?? Infinity) };
}

function contains(range: Range, id: string): boolean {
  const number = Number(id.slice(1));
  return id.startsWith(range.prefix) && range.first <= number && number <= range.last;
}

/** Every behaviour by its number, in the order of the specifications. */
function behaviours(): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(specFolder).filter((each) => each.endsWith(".md"))) {
    for (const line of readFileSync(join(specFolder, name), "utf8").split("\n")) {
      const id = /^\s*(?:[-*|]\s*|\d+\.\s*)*\**([LHSPNA]\d+)\b/.exec(line)?.[1];
      if (id !== undefined && !found.has(id)) found.set(id, `${id} (${name}): ${line.trim().slice(0, 110)}`);
    }
  }
  return found;
}

function numbersInTitles(): Set<string> {
  const seen = new Set<string>();
  for (const name of readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const text = readFileSync(join(root, "test", name), "utf8");
    for (const [, , title = ""] of text.matchAll(/\b(?:it|describe|specify|context)(?:\.\w+)*\s*\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/g)) {
      for (const [id] of title.matchAll(/\b[LHSPNA]\d+\b/g)) seen.add(id);
    }
  }
  return seen;
}

const ranges = process.argv.slice(2).map(parseRange);
const wanted = [...behaviours()].filter(([id]) => ranges.length === 0 || ranges.some((range) => contains(range, id)));
const seen = numbersInTitles();
const missing = wanted.filter(([id]) => !seen.has(id));
for (const [, line] of missing) console.log(line);
console.log(`${wanted.length - missing.length} of ${wanted.length} behaviours have a test that names them`);
process.exitCode = wanted.length > 0 && missing.length === 0 ? 0 : 1;
