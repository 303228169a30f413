/**
 * `ThreadPoolExecutor`: an executor on real threads, for work that blocks or computes. The threads are `piscina`'s, which is loaded at the
 * first submit: a program that never uses a thread does not pay for it.
 */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { inspect } from "node:util";
import type * as piscina from "piscina";
import { generalLog } from "../log.js";
import { chainFuture } from "./chain-future.js";
import type { Executor } from "./executor.js";
import { Future, notAFunction } from "./future.js";
import type { Reply, Task } from "./thread-worker.js";
import { unpackError } from "./travelling-error.js";
import { packFunction } from "./travelling-function.js";

/** What `new ThreadPoolExecutor()` takes. */
export interface ThreadPoolExecutorOptions {
  /** The most threads at a time; default 5 for each CPU available to the process, as Python's pool had. */
  maxWorkers?: number | undefined;
}

/** A thread costs some ten megabytes, so one that has had nothing to do for this long goes. */
const IDLE_MILLISECONDS = 10_000;

/** `src/` runs through a loader that takes `.ts`; in `dist/` the file beside this one is `.js`. */
const WORKER = new URL(import.meta.url.endsWith(".ts") ? "./thread-worker.ts" : "./thread-worker.js", import.meta.url).href;

/**
 * Runs functions on threads, so that several can block or compute at the same time while the loop goes on.
 *
 * A function travels to its thread as its **source text** and its arguments by structured clone, when `submit` is called. So it sees only its
 * arguments, the globals of a Node thread, and what it imports itself (`await import("node:fs")`, `process.getBuiltinModule("node:fs")`):
 * variables around it do not travel and are a ReferenceError there, `this` is undefined. `SharedArrayBuffer`s are shared. What it returns is
 * awaited in the thread and travels back the same way; an error keeps its name, message, stack, cause and further properties such as `code`.
 *
 * Threads are started on demand, go after ten idle seconds, and do not keep the process alive unless they are working. What a function has
 * left running (a timer, a file it has not awaited) goes on between calls and ends with the thread.
 *
 * Python: `concurrent.futures.ThreadPoolExecutor`.
 *
 * @example
 * const pool = new ThreadPoolExecutor({ maxWorkers: 2 });
 * const digest = await pool.submit(async (text: string) => {
 *   const { createHash } = await import("node:crypto");
 *   return createHash("sha256").update(text).digest("hex");
 * }, "some text");
 */
export class ThreadPoolExecutor implements Executor {
  /** The most threads at a time. */
  readonly maxWorkers: number;
  #pool: piscina.Piscina<Task, Reply> | undefined;
  #unfinished = 0;
  #ended: Future<void> | undefined;

  /**
   * @throws TypeError for an unknown option or one that is no number
   * @throws RangeError if `maxWorkers` is not a whole number from 1
   */
  constructor(options: ThreadPoolExecutorOptions = {}) {
    this.maxWorkers = checkOptions(options) ?? 5 * availableParallelism();
  }

  /**
   * Runs `fn(...args)` on a thread, in the order of submitting as threads become free. Cancelling the Future does not stop the call.
   *
   * @throws TypeError if `fn` is no function or cannot travel (native, bound, a class, an accessor), or an argument cannot
   * @throws Error after `shutdown()`
   */
  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Future<Awaited<R>> {
    if (typeof fn !== "function") throw notAFunction("submit", fn);
    if (this.#ended !== undefined)
      throw new Error("submit() on a ThreadPoolExecutor that was shut down: submit before shutdown(), or make another");
    const task: Task = { fn: packFunction(fn), args: packArguments(args) };
    const future = new Future<Awaited<R>>();
    this.#unfinished += 1;
    (this.#pool ??= this.#start()).run(task).then(
      (reply) => {
        this.#finish(future, reply);
      },
      (error: unknown) => {
        // The thread itself has failed: process.exit() in the function, out of memory.
        this.#finish(future, undefined, error);
      },
    );
    return future;
  }

  /**
   * Takes no more work. What was submitted still runs to its end; then the threads end.
   *
   * @param wait - whether the Future waits for that; if false it is done at once
   * @returns a Future that is done when no thread is left
   */
  shutdown(wait = true): Future<void> {
    if (this.#ended === undefined) {
      this.#ended = new Future<void>();
      if (this.#unfinished === 0) this.#end(this.#ended);
    }
    const result = new Future<void>();
    if (wait) chainFuture(this.#ended, result);
    else result.setResult();
    return result;
  }

  #start(): piscina.Piscina<Task, Reply> {
    // require() and not import(): submitting is synchronous, and so the pool starts in the call.
    const { Piscina } = createRequire(import.meta.url)("piscina") as typeof piscina;
    const pool = new Piscina<Task, Reply>({
      filename: WORKER,
      minThreads: 0,
      maxThreads: this.maxWorkers,
      idleTimeout: IDLE_MILLISECONDS,
      // Tasks that find no free thread keep their place in line.
      stricterFIFO: true,
      recordTiming: false,
      // An idle thread waits in its event loop and not in Atomics.wait(), where what a function left running (a timer, a file being read) would
      // stand still, and a descriptor in flight would leak when the thread ends. Costs nothing: 35 to 45 µs a task either way (Node 20 and 24).
      atomics: "disabled",
    });
    // An error that belongs to no call: something the function left running in its thread has thrown.
    pool.on("error", (error: unknown) => {
      generalLog.error("A thread of a ThreadPoolExecutor failed", error);
    });
    return pool;
  }

  #finish(future: Future<unknown>, reply: Reply | undefined, error?: unknown): void {
    if (!future.done()) {
      if (reply?.ok === true) future.setResult(reply.value);
      else future._settleFailed(reply === undefined ? error : unpackError(reply.error), false);
    }
    this.#unfinished -= 1;
    if (this.#unfinished === 0 && this.#ended !== undefined) this.#end(this.#ended);
  }

  #end(ended: Future<void>): void {
    const pool = this.#pool;
    this.#pool = undefined;
    if (pool === undefined) ended.setResult();
    else void pool.destroy().then(() => ended.setResult());
  }
}

function packArguments(args: readonly unknown[]): readonly unknown[] {
  // The library posts a task when a thread is free. Copied now, an argument is what it was at the call, and one that cannot travel is
  // reported at the call.
  if (args.every((arg) => (typeof arg !== "object" && typeof arg !== "function" && typeof arg !== "symbol") || arg === null)) return args;
  try {
    return structuredClone(args);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TypeError(`An argument of submit() cannot travel to another thread (${reason}): pass data, not functions or handles`, {
      cause: error,
    });
  }
}

function checkOptions(options: ThreadPoolExecutorOptions): number | undefined {
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new TypeError(
      `The options of ThreadPoolExecutor are ${inspect(options, { depth: 0 })}: pass an object such as { maxWorkers: 4 }`,
    );
  }
  for (const key of Object.keys(options)) {
    if (key !== "maxWorkers") throw new TypeError(`Unknown option ${inspect(key)} of ThreadPoolExecutor: the only one is maxWorkers`);
  }
  const { maxWorkers } = options;
  if (maxWorkers === undefined) return undefined;
  if (typeof maxWorkers !== "number") throw new TypeError(`maxWorkers is ${inspect(maxWorkers, { depth: 0 })}: it must be a number`);
  if (!Number.isSafeInteger(maxWorkers) || maxWorkers < 1)
    throw new RangeError(`maxWorkers is ${maxWorkers}: it must be a whole number from 1`);
  return maxWorkers;
}
