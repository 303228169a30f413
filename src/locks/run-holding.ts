/**
 * `with(fn)` of locks, semaphores and conditions: acquire, run, release. Depends on `gen` and below.
 *
 * The Future that `with` returns is itself the waiter in the line, so a contended call costs no second one.
 */
import { AsyncResource } from "node:async_hooks";
import { inspect } from "node:util";

import { Future, isCancellation } from "../concurrent/index.js";
import { abortReason, failed, readWaitArguments, Waiter, type WaitOptions } from "../gen/index.js";
import { isThenable } from "../ioloop/index.js";
import { applicationLog } from "../log.js";
import type { Hold } from "./releaser.js";
import type { Semaphore } from "./semaphore.js";

type Body<S, R> = (self: S) => R | PromiseLike<R>;

const NOW = Promise.resolve();

/** Fails `future` with exactly `error`; if it was cancelled, nobody is left to be told, and the error is logged (as P41). */
function fail(future: Future<unknown>, error: unknown): void {
  if (!future.done()) future._settleFailed(error, false);
  else if (!isCancellation(error)) applicationLog.error("Exception after Future was cancelled", error);
}

/** Calls `fn`, gives `hold` back when it has ended, and only then settles `future`. */
function run<S, R>(future: Future<R>, hold: Hold, self: S, fn: Body<S, R>): void {
  let result: R | PromiseLike<R>;
  try {
    result = fn(self);
    if (isThenable(result)) {
      result.then(
        (value) => {
          hold.release();
          if (!future.done()) future.setResult(value);
        },
        (error: unknown) => {
          hold.release();
          fail(future, error);
        },
      );
      return;
    }
  } catch (error) {
    hold.release();
    fail(future, error);
    return;
  }
  hold.release();
  if (!future.done()) future.setResult(result);
}

class BodyWaiter<S, R> extends Waiter<R> {
  readonly #semaphore: Semaphore;
  readonly #self: S;
  #body: Body<S, R> | undefined;
  #hold: Hold | undefined = undefined;
  /** The body runs in the async context of the call of `with`, not of the release that let it in. */
  readonly #context = new AsyncResource("with", { requireManualDestroy: true });

  constructor(semaphore: Semaphore, self: S, body: Body<S, R>) {
    super();
    this.#semaphore = semaphore;
    this.#self = self;
    this.#body = body;
  }

  _granted(): void {
    this.#hold = this.#semaphore._hold();
    // Never inside somebody's release(), which must run no user code.
    void NOW.then(() => {
      this.#start();
    });
  }

  #start(): void {
    const hold = this.#hold;
    const body = this.#body;
    this.#hold = this.#body = undefined;
    if (hold === undefined || body === undefined) return;
    // Somebody may have settled this Future by hand after the grant.
    if (this.done()) hold.release();
    else this.#context.runInAsyncScope(run<S, R>, undefined, this, hold, this.#self, body);
  }

  override _onCancel(): void {
    super._onCancel();
    this.#body = undefined;
    const hold = this.#hold;
    this.#hold = undefined;
    hold?.release();
  }
}

/** @internal */
export function runHolding<S, R>(semaphore: Semaphore, self: S, fn: Body<S, R>, options: WaitOptions | undefined): Future<R> {
  if (typeof fn !== "function") throw new TypeError(`fn is ${inspect(fn, { depth: 0 })}: pass the function to run`);
  const plan = options === undefined ? undefined : readWaitArguments(undefined, options);
  if (plan?.signal?.aborted === true) return failed<R>(abortReason(plan.signal));
  if (semaphore._value > 0) {
    semaphore._value--;
    const future = new Future<R>();
    run(future, semaphore._hold(), self, fn);
    return future;
  }
  const waiter = new BodyWaiter<S, R>(semaphore, self, fn);
  if (plan !== undefined) waiter._arm(plan);
  semaphore._waiters.push(waiter);
  return waiter;
}
