/**
 * The processes that the suite starts: each on its core, each with an end. Whatever happens to the suite, none of them stays: they are killed by their own
 * ids when it fails, is interrupted or ends, and each is also told to end by its standard input.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Program } from "./contract.js";

/** No start, answer or run takes longer, in milliseconds; one that does has failed. */
export const LONGEST = 90_000;

const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

process.once("exit", killAll);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

/** A process of ours: its lines one after the other, its standard error kept for the message if it fails. */
export class Child {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #gone: Promise<string>;
  readonly #name: string;
  #errors = "";

  constructor(program: Program, core: number | undefined) {
    if (program.missing !== undefined) throw new Error(`Cannot run what is not there: ${program.missing}`);
    const { command, args, env } = program;
    this.#name = [command, ...args].join(" ");
    const [actual, all] = core === undefined ? [command, args] : ["taskset", ["-c", String(core), command, ...args]];
    const child = spawn(actual, all, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#child = child;
    running.add(child);
    // It may be gone before it has read what it is told; its end says so.
    child.stdin.on("error", () => undefined);
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#errors += text));
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#gone = new Promise((resolve) => {
      const end = (how: string): void => {
        running.delete(child);
        resolve(how);
      };
      child.once("error", (error) => {
        end(error.message);
      });
      child.once("close", (status, signal) => {
        end(signal ?? `exit status ${String(status)}`);
      });
    });
  }

  /** `taskset` becomes the program: this is the program's own id. */
  get pid(): number {
    return this.#child.pid ?? NaN;
  }

  /** The next line that it prints; `undefined` at its end. */
  async nextLine(): Promise<string | undefined> {
    const next = await this.#within(this.#lines.next());
    return next.done === true ? undefined : next.value;
  }

  /** The next line that it prints; rejects where it ends before. */
  async line(): Promise<string> {
    return (await this.nextLine()) ?? this.#fail(await this.#within(this.#gone));
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Reads to its end; rejects where that is not success. */
  async finish(): Promise<void> {
    const how = await this.#within(this.#gone);
    if (how !== "exit status 0") this.#fail(how);
  }

  async stop(): Promise<void> {
    if (running.has(this.#child)) this.#child.kill("SIGKILL");
    await this.#gone;
  }

  #fail(how: string): never {
    throw new Error(`${this.#name}: ${how}${this.#errors === "" ? "" : `\n${this.#errors.trim().split("\n").slice(-10).join("\n")}`}`);
  }

  async #within<T>(awaited: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        void this.stop();
        reject(new Error(`${this.#name}: no answer for ${LONGEST / 1000} seconds`));
      }, LONGEST);
    });
    try {
      return await Promise.race([awaited, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
