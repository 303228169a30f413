/**
 * `multi`, waiting for many things at once, and `convertYielded`, which turns whatever may be waited for into a Future. They are one module
 * because each is defined by the other. Depends on `concurrent` and, for `undefined` and `moment`, on `ioloop`.
 */
import { Future, type FutureListener, isCancellation } from "../concurrent/index.js";
import { isThenable } from "../ioloop/index.js";
import { applicationLog } from "../log.js";
import { toFuture } from "./follow.js";
import { moment, nextIteration } from "./moment.js";
import { resolved } from "./waiter.js";
import {
  badYield,
  checkKeys,
  checkYieldable,
  type ErrorClass,
  isPlainObject,
  isQuiet,
  type QuietExceptions,
  readQuiet,
  type Yieldable,
  type Yielded,
} from "./yieldable.js";

/** What `multi` takes besides the children. */
export interface MultiOptions {
  /** Failures that are not logged when they are not the one reported. */
  quietExceptions?: QuietExceptions | undefined;
}

/** Stands for a child that has nothing to wait for. Nobody outside ever sees it. */
const NOTHING = resolved<unknown>(undefined);

/**
 * Waits for its children one after the other: it listens only to the first that is not done, and when that has settled it goes on to the next
 * that is not. So n children cost n steps in whatever order they finish, and no index, closure or table is needed to know who is left.
 */
class Gathering implements FutureListener {
  readonly result = new Future<unknown>();
  readonly #inputs: readonly unknown[];
  readonly #children: readonly Future<unknown>[];
  readonly #assemble: (values: unknown[]) => unknown;
  readonly #quiet: readonly ErrorClass[];
  #position = 0;

  constructor(inputs: readonly unknown[], assemble: (values: unknown[]) => unknown, quiet: readonly ErrorClass[]) {
    this.#inputs = inputs;
    this.#children = inputs.map((input) => toChild(input, quiet));
    this.#assemble = assemble;
    this.#quiet = quiet;
    this._futureSettled();
  }

  _futureSettled(): void {
    const children = this.#children;
    for (; this.#position < children.length; this.#position++) {
      const child = children[this.#position] as Future<unknown>;
      if (!child.done()) {
        child._addListener(this);
        return;
      }
    }
    this.#finish();
  }

  /** All are done. The first failure in the order of the children is the outcome, the others are logged. */
  #finish(): void {
    const values: unknown[] = [];
    const failedInputs = new Set<unknown>();
    let reported = false;
    // A cancelled result reports nothing, so then all failures are to be logged.
    const nobodyListens = this.result.done();
    for (const [i, child] of this.#children.entries()) {
      try {
        values.push(child.result());
        continue;
      } catch (error) {
        const input = this.#inputs[i];
        if (failedInputs.has(input)) continue;
        failedInputs.add(input);
        if (!reported && !nobodyListens) {
          reported = true;
          this.result._settleFailed(error, false);
        } else if (!isCancellation(error) && !isQuiet(error, this.#quiet)) {
          applicationLog.error("Multiple exceptions in multi()", error);
        }
      }
    }
    if (!reported && !nobodyListens) this.result.setResult(this.#assemble(values));
  }
}

function toChild(input: unknown, quiet: readonly ErrorClass[]): Future<unknown> {
  if (input === undefined || input === moment) return NOTHING;
  return isThenable(input) ? toFuture(input) : gather(input, quiet);
}

/** `children` has been checked. */
function gather(children: unknown, quiet: readonly ErrorClass[]): Future<unknown> {
  if (Array.isArray(children)) return new Gathering([...(children as unknown[])], (values) => values, quiet).result;
  if (children instanceof Map) {
    const keys = [...children.keys()] as unknown[];
    return new Gathering([...children.values()] as unknown[], (values) => new Map(keys.map((key, i) => [key, values[i]])), quiet).result;
  }
  const entries = Object.entries(children as Record<string, unknown>);
  const assemble = (values: unknown[]): unknown => Object.fromEntries(entries.map(([key], i) => [key, values[i]]));
  return new Gathering(
    entries.map(([, value]) => value),
    assemble,
    quiet,
  ).result;
}

/**
 * Waits for all children and gives their values in the same shape: array, plain object or Map, nested at will.
 *
 * It waits for all even after one has failed (unlike `Promise.all`), then fails with the failure of the first failing child in the order of
 * the children. Further failures are logged on `application` unless they are instances of `quietExceptions` or cancellations. A cancelled child
 * counts as failed with its CancelledError. `undefined` and `moment` count as done. Needs no loop.
 *
 * Tornado: `tornado.gen.multi` (4.2), `multi_future`.
 *
 * @throws BadYieldError if anything in it cannot be waited for; no child has been touched then
 * @throws TypeError for a wrong option
 *
 * @example
 * const [user, posts] = await multi([fetchUser(1), fetchPosts(1)]);
 * const { a, b } = await multi({ a: sleep(0.1), b: Promise.resolve(2) });
 */
export function multi<const T extends readonly Yieldable[] | Readonly<Record<string, Yieldable>> | ReadonlyMap<unknown, Yieldable>>(
  children: T,
  options?: MultiOptions,
): Future<Yielded<T>> {
  checkKeys(options, ["quietExceptions"]);
  const quiet = readQuiet(options?.quietExceptions);
  if (!Array.isArray(children) && !((children as unknown) instanceof Map) && (!isPlainObject(children) || isThenable(children))) {
    throw badYield(children, " with multi(), which takes a collection");
  }
  checkYieldable(children);
  return gather(children, quiet) as Future<Yielded<T>>;
}

/** Tornado's other name of {@link multi}. */
export const multiFuture: typeof multi = multi;
/** Tornado's other name of {@link multi}. */
export const Multi: typeof multi = multi;

/**
 * The one place that decides what may be waited for: a Future is given back as it is; another PromiseLike is followed; `undefined` and
 * `moment` finish in the next iteration of the current loop; an array, plain object or Map goes through {@link multi}.
 *
 * Tornado: `tornado.gen.convert_yielded` (4.1).
 *
 * @throws BadYieldError for anything else
 */
export function convertYielded<const Y extends Yieldable>(x: Y): Future<Yielded<Y>>;
export function convertYielded(x: unknown): Future<unknown> {
  if (x === undefined || x === moment) return nextIteration();
  if (isThenable(x)) return toFuture(x);
  checkYieldable(x);
  return gather(x, []);
}
