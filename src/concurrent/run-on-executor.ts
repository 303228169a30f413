/** `runOnExecutor`: a synchronous method that returns a Future settled by an executor. Depends on `future.ts` and `executor.ts`. */
import { inspect } from "node:util";
import { chainFuture } from "./chain-future.js";
import type { Executor } from "./executor.js";
import { Future } from "./future.js";
import type { CallbackScheduler } from "./scheduler.js";

/** Which executor runs the method and which loop runs the done callbacks of its Future. */
export interface RunOnExecutorOptions<This = never> {
  /** The name of a member of `this` (default `executor`), an executor, or a function of `this` that gives one, asked at each call. */
  executor?: PropertyKey | Executor | ((self: This) => Executor) | undefined;
  /** The name of a member of `this`, or a loop; default: the loop current when the first done callback is added. */
  ioLoop?: PropertyKey | CallbackScheduler | undefined;
}

/** A method decorator and, called with a function alone, a higher-order function. */
export interface RunOnExecutor {
  <This, A extends unknown[], R>(
    method: (this: This, ...args: A) => PromiseLike<R>,
    context: ClassMethodDecoratorContext<This, (this: This, ...args: A) => Promise<R>>,
  ): (this: This, ...args: A) => Future<R>;
  <This, A extends unknown[], R>(fn: (this: This, ...args: A) => R): (this: This, ...args: A) => Future<Awaited<R>>;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Wraps a method so that calling it submits the original, with its `this` and arguments, to an executor and returns a Future at once. The
 * Future follows what the executor returns; cancelling it does not stop the work. The name and `length` of the method are kept.
 *
 * A standard decorator cannot change a declared type, so as a decorator it is for methods declared to return a promise; a method returning a
 * plain value is wrapped as a field:
 *
 * @example
 * ```ts
 * class Hasher {
 *   readonly executor = dummyExecutor;
 *   @runOnExecutor
 *   async hash(text: string): Promise<string> { ... }
 *   readonly size = runOnExecutor(function (this: Hasher, text: string) { return text.length; }); // (text) => Future<number>
 * }
 * ```
 *
 * The forms: `@runOnExecutor`, `@runOnExecutor()`, `@runOnExecutor({ executor, ioLoop })`, `runOnExecutor(fn)`, `runOnExecutor(options)(fn)`.
 *
 * The executor is given the original bound to `this`, or the original itself when there is no `this`. A `ThreadPoolExecutor` refuses a bound
 * function, for an object with methods cannot travel to another thread.
 *
 * Tornado: `run_on_executor`, as of 5.1 and later (always our Future). At a call, a missing executor is thrown as TypeError, and what
 * `submit` itself throws goes to the caller.
 *
 * @throws RangeError for more than one positional argument
 * @throws TypeError for an unknown option, on anything but a method, or when called as a legacy (`experimentalDecorators`) decorator
 */
export function runOnExecutor<This, A extends unknown[], R>(
  method: (this: This, ...args: A) => PromiseLike<R>,
  context: ClassMethodDecoratorContext<This, (this: This, ...args: A) => Promise<R>>,
): (this: This, ...args: A) => Future<R>;
export function runOnExecutor<This, A extends unknown[], R>(
  fn: (this: This, ...args: A) => R,
): (this: This, ...args: A) => Future<Awaited<R>>;
export function runOnExecutor(): RunOnExecutor;
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- an option's function may expect any `this`; it cannot be inferred from here
export function runOnExecutor<This = any>(options: RunOnExecutorOptions<This>): RunOnExecutor;
export function runOnExecutor(...args: readonly unknown[]): unknown {
  const [first] = args;
  if (args.length > 0 && (typeof first === "function" || args.length > 1)) return decorate(args, {});
  const options = checkOptions(first);
  return (...target: readonly unknown[]) => decorate(target, options);
}

function decorate(args: readonly unknown[], options: RunOnExecutorOptions): Method {
  const [method, context] = args;
  if (args.length > 1) {
    if (typeof context === "string" || typeof context === "symbol") {
      throw new TypeError(
        "runOnExecutor was called as a legacy decorator: compile without experimentalDecorators, for standard decorators",
      );
    }
    if (typeof context !== "object" || context === null || !("kind" in context)) {
      throw new RangeError(
        `runOnExecutor was called with ${args.length} arguments: pass one function, or options first: runOnExecutor(options)(fn)`,
      );
    }
    if (context.kind !== "method") {
      throw new TypeError(
        `runOnExecutor was put on a ${String(context.kind)}: it is for methods; wrap a field's function with runOnExecutor(fn)`,
      );
    }
  }
  if (typeof method !== "function") {
    throw new TypeError(`runOnExecutor was called with ${inspect(method, { depth: 0 })}: pass the function to run on the executor`);
  }
  return wrap(method as Method, options);
}

function wrap(method: Method, options: RunOnExecutorOptions): Method {
  const wrapper: Method = function (...args) {
    const executor = findExecutor(this, options.executor ?? "executor", method.name);
    const loop = findLoop(this, options.ioLoop, method.name);
    const future = new Future<unknown>(loop === undefined ? undefined : { loop });
    chainFuture(executor.submit(this === undefined ? method : method.bind(this), ...args), future);
    return future;
  };
  Object.defineProperty(wrapper, "name", { value: method.name, configurable: true });
  Object.defineProperty(wrapper, "length", { value: method.length, configurable: true });
  return wrapper;
}

function findExecutor(self: unknown, wanted: NonNullable<RunOnExecutorOptions["executor"]>, method: string): Executor {
  let found: unknown = wanted;
  if (isKey(wanted)) found = member(self, wanted);
  else if (typeof wanted === "function") found = (wanted as (self: unknown) => unknown)(self);
  if (typeof (found as Partial<Executor> | null | undefined)?.submit === "function") return found as Executor;
  const where = isKey(wanted) ? `this.${String(wanted)}` : "the executor option";
  throw new TypeError(`No executor for ${method}(): ${where} is ${inspect(found, { depth: 0 })}, it must have a submit() method`);
}

function findLoop(self: unknown, wanted: RunOnExecutorOptions["ioLoop"], method: string): CallbackScheduler | undefined {
  if (wanted === undefined) return undefined;
  const found = isKey(wanted) ? member(self, wanted) : wanted;
  if (typeof (found as Partial<CallbackScheduler> | null | undefined)?.addCallback === "function") return found as CallbackScheduler;
  const where = isKey(wanted) ? `this.${String(wanted)}` : "the ioLoop option";
  throw new TypeError(`No loop for ${method}(): ${where} is ${inspect(found, { depth: 0 })}, it must be an IOLoop`);
}

function isKey(x: unknown): x is PropertyKey {
  return typeof x === "string" || typeof x === "symbol" || typeof x === "number";
}

function member(self: unknown, key: PropertyKey): unknown {
  return self === undefined || self === null ? undefined : (self as Record<PropertyKey, unknown>)[key];
}

function checkOptions(options: unknown): RunOnExecutorOptions {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `The argument of runOnExecutor is ${inspect(options, { depth: 0 })}: pass a function, or options { executor, ioLoop }`,
    );
  }
  for (const key of Object.keys(options)) {
    if (key !== "executor" && key !== "ioLoop") {
      throw new TypeError(`Unknown option ${inspect(key)} of runOnExecutor: the options are executor and ioLoop`);
    }
  }
  const { executor, ioLoop } = options as RunOnExecutorOptions;
  if (
    executor !== undefined &&
    !isKey(executor) &&
    typeof executor !== "function" &&
    typeof (executor as Partial<Executor> | null)?.submit !== "function"
  ) {
    throw new TypeError(
      `The option executor is ${inspect(executor, { depth: 0 })}: pass a member's name, an executor, or a function of this`,
    );
  }
  if (ioLoop !== undefined && !isKey(ioLoop) && typeof (ioLoop as Partial<CallbackScheduler> | null)?.addCallback !== "function") {
    throw new TypeError(`The option ioLoop is ${inspect(ioLoop, { depth: 0 })}: pass a member's name or an IOLoop`);
  }
  return options;
}
