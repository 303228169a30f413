/** A contender's process that serves, and what Linux tells about it in /proc. */
import { readdirSync, readFileSync } from "node:fs";
import { Child } from "./children.js";
import type { Program, Server } from "./contract.js";

/** A field of /proc/PID/status that is told in kB, in bytes. */
function statusBytes(pid: number, field: string): number {
  const found = new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1] ?? NaN) * 1024;
}

/** CPU time of all threads that are there, in microseconds. schedstat counts nanoseconds; utime and stime of `stat` would come in ticks of 10 ms. */
export function cpuTimeOf(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  }
  return nanoseconds / 1000;
}

export class ServerProcess implements Server {
  readonly #child: Child;
  #ready = "";

  constructor(program: Program, core: number | undefined) {
    this.#child = new Child(program, core);
  }

  /** Waits for its first line; stops it where none comes. */
  async start(): Promise<this> {
    try {
      this.#ready = await this.line();
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get ready(): string {
    return this.#ready;
  }

  get port(): number {
    return Number(this.#ready);
  }

  line(): Promise<string> {
    return this.#child.line();
  }

  ask(line: string): Promise<string> {
    this.#child.say(line);
    return this.line();
  }

  cpuTime(): number {
    return cpuTimeOf(this.pid);
  }

  peakMemory(): number {
    return statusBytes(this.pid, "VmHWM");
  }

  residentMemory(): number {
    return statusBytes(this.pid, "VmRSS");
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}
