/**
 * Comparing two ways of doing the same work, in one run. Machines are shared and noisy: absolute times say little, so the variants take
 * turns (A B A B ...), and what counts is the ratio of each pair, as a median with its spread.
 */

/** One way of doing the work: does it once and resolves with how long it took, in any unit that its rival shares. */
export interface Variant {
  readonly name: string;
  run(): Promise<number>;
}

/** What a comparison found. */
export interface Comparison {
  readonly title: string;
  /** What one round does, so that times can be told per item. */
  readonly items: number;
  readonly ours: Series;
  readonly theirs: Series;
  /** How many times faster ours was, pair by pair. */
  readonly ratio: Series;
}

/** Figures of one kind, sorted. */
export interface Series {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median with its spread. */
export function series(name: string, values: readonly number[]): Series {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
  return { name, median: median ?? NaN, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}

/** Lets the variants take turns: `rounds` counted rounds after one that warms up. */
export async function compare(title: string, items: number, ours: Variant, theirs: Variant, rounds: number): Promise<Comparison> {
  const times: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
  for (let round = -1; round < rounds; round++) {
    const our = await measured(ours);
    const their = await measured(theirs);
    if (round < 0) continue;
    times.ours.push(our);
    times.theirs.push(their);
  }
  const ratios = times.ours.map((our, index) => (times.theirs[index] ?? NaN) / our);
  return {
    title,
    items,
    ours: series(ours.name, times.ours),
    theirs: series(theirs.name, times.theirs),
    ratio: series("ratio", ratios),
  };
}

async function measured(variant: Variant): Promise<number> {
  // The one before must not be charged to this one.
  globalThis.gc?.();
  return variant.run();
}

/** Milliseconds of CPU, user and system, that `work` takes. */
export async function cpuMilliseconds(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Milliseconds by the clock that `work` takes. */
export async function wallMilliseconds(work: () => Promise<void>): Promise<number> {
  const before = performance.now();
  await work();
  return performance.now() - before;
}

/** A line for each comparison: times per item, and the ratio. */
export function printComparisons(comparisons: readonly Comparison[]): void {
  const rows = comparisons.map(({ title, items, ours, theirs, ratio }) => ({
    work: title,
    [`ours`]: `${ours.name}: ${perItem(ours, items)}`,
    [`against`]: `${theirs.name}: ${perItem(theirs, items)}`,
    ratio: `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}-${ratio.max.toFixed(2)})`,
  }));
  console.table(rows);
}

function perItem(times: Series, items: number): string {
  const nanoseconds = (times.median / items) * 1e6;
  return nanoseconds < 10_000 ? `${nanoseconds.toFixed(0)} ns` : `${(nanoseconds / 1000).toFixed(1)} µs`;
}
