/** The results as text: tables for the terminal, and `bench/RESULTS.md`. */
import type { Series } from "../measure.js";
import type { Target } from "./contract.js";
import { absences, advantage, type ContenderResult, type Outcome, outcomes, type Results, spreadOf, type WorkResult } from "./results.js";

/** Above this share of its core the load may have been the limit. */
const LOAD_LIMIT = 0.95;
const LIMITED = " †";

/** A Markdown table whose columns are aligned in plain text too; all but the first are numbers, to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], leftColumns = 1): string {
  const all = [header, ...rows];
  const widths = header.map((_title, column) => Math.max(3, ...all.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, column) => (column < leftColumns ? (row[column] ?? "").padEnd(width) : (row[column] ?? "").padStart(width))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column < leftColumns ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}

/** Three significant digits and more where the number is large. */
export function figure(value: number): string {
  const size = Math.abs(value);
  return size >= 100 ? Math.round(value).toLocaleString("en") : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function withSpread(found: Series | undefined, format: (value: number) => string = figure): string {
  return found === undefined ? "" : `${format(found.median)} (${format(found.min)} to ${format(found.max)})`;
}

/** What stands for ours where the others of a work are compared with it. */
export function referenceOf(work: WorkResult): ContenderResult | undefined {
  const name = work.targets[0]?.ours;
  return work.contenders.find((each) => each.name === name) ?? work.contenders.find((each) => each.name.startsWith("ioloop"));
}

interface Column {
  readonly title: string;
  readonly cell: (contender: ContenderResult) => string;
}

function columnsOf(work: WorkResult): Column[] {
  const reference = referenceOf(work);
  const ratio = (by: "perSecond" | "cpuPerItem" | "value") => (contender: ContenderResult) =>
    reference === undefined || contender === reference ? "" : withSpread(advantage(reference, contender, by), (value) => value.toFixed(2));
  const median = (pick: Parameters<typeof spreadOf>[1]) => (contender: ContenderResult) => {
    const found = spreadOf(contender, pick);
    return found === undefined ? "" : figure(found.median);
  };
  const loadOf = (contender: ContenderResult): number => spreadOf(contender, (each) => each.loadCpu)?.median ?? 0;
  const columns: Column[] = [
    {
      title: work.unit === "MB" ? "MB/s" : `${work.unit}s/s`,
      cell: (contender) =>
        withSpread(spreadOf(contender, (each) => each.perSecond)).replace(/$/, loadOf(contender) > LOAD_LIMIT ? LIMITED : ""),
    },
    { title: work.unit, cell: (contender) => withSpread(spreadOf(contender, (each) => each.value)) },
    { title: "ratio", cell: (contender) => ratio("perSecond")(contender) || ratio("value")(contender) },
    { title: `CPU µs per ${work.unit}`, cell: median((each) => each.cpuPerItem) },
    { title: "ratio by CPU", cell: ratio("cpuPerItem") },
    { title: "peak MB", cell: median((each) => (each.peakMemory === undefined ? undefined : each.peakMemory / 1e6)) },
    { title: "p50 µs", cell: median((each) => each.latency?.p50) },
    { title: "p99 µs", cell: median((each) => each.latency?.p99) },
    { title: "p99.9 µs", cell: median((each) => each.latency?.p999) },
    { title: "load", cell: (contender) => (loadOf(contender) > 0 ? `${Math.round(loadOf(contender) * 100)}%` : "") },
  ];
  return columns.filter(({ cell }) => work.contenders.some((each) => cell(each) !== ""));
}

/** One work's table. */
export function workTable(work: WorkResult): string {
  const columns = columnsOf(work);
  const rows = work.contenders.map((contender) => {
    if (contender.skipped !== undefined) return [contender.name, `skipped: ${contender.skipped}`];
    if (contender.measurements.every((each) => each === null)) return [contender.name, "failed"];
    return [contender.name, ...columns.map(({ cell }) => cell(contender))];
  });
  return table(["", ...columns.map(({ title }) => title)], rows);
}

/** What a target compares, in words. */
export function targetName(work: WorkResult, { ours, theirs, by, as, atMost }: Target): string {
  const what = { perSecond: "", cpuPerItem: `CPU per ${work.unit}`, value: work.unit, peakMemory: "peak memory" }[by];
  const compared = theirs === undefined ? ours : `${ours} ${as === "difference" ? "−" : "/"} ${theirs}`;
  const shown = by === "perSecond" || (by === "value" && as === undefined && atMost === undefined) ? compared : `${compared}, ${what}`;
  return shown;
}

/** What a target asks for. */
export function wanted({ atLeast, atMost }: Target): string {
  return [atLeast === undefined ? [] : [`≥ ${atLeast}`], atMost === undefined ? [] : [`≤ ${atMost}`]].flat().join(", ");
}

function verdict({ reached, reason }: Outcome): string {
  return reached === undefined ? `not measured: ${reason ?? ""}` : reached ? "reached" : "not reached";
}

/** All targets, reached or not. */
export function targetTable(results: Results): string {
  const rows = outcomes(results).map(([work, outcome]) => [
    work.title,
    targetName(work, outcome.target),
    verdict(outcome),
    wanted(outcome.target),
    withSpread(outcome.found),
  ]);
  return table(["work", "compared", "verdict", "wanted", "found"], rows, 3);
}

/** What the load generator needed itself, beside the fastest that it measured. */
export function loadTable(results: Results): string {
  const rows: string[][] = [];
  for (const work of results.works) {
    const measured = work.contenders.flatMap((contender) => {
      const rate = spreadOf(contender, (each) => (each.loadCpu === undefined ? undefined : each.perSecond))?.median;
      const share = spreadOf(contender, (each) => each.loadCpu)?.median;
      const cpu = spreadOf(contender, (each) => each.cpuPerItem)?.median;
      return rate === undefined || share === undefined || cpu === undefined ? [] : [{ name: contender.name, rate, share, cpu }];
    });
    const fastest = measured.toSorted((a, b) => b.rate - a.rate)[0];
    if (fastest === undefined) continue;
    const { name, rate, share, cpu } = fastest;
    rows.push([work.title, name, figure((share / rate) * 1e6), figure(cpu), `${Math.round(share * 100)}%`]);
  }
  return table(["work", "fastest", "load's CPU µs per item", "its own CPU µs per item", "load's share of its core"], rows, 2);
}

/** What the terminal shows at the end. */
export function terminalReport(results: Results): string {
  const works = results.works.map((work) => `${work.title}\n${workTable(work)}\n`);
  const missing = [...results.machine.missing.map((each) => `not installed: ${each}`), ...absences(results)];
  return [...works, ...missing, "", targetTable(results)].join("\n");
}

/** `bench/RESULTS.md`. `chart`: the picture's name beside it. */
export function markdownReport(results: Results, chart: string): string {
  const { machine, date, seconds } = results;
  const all = outcomes(results);
  const count = (reached: boolean | undefined): number => all.filter(([, each]) => each.reached === reached).length;
  const list = (items: readonly string[]): string => (items.length === 0 ? "Nothing.\n" : items.map((each) => `- ${each}\n`).join(""));
  const rounds = Math.max(0, ...results.works.filter(({ again }) => again === undefined).map(roundsOf));
  return `# Measured against everybody

Generated by \`npm run bench\` from \`results.json\` (\`npm run bench:report\` writes it anew from that alone). Do not edit.

${date.slice(0, 10)}, in ${Math.round(seconds / 60)} minutes, on ${machine.processor}, ${machine.cores} cores, ${(machine.memory / 2 ** 30).toFixed(1)} GiB, ${machine.kernel}; ${machine.pinned}; ${machine.network}.

${table(["", "version"], Object.entries(machine.versions), 2)}

Not installed, and therefore not compared:

${list(machine.missing)}
Skipped or failed:

${list(absences(results))}
## Targets

${count(true)} reached, ${count(false)} not reached, ${count(undefined)} not measured. A bar that passes the line has reached its target; its ends' whisker is the spread.

![How each figure stands to its target](${chart})

${targetTable(results)}

## How it was measured

Every server runs in a process of its own on one core, the load on another. The contenders of a work take turns within a round, and ratios are taken
pair by pair within a round; what stands here is the median of ${rounds} rounds (works that say otherwise aside) with the least and the most. Each measurement
begins after ${results.warmUp / 1000} s of load, so that code is optimised, and takes ${results.measured / 1000} s. CPU time is that of the server's process, user and system, all
threads. Peak memory is the process's VmHWM. \`ratio\` is how many times better the first of ours in the table's targets is than the row's contender, by the
rate (or the figure) and by CPU time: above 1 ours is better.

The load is a program in C that does as little as can be for each answer (in Node where there is no compiler); for HTTP it is wrk, for pipes the child
process, for TLS a program in Node, which is why those works are compared by CPU time. This is what the load needs itself, against the fastest that it measured.
Where its share of its core was above ${LOAD_LIMIT * 100}% it may have been the limit: such rates are marked${LIMITED}, and CPU time is the better measure there.

${loadTable(results)}

${results.works.map((work) => `## ${work.title}\n\n\`--only=${work.id}\`${measuredAgain(work)}\n\n${work.note === undefined ? "" : `${work.note}\n\n`}${workTable(work)}\n`).join("\n")}`;
}

function measuredAgain(work: WorkResult): string {
  const { again } = work;
  if (again === undefined) return "";
  const rounds = roundsOf(work);
  const time = again.date.slice(0, 16).replace("T", " ");
  return `, measured again on ${time} UTC with ${again.version}, in ${rounds} ${rounds === 1 ? "round" : "rounds"}`;
}

function roundsOf({ contenders }: WorkResult): number {
  return Math.max(0, ...contenders.map(({ measurements }) => measurements.length));
}
