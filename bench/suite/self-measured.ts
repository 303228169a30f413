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

/** A program that does the work by itself on the servers' core, a process of its own for each measurement. An item is `perItem` of what it counts. */
export function selfMeasured(setup: Setup, name: string, program: Program, perItem = 1): Contender {
  return {
    name,
    ...(program.missing === undefined ? {} : { skipped: program.missing }),
    measure: async (): Promise<Measurement> => {
      const { count, elapsed, cpu, peakMemory, loadCpu } = lastReport(await setup.run(program, { core: "server" }));
      return {
        perSecond: (count / perItem / elapsed) * 1000,
        cpuPerItem: cpu / (count / perItem),
        peakMemory,
        ...(loadCpu === undefined ? {} : { loadCpu }),
      };
    },
  };
}
