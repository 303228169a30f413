/** `withTimeout`: bounds the waiting, not the work. Depends on `concurrent` and `ioloop`. */
import { chainFuture, type Future, type FutureListener, isCancellation } from "../concurrent/index.js";
import type { Deadline } from "../ioloop/index.js";
import { applicationLog } from "../log.js";
import { convertYielded } from "./multi.js";
import { readWaitArguments } from "./wait-options.js";
import { Waiter } from "./waiter.js";
import { checkKeys, type ErrorClass, isQuiet, type QuietExceptions, readQuiet, type Yieldable, type Yielded } from "./yieldable.js";
import { abortReason } from "./abort-watch.js";

/** What `withTimeout` takes besides deadline and input. */
export interface WithTimeoutOptions {
  /** Failures that are not logged when they come too late. */
  quietExceptions?: QuietExceptions | undefined;
  /** Gives up the waiting when it aborts. */
  signal?: AbortSignal | undefined;
}

class Bounded extends Waiter<unknown> implements FutureListener {
  readonly #quiet: readonly ErrorClass[];

  constructor(quiet: readonly ErrorClass[]) {
    super();
    this.#quiet = quiet;
  }

  /** The input has settled. It is told synchronously, so an input that is done when the deadline's callback runs has won (P128). */
  _futureSettled(input: Future<unknown>): void {
    if (!this.done()) {
      this._disarm();
      chainFuture(input, this);
      return;
    }
    // Nobody waits here any more: a success or a cancellation goes unnoticed, a failure is logged, once.
    if (input.cancelled()) return;
    const error = input.exception();
    if (error === undefined || isCancellation(error) || isQuiet(error, this.#quiet)) return;
    applicationLog.error("Exception after timeout or cancellation of withTimeout()", error);
  }
}

/**
 * A Future that takes the outcome of `future` if that comes before the deadline, and fails with `TimeoutError` otherwise. The input goes on and is
 * not cancelled; if it then fails, that is logged on `application` unless an instance of `quietExceptions` or a cancellation.
 *
 * It does not take its input out of a line: after `withTimeout(seconds(1), lock.acquire())` has failed, the acquire still waits and will be
 * granted. `lock.acquire(seconds(1))` is the right way.
 *
 * Tornado: `tornado.gen.with_timeout` (4.0).
 *
 * @param timeout - a number is absolute on `loop.time()`, a `Duration` counts from now
 * @throws TypeError for a missing or wrong deadline, and for a wrong option
 * @throws BadYieldError if `future` cannot be waited for
 */
export function withTimeout<const Y extends Yieldable>(timeout: Deadline, future: Y, options?: WithTimeoutOptions): Future<Yielded<Y>> {
  if ((timeout as unknown) === undefined) {
    throw new TypeError("timeout is missing: pass seconds on the loop's clock, or a Duration such as { seconds: 5 }");
  }
  checkKeys(options, ["quietExceptions", "signal"]);
  const plan = readWaitArguments(timeout, { signal: options?.signal });
  const bounded = new Bounded(readQuiet(options?.quietExceptions));
  const input: Future<unknown> = convertYielded(future);
  if (plan.signal?.aborted === true) {
    bounded._settleFailed(abortReason(plan.signal), false);
    if (!input.done()) input._addListener(bounded);
  } else if (input.done()) {
    chainFuture(input, bounded);
  } else {
    input._addListener(bounded);
    bounded._arm(plan);
  }
  return bounded as Future<unknown> as Future<Yielded<Y>>;
}
