/** A program of several processes under test: started, listened to line by line, and ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { projectRoot, typescriptLoader } from "../support/child.js";
import { settle } from "../support/real-timers.js";

/** How long a program may take to say something, in milliseconds: each process of it loads TypeScript on a machine that may be busy. */
const PATIENCE = 30_000;

export class Program implements AsyncDisposable {
  readonly process: ChildProcess;
  /** Everything it and its workers have written, in lines. */
  readonly lines: string[] = [];
  readonly #ended: Promise<unknown>;

  constructor(file: string, ...args: string[]) {
    const env = { ...process.env, NODE_DEBUG: "ioloop" };
    for (const name of ["NODE_V8_COVERAGE", "NODE_OPTIONS"]) Reflect.deleteProperty(env, name);
    this.process = spawn(process.execPath, ["--import", typescriptLoader, file, ...args], {
      cwd: projectRoot,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const output of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: output as NonNullable<typeof output> }).on("line", (line) => this.lines.push(line));
    }
    this.#ended = once(this.process, "close");
  }

  /** The lines that match, in order. */
  matching(pattern: RegExp): RegExpExecArray[] {
    return this.lines.map((line) => pattern.exec(line)).filter((match) => match !== null);
  }

  /** Waits until `count` lines match. */
  async say(pattern: RegExp, count = 1): Promise<RegExpExecArray[]> {
    await settle(() => this.matching(pattern).length >= count || this.process.exitCode !== null, PATIENCE);
    await settle(() => this.matching(pattern).length >= count);
    const found = this.matching(pattern);
    if (found.length < count) throw new Error(`${found.length} lines match ${String(pattern)}, not ${count}:\n${this.lines.join("\n")}`);
    return found;
  }

  /** Waits for its end, and gives exit status or signal. */
  async end(): Promise<number | NodeJS.Signals | null> {
    await this.#ended;
    return this.process.exitCode ?? this.process.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGTERM");
    // Workers are ended by their supervisor. One that did not do so would show as a process that is left.
    await this.#ended;
  }
}

/** A connection to a server of `programs/workers.ts`: what it greets with, and the way to send it commands. */
export interface Greeting {
  readonly socket: Socket;
  readonly id: number;
  readonly pid: number;
}

/** Connects, and reads the line that a worker greets with. */
export async function greet(port: number): Promise<Greeting> {
  const socket = connect(port, "127.0.0.1");
  const [line] = (await once(socket, "data")) as [Buffer];
  const [id, pid] = line.toString().trim().split(" ").map(Number);
  return { socket, id: id as number, pid: pid as number };
}

/** Connects until the worker of that number answers. */
export async function greetWorker(port: number, id: number): Promise<Greeting> {
  for (;;) {
    const greeting = await greet(port);
    if (greeting.id === id) return greeting;
    greeting.socket.destroy();
    await once(greeting.socket, "close");
  }
}
