/** Functions that connect, call back from and settle Futures (`tornado.concurrent`). Depends on the log and on `future.ts`. */
import { inspect } from "node:util";
import { applicationLog } from "../log.js";
import { Future, isFuture, notAFunction, toException } from "./future.js";
import type { FutureListener } from "./future.js";

/** Whether `x` has a `then` method. Reading it may run user code (a getter), and so may throw. */
export function isPromiseLike(x: unknown): x is PromiseLike<unknown> {
  return ((typeof x === "object" && x !== null) || typeof x === "function") && "then" in x && typeof x.then === "function";
}

/** Copies the outcome of one Future to another; a listener and not a `then`, which would count as reading (P37). */
class Link implements FutureListener {
  readonly #target: Future<unknown>;

  constructor(target: Future<unknown>) {
    this.#target = target;
  }

  _futureSettled(source: Future<unknown>): void {
    copyOutcome(source, this.#target);
  }
}

function copyOutcome(source: Future<unknown>, target: Future<unknown>): void {
  if (target.done()) return;
  let value: unknown;
  try {
    value = source.result();
  } catch (failure) {
    if (source.cancelled()) target._settleCancelled(failure as Error);
    else target._settleFailed(failure, false);
    return;
  }
  target.setResult(value);
}

/**
 * Copies the outcome of `a` to `b`: at once if `a` is a done Future, during the settling of `a` if it is a pending one, and a microtask
 * after it if it is another PromiseLike. A cancelled `a` cancels `b` with the same CancelledError. If `b` is settled by then it is left
 * alone, and the failure of `a` does not count as read. Cancelling `b` does not touch `a`.
 *
 * Tornado: `chain_future` (where a cancelled source leaves the target pending for ever).
 *
 * @throws TypeError if `a` has no `then` method, or `b` is not a Future
 */
export function chainFuture<T>(a: PromiseLike<T>, b: Future<T>): void {
  if (!(b instanceof Future)) throw new TypeError(`The target of chainFuture() is ${inspect(b, { depth: 0 })}: it must be a Future`);
  if (a instanceof Future) {
    if (a.done()) copyOutcome(a, b);
    else a._addListener(new Link(b));
    return;
  }
  if (!isPromiseLike(a))
    throw new TypeError(`The source of chainFuture() is ${inspect(a, { depth: 0 })}: it must be a Future or have a then() method`);
  // A Future of another copy of the package is asked through its public face.
  const foreign = isFuture(a) ? (a as Future<T>) : undefined;
  if (foreign?.done() === true) {
    copyOutcome(foreign, b);
    return;
  }
  a.then(
    (value) => {
      if (!b.done()) b.setResult(value);
    },
    (failure: unknown) => {
      if (b.done()) return;
      if (foreign?.cancelled() === true) b._settleCancelled(failure as Error);
      else b._settleFailed(failure, false);
    },
  );
}

/**
 * Runs `fn(f)` immediately if `f` is done, letting its exception through; else as `f.addDoneCallback(fn)`.
 *
 * Tornado: `future_add_done_callback`.
 *
 * @throws TypeError if `f` is not a Future or `fn` not a function
 */
export function futureAddDoneCallback<T>(f: Future<T>, fn: (f: Future<T>) => void): void {
  checkFuture("futureAddDoneCallback", f);
  if (typeof fn !== "function") throw notAFunction("futureAddDoneCallback", fn);
  if (f.done()) fn(f);
  else f.addDoneCallback(fn);
}

/**
 * `f.setResult(value)`, but nothing on a cancelled Future (`future_set_result_unless_cancelled`).
 *
 * @throws InvalidStateError if `f` is finished
 */
export function futureSetResultUnlessCancelled<T>(f: Future<T>, value: T): void {
  checkFuture("futureSetResultUnlessCancelled", f);
  if (!f.cancelled()) f.setResult(value);
}

/**
 * `f.setException(error)`, but on a cancelled Future the error is logged on `application` instead, so that it does not get lost
 * (`future_set_exception_unless_cancelled`).
 *
 * @throws InvalidStateError if `f` is finished
 * @throws TypeError if `error` is `undefined` or `null`
 */
export function futureSetExceptionUnlessCancelled(f: Future<unknown>, error: unknown): void {
  checkFuture("futureSetExceptionUnlessCancelled", f);
  if (!f.cancelled()) f.setException(error);
  else applicationLog.error("Exception after Future was cancelled", toException(error));
}

/**
 * {@link futureSetExceptionUnlessCancelled} for ported code that holds what `sys.exc_info()` gave: an Error, or a triple whose second
 * element is one (`future_set_exc_info`, as of 6.x).
 *
 * @throws Error if there is no exception in `info`
 * @throws InvalidStateError if `f` is finished
 */
export function futureSetExcInfo(f: Future<unknown>, info: Error | readonly [unknown, Error | undefined, unknown]): void {
  const error: unknown = Array.isArray(info) ? (info as readonly unknown[])[1] : info;
  if (error === undefined || error === null) {
    throw new Error(
      `futureSetExcInfo() was called with no exception in ${inspect(info, { depth: 1 })}: call it where an error has been caught`,
    );
  }
  futureSetExceptionUnlessCancelled(f, error);
}

function checkFuture(where: string, f: unknown): void {
  if (!isFuture(f)) throw new TypeError(`The first argument of ${where}() is ${inspect(f, { depth: 0 })}: it must be a Future`);
}
