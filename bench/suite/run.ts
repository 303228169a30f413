/** Runs works: their contenders take turns within each round, and one that fails leaves the others alone. */
import type { Contender, Measurement, Work } from "./contract.js";
import type { ContenderResult, WorkResult } from "./results.js";

interface Running {
  readonly contender: Contender;
  readonly measurements: (Measurement | null)[];
  readonly failures: string[];
}

/** `tell` is called before each measurement. */
export async function runWork(work: Work, rounds: number, tell: (progress: string) => void): Promise<WorkResult> {
  const all: Running[] = work.contenders.map((contender) => ({ contender, measurements: [], failures: [] }));
  const running = all.filter(({ contender }) => contender.skipped === undefined);
  for (let round = 1; round <= rounds; round++) {
    for (const { contender, measurements, failures } of running) {
      tell(`${work.id}: round ${round} of ${rounds}: ${contender.name}`);
      try {
        measurements.push(await contender.measure());
      } catch (error) {
        measurements.push(null);
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
  }
  const { id, title, unit, targets, note } = work;
  const contenders = all.map(({ contender: { name, skipped }, measurements, failures }): ContenderResult => ({
    name,
    ...(skipped === undefined ? {} : { skipped }),
    measurements,
    failures,
  }));
  return { id, title, unit, contenders, targets, ...(note === undefined ? {} : { note }) };
}
