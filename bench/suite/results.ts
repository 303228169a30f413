/**
 * What a run of the suite found, in the form in which it is kept (`bench/results.json`), and what follows from it: medians with their spread, ratios pair
 * by pair, targets reached or not.
 */
import { type Series, series } from "../measure.js";
import type { Figure, Measurement, Target } from "./contract.js";
import type { MachineDescription } from "./machine.js";

export interface Results {
  /** ISO 8601. */
  readonly date: string;
  /** How long the run took. */
  readonly seconds: number;
  readonly machine: MachineDescription;
  /** Of each measurement, in milliseconds. */
  readonly warmUp: number;
  readonly measured: number;
  readonly works: readonly WorkResult[];
}

export interface WorkResult {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly contenders: readonly ContenderResult[];
  readonly targets: readonly Target[];
  readonly note?: string;
  /** Where the work was measured after the run that it stands in, for `--again`: when, and with which version of this package. */
  readonly again?: { readonly date: string; readonly version: string };
}

export interface ContenderResult {
  readonly name: string;
  /** Why it did not take part. */
  readonly skipped?: string;
  /** By round; `null` where it failed. */
  readonly measurements: readonly (Measurement | null)[];
  /** What it failed with. */
  readonly failures: readonly string[];
}

/** How a target came out. */
export interface Outcome {
  readonly target: Target;
  /** By round; absent where one of the two was not measured. */
  readonly found?: Series;
  readonly reached?: boolean;
  /** Why there is nothing. */
  readonly reason?: string;
}

/** Whether more of a figure is better. */
export function moreIsBetter(figure: Figure): boolean {
  return figure === "perSecond";
}

/** A figure of a contender, by round; NaN where it is not there. */
function figures(contender: ContenderResult, figure: Figure): number[] {
  return contender.measurements.map((each) => each?.[figure] ?? NaN);
}

function known(values: readonly number[]): Series | undefined {
  const finite = values.filter(Number.isFinite);
  return finite.length === 0 ? undefined : series("", finite);
}

/** The median of a figure with its spread; `undefined` where it was not measured. */
export function spreadOf(contender: ContenderResult, pick: (measurement: Measurement) => number | undefined): Series | undefined {
  return known(contender.measurements.map((each) => (each === null ? NaN : (pick(each) ?? NaN))));
}

/** How many times better ours is, pair by pair: above 1 ours is faster, or needs less. */
export function advantage(ours: ContenderResult, theirs: ContenderResult, figure: Figure): Series | undefined {
  const mine = figures(ours, figure);
  const other = figures(theirs, figure);
  return known(mine.map((value, round) => (moreIsBetter(figure) ? value / (other[round] ?? NaN) : (other[round] ?? NaN) / value)));
}

function absent(contender: ContenderResult | undefined, name: string): string | undefined {
  if (contender === undefined) return `${name} is not in this run`;
  if (contender.skipped !== undefined) return contender.skipped;
  return contender.measurements.some((each) => each !== null) ? undefined : `${name} failed`;
}

/** Compares as a target says. */
export function judge(work: WorkResult, target: Target): Outcome {
  const { ours, theirs, by, as = "ratio", atLeast, atMost } = target;
  const named = (name: string): ContenderResult | undefined => work.contenders.find((each) => each.name === name);
  const mine = named(ours);
  const other = theirs === undefined ? undefined : named(theirs);
  const reason = absent(mine, ours) ?? (theirs === undefined ? undefined : absent(other, theirs));
  if (reason !== undefined || mine === undefined) return { target, reason: reason ?? "" };
  let found: Series | undefined;
  if (other === undefined) {
    found = known(figures(mine, by));
  } else if (as === "ratio" && atMost === undefined) {
    found = advantage(mine, other, by);
  } else {
    const others = figures(other, by);
    found = known(
      figures(mine, by).map((value, round) => (as === "ratio" ? value / (others[round] ?? NaN) : value - (others[round] ?? NaN))),
    );
  }
  if (found === undefined) return { target, reason: `${by} was not measured` };
  return { target, found, reached: found.median >= (atLeast ?? -Infinity) && found.median <= (atMost ?? Infinity) };
}

/** All targets of a run, with the works they belong to. */
export function outcomes(results: Results): [WorkResult, Outcome][] {
  return results.works.flatMap((work) => work.targets.map((target): [WorkResult, Outcome] => [work, judge(work, target)]));
}

/** A run in which the works of a later one take the place of its own, marked as such. */
export function withAgain(run: Results, later: Results): Results {
  const again = { date: later.date, version: later.machine.versions["ioloop"] ?? "" };
  const works = run.works.map((work) => {
    const newer = later.works.find(({ id }) => id === work.id);
    return newer === undefined ? work : { ...newer, again };
  });
  return { ...run, works };
}

/** What was skipped or has failed, in a line each, with the works concerned. */
export function absences(results: Results): string[] {
  const said = new Map<string, Set<string>>();
  for (const work of results.works) {
    for (const { name, skipped, failures } of work.contenders) {
      const reasons = skipped === undefined ? failures.map((each) => `failed, ${each.replaceAll("\n", "; ")}`) : [`skipped, ${skipped}`];
      for (const reason of reasons) {
        const what = `${name}: ${reason}`;
        said.set(what, (said.get(what) ?? new Set()).add(work.id));
      }
    }
  }
  return [...said].map(([what, works]) => `${what} (${[...works].join(", ")})`);
}
