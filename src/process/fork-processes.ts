/**
 * Several processes for one program: `forkProcesses`, as in Tornado's `process`, in the way that fits Node, which cannot fork.
 *
 * The first process becomes the *supervisor* and runs the same program again, once for each *worker*. A worker runs the program from its
 * beginning; its calls of `bindSockets` are answered with the sockets that the supervisor bound (`inheritance.ts`), and where the supervisor
 * stays in `forkProcesses` for ever, the worker goes on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism, constants } from "node:os";
import { isMainThread } from "node:worker_threads";
import { generalLog } from "../log.js";
import { checkWhole } from "./arguments.js";
import { beginSupervising, endInheritance, type Inheritance, WORKER_VARIABLE, workerId } from "./inheritance.js";

/** Restarts of all workers together before a supervisor gives up. Tornado's value. */
const MAX_RESTARTS = 100;

/** What a service manager or a terminal stops a program with. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Behind the three standard streams. */
const FIRST_INHERITED = 3;

let called = false;

/** How many processors this process may use; at least 1. Tornado: `cpu_count`. */
export function cpuCount(): number {
  return Math.max(1, availableParallelism());
}

/** The number of this worker, from 0; `undefined` in any process that is no worker. Tornado: `task_id`. */
export function taskId(): number | undefined {
  return workerId;
}

/**
 * Runs this program in several processes. In each worker the promise resolves with its number, 0 to n - 1; in this process, the supervisor,
 * it never does: `await` it, and what follows runs in the workers alone. What stands before runs in every process.
 *
 * Listening sockets bound before are shared by the workers; the same calls must come in the same order in each. A worker that ends by a signal or
 * with another status than 0 is started again, under the same number. SIGTERM and SIGINT are passed on to the workers. When all
 * workers have ended for good, the supervisor exits with status 0.
 *
 * Tornado: `fork_processes`.
 *
 * @param numProcesses - 0 or less, or nothing, means one for each processor
 * @param maxRestarts - of all workers together; after one more the others get SIGTERM and the promise rejects
 * @throws TypeError, RangeError for wrong arguments
 * @throws Error on a second call, in a worker thread, and for a program that was read from standard input
 */
export function forkProcesses(numProcesses?: number, maxRestarts: number = MAX_RESTARTS): Promise<number> {
  if (numProcesses !== undefined) checkWhole("numProcesses", numProcesses, -0x80000000, 0x7fffffff);
  checkWhole("maxRestarts", maxRestarts, 0, Number.MAX_SAFE_INTEGER);
  if (!isMainThread) throw new Error("forkProcesses() in a worker thread: call it in the main thread, whose program is run again");
  if (called) throw new Error("forkProcesses() was called before: a program is divided into processes once");
  if (workerId === undefined && !isRunnableAgain()) {
    throw new Error("forkProcesses() in a program that was read from standard input: put it into a file, which can be run again");
  }
  called = true;
  if (workerId !== undefined) {
    endInheritance();
    return Promise.resolve(workerId);
  }
  const count = numProcesses === undefined || numProcesses <= 0 ? cpuCount() : numProcesses;
  return new Supervisor(maxRestarts).run(count);
}

/** Whether there is a file, or source text on the command line. */
function isRunnableAgain(): boolean {
  const file = process.argv[1];
  if (file !== undefined) return file !== "-";
  return process.execArgv.some((argument) => /^(-e|-p|-pe|--eval|--print)(=|$)/.test(argument));
}

/** The process that started the workers: it keeps them running and passes on what stops them. */
class Supervisor {
  readonly #maxRestarts: number;
  readonly #resolveNever: Promise<number>;
  #reject: (error: Error) => void = () => undefined;
  readonly #workers = new Map<number, ChildProcess>();
  /** What every worker gets, in the order of the numbers there. Duplicates of ours: whatever becomes of the program's own, a restart needs them. */
  readonly #descriptors: number[] = [];
  readonly #calls: Inheritance["calls"];
  #restarts = 0;
  #stopping = false;
  #failed = false;
  readonly #passOn = (signal: NodeJS.Signals): void => {
    this.#stop(signal);
  };
  /** However this process ends, the workers do not go on without it. */
  readonly #exiting = (): void => {
    this.#stop("SIGTERM");
  };

  constructor(maxRestarts: number) {
    this.#maxRestarts = maxRestarts;
    this.#resolveNever = new Promise((_resolve, reject) => {
      this.#reject = reject;
    });
    this.#calls = beginSupervising().map(({ call, sockets }) => ({
      call,
      fds: sockets.map((socket) => FIRST_INHERITED + this.#descriptors.push(socket.detach()) - 1),
    }));
  }

  run(count: number): Promise<number> {
    for (const signal of STOP_SIGNALS) process.on(signal, this.#passOn);
    process.on("exit", this.#exiting);
    generalLog.info(`Starting ${count} processes`);
    for (let id = 0; id < count; id++) this.#start(id);
    return this.#resolveNever;
  }

  #start(id: number): void {
    const inheritance: Inheritance = { id, calls: this.#calls };
    let child: ChildProcess;
    try {
      child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
        stdio: ["inherit", "inherit", "inherit", ...this.#descriptors],
        env: { ...process.env, [WORKER_VARIABLE]: JSON.stringify(inheritance) },
      });
    } catch (error) {
      this.#giveUp(error as Error);
      return;
    }
    this.#workers.set(id, child);
    child.once("error", (error) => {
      this.#workers.delete(id);
      this.#giveUp(error);
    });
    child.once("exit", (status, signal) => {
      this.#ended(id, child.pid, status, signal);
    });
  }

  #ended(id: number, pid: number | undefined, status: number | null, signal: NodeJS.Signals | null): void {
    this.#workers.delete(id);
    if (status === 0) {
      generalLog.info(`child ${id} (pid ${pid}) exited normally`);
    } else {
      const how = signal === null ? `exited with status ${status}` : `killed by signal ${constants.signals[signal]}`;
      if (this.#stopping) {
        generalLog.info(`child ${id} (pid ${pid}) ${how}`);
      } else {
        generalLog.warn(`child ${id} (pid ${pid}) ${how}, restarting`);
        this.#restarts++;
        if (this.#restarts > this.#maxRestarts) this.#giveUp(new Error("Too many child restarts, giving up"));
        else this.#start(id);
      }
    }
    if (this.#workers.size === 0) this.#finish();
  }

  /** No restarts from here on; what runs is told to end. */
  #stop(signal: NodeJS.Signals): void {
    this.#stopping = true;
    for (const worker of this.#workers.values()) worker.kill(signal);
    if (this.#workers.size === 0) this.#finish();
  }

  /** Everything has ended. A supervisor that gave up leaves its own end to the program, which has the error. */
  #finish(): void {
    for (const signal of STOP_SIGNALS) process.off(signal, this.#passOn);
    process.off("exit", this.#exiting);
    if (!this.#failed) process.exit(0);
  }

  #giveUp(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#stop("SIGTERM");
    this.#reject(error);
  }
}
