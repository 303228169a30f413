/** `npm run bench:report [-- FOLDER]`: RESULTS.md and results.svg, from the results.json that lies beside them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chart } from "./chart.js";
import { markdownReport } from "./report.js";
import type { Results } from "./results.js";

/** Where the results of a full run lie. */
export const resultsFolder = fileURLToPath(new URL("..", import.meta.url));

/** Writes both from the JSON in `folder`. */
export function writeReport(folder: string): void {
  const results = JSON.parse(readFileSync(join(folder, "results.json"), "utf8")) as Results;
  writeFileSync(join(folder, "results.svg"), chart(results));
  writeFileSync(join(folder, "RESULTS.md"), markdownReport(results, "results.svg"));
}

if (process.argv[1] === import.meta.filename) writeReport(resolve(process.argv[2] ?? resultsFolder));
