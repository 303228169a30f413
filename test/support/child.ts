/**
 * Runs a TypeScript program in a Node process of its own: what a test says about exit, standard streams, CPU use, crashes or another Node version.
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's root folder. */
export const projectRoot: string = fileURLToPath(new URL("../..", import.meta.url));
/** What `--import` takes, or a worker thread imports, to run this project's TypeScript; quicker than tsx. */
export const typescriptLoader: string = new URL("typescript.js", import.meta.url).href;
const reporter = fileURLToPath(new URL("report-usage.js", import.meta.url));
let snippets = 0;

export interface ChildOptions {
  /** Arguments of the program. */
  readonly args?: readonly string[];
  /** Another Node to run it with; by default the one that runs the tests. */
  readonly execPath?: string;
  /** Options of Node itself, such as `--expose-gc`. */
  readonly nodeOptions?: readonly string[];
  /** Added to the environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to standard input, which is then at its end; by default it is empty. */
  readonly input?: string;
  /** Seconds after which the process is killed; `timedOut` says so. */
  readonly timeLimit?: number;
}

export interface ChildResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** Real seconds from start to end. */
  readonly seconds: number;
  /** Seconds of CPU time of the whole process, its start included; undefined when it could not tell (killed, crashed). */
  readonly cpuSeconds: number | undefined;
}

/** Runs the file `path` (relative to the project's root). Never rejects for how the program ends; look at the result. */
export async function runFile(path: string, options: ChildOptions = {}): Promise<ChildResult> {
  const { args = [], execPath = process.execPath, nodeOptions = [], env = {}, input = "", timeLimit = 20 } = options;
  const environment = { ...process.env, ...env };
  // Coverage and debug settings of the test run are not the program's.
  for (const name of ["NODE_V8_COVERAGE", "NODE_OPTIONS", "NODE_DEBUG"]) if (!(name in env)) environment[name] = undefined;
  const started = performance.now();
  const child = spawn(execPath, ["--import", typescriptLoader, "--import", reporter, ...nodeOptions, path, ...args], {
    cwd: projectRoot,
    env: environment,
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  const collected: [Buffer[], Buffer[], Buffer[]] = [[], [], []];
  for (const [index, chunks] of collected.entries()) child.stdio[index + 1]?.on("data", (chunk: Buffer) => chunks.push(chunk));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeLimit * 1000);
  // A program that has ended without reading its input is no failure of the test.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (...ending) => resolve(ending));
    });
    const [stdout, stderr, usage] = collected.map((chunks) => Buffer.concat(chunks).toString());
    return {
      stdout: stdout ?? "",
      stderr: stderr ?? "",
      code,
      signal,
      timedOut,
      seconds: (performance.now() - started) / 1000,
      cpuSeconds: usage === undefined || usage === "" ? undefined : Number(usage),
    };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs TypeScript source text as a module of the project: it imports "ioloop", or "../src/..." as files in `test/` do. */
export async function runSource(source: string, options: ChildOptions = {}): Promise<ChildResult> {
  const folder = join(projectRoot, ".tmp");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${process.pid}-${++snippets}.ts`);
  writeFileSync(path, source);
  try {
    return await runFile(path, options);
  } finally {
    rmSync(path, { force: true });
  }
}
