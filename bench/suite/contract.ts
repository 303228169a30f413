/**
 * What the parts of `npm run bench` agree on. A work is one thing to be done; its contenders do it in different ways, each in a process of its own; its
 * targets say where ours must stand among them. A file `bench/suite/NAME.ts` that defines works exports `works(setup: Setup): Work[]`, and
 * `bench/suite/all-works.ts` lists those files.
 */
import type { Machine } from "./machine.js";

/** What one run of one contender gave. */
export interface Measurement {
  /** Items, or MB, done in a second. */
  readonly perSecond?: number;
  /** Microseconds of the contender's CPU, user and system, for an item (or for a MB). */
  readonly cpuPerItem?: number;
  /** The most resident memory that the contender's process has had (VmHWM), in bytes. */
  readonly peakMemory?: number;
  /** The figure of works that have neither: milliseconds of start-up, bytes of a connection. Less is better. */
  readonly value?: number;
  /** Microseconds from a request to its answer. */
  readonly latency?: Latency;
  /** The share of its core that the load generator used, 0 to 1. Near 1 the load was the limit, and not the contender. */
  readonly loadCpu?: number;
}

/** Quantiles in microseconds: half of the answers came within `p50`, 99% within `p99`, 99.9% within `p999`. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** One way of doing a work. */
export interface Contender {
  readonly name: string;
  /** Why it does not take part ("bun is not installed"). The results name it with this reason, and nothing is measured. */
  readonly skipped?: string;
  /** Does the work once. Rejects where it failed: the results then name the failure, and the other contenders go on. */
  readonly measure: () => Promise<Measurement>;
}

/** A figure of a measurement that contenders are compared by. */
export type Figure = "perSecond" | "cpuPerItem" | "value" | "peakMemory";

/** What ours must reach, from issue 7's table. */
export interface Target {
  /** A contender's name. */
  readonly ours: string;
  /** The contender it is compared with; without one, `by` itself is what must be `atMost` or `atLeast`. */
  readonly theirs?: string;
  readonly by: Figure;
  /**
   * How the two are compared, pair by pair within a round. `ratio` (the default): with `atLeast` how many times better ours is, whichever way the
   * figure goes; with `atMost` ours divided by theirs. `difference`: ours less theirs.
   */
  readonly as?: "ratio" | "difference";
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One thing to be done, and who does it. */
export interface Work {
  /** Lower case with hyphens; `--only=echo` takes `echo` and all of `echo-...`. */
  readonly id: string;
  readonly title: string;
  /** What an item is ("answer", "MB"), or the unit of `value` ("ms", "bytes"). */
  readonly unit: string;
  /** They take turns in this order, in each round. */
  readonly contenders: readonly Contender[];
  readonly targets: readonly Target[];
  /** What one has to know to read the figures; Markdown. */
  readonly note?: string;
  /** Instead of the run's number of rounds. With `--quick` there is always one. */
  readonly rounds?: number;
}

/** How a contender's process is started. Made by the functions of `Setup`. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** Besides the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Why it cannot be run here. */
  readonly missing?: string;
}

/**
 * A contender's process that serves, pinned to the servers' core. It prints a line when it is ready (its port, where it has one) and ends when its standard
 * input does.
 */
export interface Server {
  readonly pid: number;
  /** The first line that it printed. */
  readonly ready: string;
  /** The first line as a number. */
  readonly port: number;
  /** The next line that it prints. */
  line(): Promise<string>;
  /** Sends a line to its standard input and resolves with the line that it answers. */
  ask(line: string): Promise<string>;
  /** CPU time so far, user and system, all threads: microseconds. */
  cpuTime(): number;
  /** VmHWM: bytes. */
  peakMemory(): number;
  /** VmRSS: bytes. */
  residentMemory(): number;
  /** Ends it and resolves when it is gone. Harmless when repeated. */
  stop(): Promise<void>;
}

/** What works are built from. */
export interface Setup {
  /** What is installed here. */
  readonly machine: Machine;
  /** A folder for this run alone, removed after it. Compiled contenders lie in it. */
  readonly folder: string;
  /** Everything once and briefly: shows that it runs, its figures mean nothing. */
  readonly quick: boolean;
  /** Milliseconds of load before measuring: V8 must have optimised. */
  readonly warmUp: number;
  /** Milliseconds of measuring. */
  readonly measured: number;

  /** A program of `bench/contenders`, such as "ioloop.ts", compiled to JavaScript; it sees `ioloop` as users do, from `dist`. */
  node(file: string, ...args: string[]): Program;
  /** A program of `bench/contenders`, compiled, in Bun. */
  bun(file: string, ...args: string[]): Program;
  /** A program of `bench/contenders` in a Python that has these modules. */
  python(modules: readonly string[], file: string, ...args: string[]): Program;
  /** A program of `bench/contenders/c`, such as "server.c", built with the C compiler. */
  c(file: string, ...args: string[]): Program;

  startServer(program: Program): Promise<Server>;
  /** Runs a program to its end, on the load's core; resolves with its standard output. Rejects with its standard error where it fails or hangs. */
  run(program: Program, options?: RunOptions): Promise<string>;
}

/** How `Setup.run` runs a program. */
export interface RunOptions {
  /** Which core it is pinned to: the load's (the default), or the server's where the program itself is what is measured. */
  readonly core?: "server" | "load";
  /** Called with each line as it is printed. */
  readonly onLine?: (line: string) => void;
}

/** A contender that is a server: started for each measurement and stopped after it; skipped where its program is missing. */
export function served(setup: Setup, name: string, program: Program, measure: (server: Server) => Promise<Measurement>): Contender {
  return {
    name,
    ...(program.missing === undefined ? {} : { skipped: program.missing }),
    measure: async () => {
      const server = await setup.startServer(program);
      try {
        return { ...(await measure(server)), peakMemory: server.peakMemory() };
      } finally {
        await server.stop();
      }
    },
  };
}
