/** Python programs as peers, where there is a Python that has what they import. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** The one that PYTHON names, the first on PATH, the distribution's own: a package of the distribution is there for its own alone. */
const PYTHONS = [process.env["PYTHON"] ?? "python3", "python3", "/usr/bin/python3"];

/** A Python that can import all of these modules; undefined when there is none. */
export function pythonWith(...modules: string[]): string | undefined {
  return PYTHONS.find((python) => spawnSync(python, ["-c", `import ${modules.join()}`], { stdio: "ignore" }).status === 0);
}

/** A running program: its lines, one after the other, and its end. */
export class PythonProgram implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string, undefined>;
  readonly #closed: Promise<unknown>;

  /** @param source - the program's text */
  constructor(python: string, source: string, ...args: string[]) {
    const child = spawn(python, ["-c", source, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.process = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#closed = once(child, "close");
  }

  /** The next line it writes. */
  async line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error("The Python program has ended without a further line");
    return next.value;
  }

  /** Waits for its end, and gives its exit status. */
  async end(): Promise<number | null> {
    await this.#closed;
    return this.process.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null) this.process.kill();
    await this.#closed;
  }
}
