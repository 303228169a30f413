/**
 * How a contender that measures itself tells what it found: a line of JSON, which `bench/suite/self-measured.ts` reads. Milliseconds by the clock, CPU time of
 * this process in microseconds, its peak memory in bytes.
 */
import { readFileSync } from "node:fs";

/** What has been done so far: the contender adds to it. */
export const done = { count: 0 };

const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** CPU time that another process has taken, in microseconds. */
function cpuTimeOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1000;
}

interface Times {
  readonly elapsed: number;
  readonly cpu: number;
}

async function timesOf(work: () => Promise<unknown>): Promise<Times> {
  const [begun, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { elapsed: performance.now() - begun, cpu: user + system };
}

function report(figures: object): void {
  // And not getrusage(2): its ru_maxrss begins with what the process had that started this one.
  const [, kilobytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  console.log(JSON.stringify({ ...figures, peakMemory: Number(kilobytes) * 1024 }));
}

/** Does the work twice, each of `count` items, and reports the second time: V8 has optimised by then. */
export async function reportRun(count: number, work: () => Promise<unknown>): Promise<void> {
  await work();
  // What the first left is not charged to the second.
  globalThis.gc?.();
  report({ count, ...(await timesOf(work)) });
}

/** What `reportTime` tells besides. */
interface Besides {
  /** The process that feeds this one: how busy it was. */
  readonly feeder?: number;
  /** Other figures, asked for at the end. */
  readonly figures?: () => object;
}

/** Lets what runs go on for the warm-up, and reports what is done in the time after it. Prints "measuring" in between. */
export async function reportTime(warmUp: number, milliseconds: number, { feeder, figures }: Besides = {}): Promise<void> {
  await wait(warmUp);
  console.log("measuring");
  done.count = 0;
  const fed = feeder === undefined ? 0 : cpuTimeOf(feeder);
  const times = await timesOf(() => wait(milliseconds));
  const load = feeder === undefined ? {} : { loadCpu: (cpuTimeOf(feeder) - fed) / (times.elapsed * 1000) };
  report({ count: done.count, ...times, ...load, ...figures?.() });
}
