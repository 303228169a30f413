/**
 * `coroutine`: runs ported generator code, where an `async` function would be written today. Depends on `concurrent` and `ioloop`.
 *
 * It differs from an `async` function where Tornado's decorator does: what is done already is consumed without leaving the generator (P142), and
 * what is pending resumes it in a loop iteration, not in a microtask (P143).
 */
import { AsyncResource } from "node:async_hooks";
import { inspect, types } from "node:util";

import { CancelledError, chainFuture, Future, isCancellation } from "../concurrent/index.js";
import { IOLoop, isThenable } from "../ioloop/index.js";
import { applicationLog } from "../log.js";
import { toFuture } from "./follow.js";
import { moment } from "./moment.js";
import { convertYielded } from "./multi.js";
import type { Yieldable } from "./yieldable.js";

/**
 * Thrown inside a `coroutine` to return, as ported code may do; it reaches nobody outside. `return value` is the same.
 *
 * Tornado: `tornado.gen.Return`.
 */
export class Return<T = undefined> extends Error {
  static {
    this.prototype.name = "Return";
  }

  readonly value: T | undefined;

  constructor(value?: T) {
    super("Return: thrown inside a coroutine() to return from it");
    this.value = value;
  }
}

const UNTRACKED = { requireManualDestroy: true } as const;

const coroutines = new WeakSet();

type AnyGenerator = Generator<Yieldable, unknown>;

function isGenerator(value: unknown): value is AnyGenerator {
  if (types.isGeneratorObject(value)) return true;
  // Code compiled for old engines brings its own generators.
  return typeof value === "object" && value !== null && (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === "Generator";
}

function finish(result: Future<unknown>, value: unknown): void {
  if (isThenable(value)) {
    if (!result.done()) chainFuture(toFuture(value), result);
  } else if (!result.done()) {
    result.setResult(value);
  }
}

function finishThrown(result: Future<unknown>, error: unknown): void {
  if (error instanceof Return) finish(result, error.value);
  else if (result.done()) {
    // It was cancelled, which does not interrupt the generator; as futureSetExceptionUnlessCancelled (P147).
    if (!isCancellation(error)) applicationLog.error("Exception after Future was cancelled", error);
  } else if (error instanceof CancelledError) result._settleCancelled(error);
  else result._settleFailed(error, false);
}

/** A generator on its way. It is kept alive by what it waits for, whose callback it is. */
class Runner {
  readonly #generator: AnyGenerator;
  readonly #result: Future<unknown>;
  /** The async context of the call. */
  readonly #context: AsyncResource;
  readonly #resume = (future?: Future<unknown>): void => {
    this.#context.runInAsyncScope(inOwnScope, undefined, this, future);
  };

  constructor(generator: AnyGenerator, result: Future<unknown>, context: AsyncResource) {
    this.#generator = generator;
    this.#result = result;
    this.#context = context;
  }

  /** Runs to the next yield of something pending, or to the end; `awaited` is what it waited for. */
  run(awaited: Future<unknown> | undefined): void {
    for (;;) {
      let step: IteratorResult<Yieldable, unknown>;
      try {
        step = this.#advance(awaited);
      } catch (error) {
        finishThrown(this.#result, error);
        return;
      }
      if (step.done === true) {
        finish(this.#result, step.value);
        return;
      }
      const yielded = step.value;
      if (yielded === undefined || (yielded as unknown) === moment) {
        IOLoop.current().addCallback(this.#resume);
        return;
      }
      awaited = toAwaited(yielded);
      if (!awaited.done()) {
        awaited.addDoneCallback(this.#resume);
        return;
      }
    }
  }

  #advance(awaited: Future<unknown> | undefined): IteratorResult<Yieldable, unknown> {
    let value: unknown;
    try {
      value = awaited?.result();
    } catch (error) {
      return this.#generator.throw(error);
    }
    return this.#generator.next(value);
  }
}

function advance(runner: Runner, awaited: Future<unknown> | undefined): void {
  runner.run(awaited);
}

/** What cannot be waited for is thrown at the yield, where it can be caught (P145). */
function toAwaited(yielded: Yieldable): Future<unknown> {
  try {
    return convertYielded(yielded as PromiseLike<unknown>);
  } catch (error) {
    const future = new Future<unknown>();
    future._fail(error);
    return future;
  }
}

/**
 * Each run gets a resource of its own: up to Node 22 `AsyncLocalStorage.enterWith` writes into the present resource, and what the generator enters
 * must neither reach its caller nor its next run (P148).
 */
function inOwnScope(runner: Runner, awaited: Future<unknown> | undefined): void {
  new AsyncResource("coroutine", UNTRACKED).runInAsyncScope(advance, undefined, runner, awaited);
}

function call(
  fn: (...args: never) => unknown,
  self: unknown,
  args: readonly unknown[],
  result: Future<unknown>,
  context: AsyncResource,
): void {
  let value: unknown;
  try {
    value = Reflect.apply(fn, self, args);
  } catch (error) {
    finishThrown(result, error);
    return;
  }
  if (isGenerator(value)) new Runner(value, result, context).run(undefined);
  else finish(result, value);
}

/**
 * Makes of a generator function one that returns a Future and goes on at each `yield` when what was yielded is done: a Future, promise,
 * `undefined` or `moment` (one turn of the loop), array, plain object or Map.
 *
 * It runs synchronously up to the first yield of something pending, never throws synchronously, passes on `this` and arguments, and sees the
 * `AsyncLocalStorage` stores of the call in every run. A failure is thrown at the `yield`. Cancelling the Future does not interrupt the generator.
 * A plain function works too: its value, its error, or the promise it returns is the outcome.
 *
 * Tornado: `tornado.gen.coroutine`. New code writes an `async` function.
 *
 * @throws TypeError if `fn` is not a function
 *
 * @example
 * const fetchBoth = coroutine(function* (a: string, b: string) {
 *   const [first, second] = yield [fetch(a), fetch(b)];
 *   return first.ok && second.ok;
 * });
 */
export function coroutine<A extends unknown[], R>(
  fn: (...args: A) => Generator<Yieldable, R> | R,
): ((...args: A) => Future<Awaited<R>>) & { readonly wrapped: typeof fn } {
  if (typeof fn !== "function") throw new TypeError(`fn is ${inspect(fn, { depth: 0 })}: pass a generator function`);
  function wrapper(this: unknown, ...args: A): Future<Awaited<R>> {
    const result = new Future();
    const context = new AsyncResource("coroutine", UNTRACKED);
    new AsyncResource("coroutine", UNTRACKED).runInAsyncScope(
      call,
      undefined,
      fn as (...args: never) => unknown,
      this,
      args,
      result,
      context,
    );
    return result as Future<Awaited<R>>;
  }
  Object.defineProperty(wrapper, "name", { value: fn.name, configurable: true });
  Object.defineProperty(wrapper, "length", { value: fn.length, configurable: true });
  coroutines.add(wrapper);
  return Object.assign(wrapper, { wrapped: fn });
}

/** Whether `x` was made by {@link coroutine} (`tornado.gen.is_coroutine_function`, 4.5). */
export function isCoroutineFunction(x: unknown): boolean {
  return typeof x === "function" && coroutines.has(x);
}
