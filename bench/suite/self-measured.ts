/** Contenders that measure themselves, such as those without a server: `bench/contenders/counted.ts` prints what is read here. */
import type { Contender, Latency, Measurement, Program, Setup } from "./contract.js";

/** What they print: items, milliseconds, microseconds of CPU, bytes. */
export interface Report {
  readonly count: number;
  readonly elapsed: number;
  readonly cpu: number;
  readonly peakMemory: number;
  readonly loadCpu?: number;
  readonly latency?: Latency;
}

/** The report that a program printed as its last line, in JSON. */
export function lastReport<T = Report>(printed: string): T {
  return JSON.parse(printed.slice(printed.lastIndexOf("\n") + 1)) as T;
}

/** How a report is read. */
interface Reading {
  /** An item is so many of what the program counts. */
  readonly perItem?: number;
  /** Whether most of the time is waiting: a rate says nothing then. */
  readonly waits?: boolean;
}

/** A program that does the work by itself on the servers' core, in a process of its own for each measurement. */
export function selfMeasured(setup: Setup, name: string, program: Program, { perItem = 1, waits = false }: Reading = {}): Contender {
  return {
    name,
    ...(program.missing === undefined ? {} : { skipped: program.missing }),
    measure: async (): Promise<Measurement> => {
      const { count, elapsed, cpu, peakMemory, loadCpu } = lastReport(await setup.run(program, { core: "server" }));
      return {
        ...(waits ? {} : { perSecond: (count / perItem / elapsed) * 1000 }),
        cpuPerItem: cpu / (count / perItem),
        peakMemory,
        ...(loadCpu === undefined ? {} : { loadCpu }),
      };
    },
  };
}
