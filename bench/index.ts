/**
 * `npm run bench`: this library beside what its users would pick instead, on the same work in the same run. Prints one table for each work and one with
 * the targets; a full run writes results.json, RESULTS.md and results.svg into `bench/`.
 *
 *     npm run bench -- --only=echo,bulk-in-1   these works (`echo` is all of `echo-...`); nothing is written
 *     npm run bench -- --only=bulk --again      these works, which take their place in the files, marked as measured later
 *     npm run bench -- --quick                 everything once and briefly, to see that it runs; nothing is written
 *     npm run bench -- --rounds=5              instead of 3
 *     npm run bench -- --out=FOLDER            writes there, whatever was run
 *
 * What a work, a contender and a target are says `suite/contract.ts`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { allWorks } from "./suite/all-works.js";
import type { Work } from "./suite/contract.js";
import { describeMachine, findMachine } from "./suite/machine.js";
import { runInOwnNetwork } from "./suite/network.js";
import { terminalReport } from "./suite/report.js";
import { type Results, withAgain, type WorkResult } from "./suite/results.js";
import { runWork } from "./suite/run.js";
import { makeSetup } from "./suite/setup.js";
import { resultsFolder, writeReport } from "./suite/write-report.js";

function complain(message: string): never {
  console.error(message);
  process.exit(2);
}

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    again: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    out: { type: "string" },
  },
});
const { quick, only, again } = options;
if (again && (only === undefined || quick))
  complain("--again needs --only=WORKS, and cannot be --quick: it replaces those works in the results");
const rounds = quick ? 1 : Number(options.rounds ?? 3);
if (!Number.isInteger(rounds) || rounds < 1) complain(`--rounds is "${String(options.rounds)}": it must be a whole number from 1 on`);

/** Those that `--only` names; a name that fits none is an error. */
function chosen(works: readonly Work[]): Work[] {
  if (only === undefined) return [...works];
  const names = only.split(",");
  const fits = (work: Work, name: string): boolean => work.id === name || work.id.startsWith(`${name}-`);
  for (const name of names) {
    if (works.some((work) => fits(work, name))) continue;
    complain(`--only names "${name}": it must be one of ${works.map(({ id }) => id).join(", ")}, or what some of them begin with`);
  }
  return works.filter((work) => names.some((name) => fits(work, name)));
}

const status = runInOwnNetwork();
if (status !== undefined) process.exit(status);
const begun = performance.now();
const machine = findMachine();
const durations = { quick, warmUp: quick ? 100 : 1000, measured: quick ? 200 : 1500 };
const setup = makeSetup(machine, durations);
const tell = (progress: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\x1b[2K\r${progress}`);
};
try {
  const works: WorkResult[] = [];
  for (const work of chosen(allWorks(setup))) works.push(await runWork(work, quick ? 1 : (work.rounds ?? rounds), tell));
  tell("");
  const results: Results = {
    date: new Date().toISOString(),
    seconds: Math.round((performance.now() - begun) / 1000),
    machine: describeMachine(machine),
    warmUp: durations.warmUp,
    measured: durations.measured,
    works,
  };
  console.log(terminalReport(results));
  if (quick) console.log("\nAll of it ran too briefly for its figures to mean anything.");
  const full = (only === undefined && !quick) || again;
  const folder = options.out === undefined ? (full ? resultsFolder : undefined) : resolve(options.out);
  if (folder !== undefined) {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "results.json");
    const kept = again ? withAgain(JSON.parse(readFileSync(file, "utf8")) as Results, results) : results;
    writeFileSync(file, `${JSON.stringify(kept, undefined, 2)}\n`);
    writeReport(folder);
    console.log(`\nWritten into ${folder}: results.json, RESULTS.md, results.svg`);
  }
  if (works.some(({ contenders }) => contenders.some(({ failures }) => failures.length > 0))) process.exitCode = 1;
} finally {
  setup.remove();
}
