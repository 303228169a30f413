/** The load of the network works: the generator in C, or the same in Node where there is no compiler. */
import type { Latency, Measurement, Program, Server, Setup } from "./contract.js";

/** What the generator does; its comment (`bench/contenders/c/load.c`) says it in full. */
export type LoadMode = "echo" | "churn" | "sink" | "source";

/** Its numbers. `warmup` and `ms` are the setup's unless given; `warmup` is bytes for sink and source. */
export interface LoadOptions {
  readonly connections?: number;
  readonly depth?: number;
  readonly bytes?: number;
  readonly warmup?: number;
}

/** What the generator prints at its end. */
interface Report {
  readonly items: number;
  readonly seconds: number;
  readonly loadCpu: number;
  readonly latency?: Latency;
}

/** The generator, with these arguments. */
export function loadProgram(setup: Setup, ...args: string[]): Program {
  const inC = setup.c("load.c", ...args);
  return inC.missing === undefined ? inC : setup.node("load.ts", ...args);
}

/** Puts a server under load and measures both. `itemsPerUnit`: what is counted, in what the generator counts (bytes in a MB). */
export async function putUnderLoad(
  setup: Setup,
  server: Server,
  mode: LoadMode,
  options: LoadOptions,
  itemsPerUnit = 1,
): Promise<Measurement> {
  const settings = { warmup: setup.warmUp, ms: setup.measured, ...options };
  const args = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  let before = NaN;
  let after = NaN;
  const output = await setup.run(loadProgram(setup, mode, String(server.port), ...args), {
    onLine: (line) => {
      if (line === "measuring") before = server.cpuTime();
      else after = server.cpuTime();
    },
  });
  const { items, seconds, loadCpu, latency } = JSON.parse(output.split("\n").at(-1) ?? "") as Report;
  const units = items / itemsPerUnit;
  return {
    perSecond: units / seconds,
    cpuPerItem: (after - before) / units,
    loadCpu,
    ...(latency === undefined ? {} : { latency }),
  };
}
