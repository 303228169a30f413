/**
 * `AsyncTestCase` and `genTest`: tests that have a loop of their own, for Mocha. Depends on the loop; Mocha is taken from where it runs, never
 * imported.
 */
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { TimeoutError } from "../concurrent/index.js";
import { IOLoop, isThenable } from "../ioloop/index.js";
import { constructing } from "../names.js";
import { openDescriptors } from "../platform/index.js";
import { checkOptions, show } from "../process/index.js";
import { VirtualTimeIOLoop } from "./virtual-time-ioloop.js";

/** Seconds that a test has unless the environment variable ASYNC_TEST_TIMEOUT says otherwise. */
const DEFAULT_TIMEOUT = 5;

/** Seconds that a test has: `ASYNC_TEST_TIMEOUT` where that is a positive number, else 5. Tornado: `get_async_test_timeout`. */
export function getAsyncTestTimeout(): number {
  const seconds = Number(process.env["ASYNC_TEST_TIMEOUT"] ?? "");
  return seconds > 0 ? seconds : DEFAULT_TIMEOUT;
}

/** What `wait` takes. */
export interface WaitForStopOptions {
  /** Keeps it waiting, through every `stop`, until it answers true. */
  condition?: (() => boolean) | undefined;
  /** Seconds; {@link getAsyncTestTimeout} without it. */
  timeout?: number | undefined;
}

/** What this module uses of Mocha's globals. */
interface MochaGlobals {
  readonly describe?: (title: string, body: () => void) => void;
  readonly it?: (title: string, body: (this: MochaContext) => Promise<void>) => void;
}

interface MochaContext {
  timeout(milliseconds: number): unknown;
}

/**
 * Calls `late` when the time is over; the result takes that back. On virtual time, which passes at any speed, it is real time that says that a
 * test hangs.
 */
function deadlineOf(loop: IOLoop, seconds: number, late: () => void): () => void {
  if (loop instanceof VirtualTimeIOLoop) {
    const timer = setTimeout(late, seconds * 1000);
    return () => clearTimeout(timer);
  }
  const handle = loop.callLater(seconds, late);
  return () => loop.removeTimeout(handle);
}

/**
 * A test with a loop of its own, which is the current one while it runs. Extend it, name methods `test...`, and register them by
 * `MyTest.mocha()`.
 *
 * Tornado: `AsyncTestCase`.
 *
 * @example
 * class SleepTest extends AsyncTestCase {
 *   async testLater() {
 *     this.ioLoop.callLater(0.01, () => this.stop("done"));
 *     assert.equal(await this.wait(), "done");
 *   }
 *   testSleep = genTest(async () => {
 *     await sleep(0.01);
 *   });
 * }
 * SleepTest.mocha();
 */
export class AsyncTestCase {
  /** Makes each test fail that ends with more open descriptors than it began with. */
  static checkDescriptors = false;

  /** The loop, from `setUp` to `tearDown`. */
  ioLoop!: IOLoop;

  readonly #cleanups: (() => unknown)[] = [];
  #stopped = false;
  #waiting = false;
  #stopArgument: unknown;

  constructor() {
    constructing(new.target);
  }

  /**
   * Registers every method (or field) whose name begins with "test" as a Mocha test, each with an instance of its own.
   *
   * @param title - of the suite; the class's name without it
   * @throws Error outside of Mocha
   */
  static mocha(this: new () => AsyncTestCase, title: string = this.name): void {
    const { describe, it } = globalThis as MochaGlobals;
    if (describe === undefined || it === undefined) throw new Error("mocha() outside of Mocha: run the file with mocha, or with main()");
    const make = (): AsyncTestCase => new this();
    const names = testNames(make());
    describe(title, () => {
      for (const name of names) {
        it(name, async function () {
          // A test has a time limit of its own.
          this.timeout(0);
          await runTest(make(), (test) => (test as unknown as Record<string, () => unknown>)[name]?.());
        });
      }
    });
  }

  /** The loop of a test; override it for another, such as a {@link VirtualTimeIOLoop}. */
  getNewIoloop(): IOLoop {
    return new IOLoop({ makeCurrent: false });
  }

  /** Makes the loop. An override calls `super.setUp()` first. */
  setUp(): void | PromiseLike<void> {
    this.ioLoop = this.getNewIoloop();
    IOLoop.clearCurrent();
    this.ioLoop.makeCurrent();
  }

  /** Runs the cleanups and closes the loop with all its descriptors. An override calls `super.tearDown()` last. */
  async tearDown(): Promise<void> {
    try {
      await this.#cleanUp();
    } finally {
      await stopped(this.ioLoop);
      IOLoop.clearCurrent();
      this.ioLoop.close({ allFds: true });
    }
  }

  /** Has `fn`, which may be asynchronous, run when the test is over: the last one added first. */
  addCleanup(fn: () => unknown): void {
    this.#cleanups.push(fn);
  }

  /** Ends `wait()`, the present one or else the next, which answers `argument`. */
  stop(argument?: unknown): void {
    this.#stopArgument = argument;
    if (this.#waiting) this.ioLoop.stop();
    this.#waiting = false;
    this.#stopped = true;
  }

  /**
   * Runs the loop until `stop()` is called, and answers with what that was given.
   *
   * @throws TimeoutError after `timeout`; Error where the loop is running already (inside of `genTest`, await what you wait for)
   */
  async wait(options: WaitForStopOptions = {}): Promise<unknown> {
    checkOptions("wait()", ["condition", "timeout"], options);
    const { condition, timeout = getAsyncTestTimeout() } = options;
    const state = { late: false };
    const forget = deadlineOf(this.ioLoop, timeout, () => {
      state.late = true;
      this.stop();
    });
    try {
      while (!this.#stopped || (!state.late && condition !== undefined && !condition())) {
        this.#stopped = false;
        this.#waiting = true;
        await this.ioLoop.start();
      }
    } finally {
      forget();
      this.#waiting = this.#stopped = false;
    }
    if (state.late) throw new TimeoutError(`Async operation timed out after ${timeout} seconds`);
    const argument = this.#stopArgument;
    this.#stopArgument = undefined;
    return argument;
  }

  async #cleanUp(): Promise<void> {
    const errors: unknown[] = [];
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, "Several cleanups failed");
  }
}

/** A loop that a test has left running leaves before it is closed. */
async function stopped(loop: IOLoop): Promise<void> {
  while (loop.statistics().running) {
    loop.stop();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Names of tests: of methods, the nearest class first, then of fields. */
function testNames(instance: AsyncTestCase): string[] {
  const names = new Set<string>();
  const record = instance as unknown as Record<string, unknown>;
  for (let each: unknown = Object.getPrototypeOf(instance); each !== AsyncTestCase.prototype; each = Object.getPrototypeOf(each)) {
    for (const name of Object.getOwnPropertyNames(each)) names.add(name);
  }
  for (const name of Object.keys(instance)) names.add(name);
  return [...names].filter((name) => name.startsWith("test") && typeof record[name] === "function");
}

/** One test from `setUp` to `tearDown`. */
async function runTest(test: AsyncTestCase, body: (test: AsyncTestCase) => unknown): Promise<void> {
  const { checkDescriptors } = test.constructor as typeof AsyncTestCase;
  const before = checkDescriptors ? openDescriptors() : [];
  await test.setUp();
  try {
    await checkedResult(body(test));
  } finally {
    await test.tearDown();
  }
  if (!checkDescriptors) return;
  const left = openDescriptors().filter((fd) => !before.includes(fd));
  if (left.length > 0) throw new Error(`The test left descriptors open: ${left.join(", ")}`);
}

/** What a test returned, which is awaited or nothing: anything else was meant to be something. */
async function checkedResult(result: unknown): Promise<void> {
  if (result === undefined) return;
  if (!isThenable(result)) throw new Error(`Return value from test method ignored: ${show(result)}`);
  await result;
}

/** What {@link genTest} takes besides the function. */
export interface GenTestOptions {
  /** Seconds; {@link getAsyncTestTimeout} without it. */
  timeout?: number | undefined;
}

/** A test: gets the test case, and what the wrapper was called with. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the test case's class and the arguments are the user's
export type GenTestFunction = (this: any, test: any, ...args: any[]) => unknown;

/** What {@link genTest} makes. */
export type GenTestWrapper = (this: unknown, ...args: unknown[]) => Promise<void>;

/**
 * Runs a test function on the test's loop, within a time limit. The result is given to Mocha's `it`, where the test case is a new `AsyncTestCase`,
 * or is a member of a test case. `genTest(options)` gives a function that takes the test function.
 *
 * Mocha's own time limit is switched off. Tornado: `gen_test`.
 *
 * @param fn - sync or async; gets the test case, also as `this`, then the arguments
 * @throws TypeError for wrong arguments
 *
 * @example
 * it("sleeps", genTest(async (test) => {
 *   await sleep(0.01);
 *   assert.equal(IOLoop.current(), test.ioLoop);
 * }));
 */
export function genTest(fn: GenTestFunction, options?: GenTestOptions): GenTestWrapper;
export function genTest(options: GenTestOptions): (fn: GenTestFunction) => GenTestWrapper;
export function genTest(
  fnOrOptions: GenTestFunction | GenTestOptions,
  options: GenTestOptions = {},
): GenTestWrapper | ((fn: GenTestFunction) => GenTestWrapper) {
  if (typeof fnOrOptions !== "function") {
    const given = readOptions(fnOrOptions);
    return (fn: GenTestFunction) => genTest(fn, given);
  }
  const { timeout } = readOptions(options);
  const run = (test: AsyncTestCase, args: unknown[]): Promise<void> => {
    return runOnLoop(test.ioLoop, timeout ?? getAsyncTestTimeout(), () => checkedResult(fnOrOptions.call(test, test, ...args)));
  };
  // No declared parameters: Mocha would take one for its `done`.
  return async function (this: unknown, ...args: unknown[]) {
    if (this instanceof AsyncTestCase) {
      await run(this, args);
      return;
    }
    const context = this as Partial<MochaContext> | undefined;
    if (typeof context?.timeout === "function") context.timeout(0);
    await runTest(new AsyncTestCase(), (test) => run(test, args));
  };
}

function readOptions(options: unknown): GenTestOptions {
  checkOptions("genTest()", ["timeout"], options);
  const { timeout } = options as GenTestOptions;
  if (timeout !== undefined && (typeof timeout !== "number" || !(timeout >= 0))) {
    throw new TypeError(`timeout is ${show(timeout)}: pass a number of seconds`);
  }
  return options;
}

async function runOnLoop(loop: IOLoop, timeout: number, body: () => Promise<void>): Promise<void> {
  const state = { late: false, finished: false };
  const forget = deadlineOf(loop, timeout, () => {
    state.late = true;
    loop.stop();
  });
  try {
    await loop.runSync(async () => {
      try {
        await body();
      } finally {
        state.finished = true;
      }
    });
  } catch (error) {
    if (state.late && !state.finished) throw new TimeoutError(`The test was not over after ${timeout} seconds`);
    throw error;
  } finally {
    forget();
  }
}
