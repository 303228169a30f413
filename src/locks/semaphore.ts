/**
 * `Semaphore` and `BoundedSemaphore`: a counter of permits and a line of those who wait for one. Depends on `gen` and below.
 *
 * A permit is handed over: `release()` gives it to the first in line before it returns, and the counter rises only when nobody waits. Raising
 * it and waking somebody to try again would let a newcomer overtake, and a woken waiter that dies would take the wake-up along (P51).
 */
import { inspect } from "node:util";

import type { Future } from "../concurrent/index.js";
import { abortReason, failed, readWaitArguments, resolved, Waiter, WaiterList, type WaitOptions } from "../gen/index.js";
import type { Deadline } from "../ioloop/index.js";
import { Hold, type Releaser } from "./releaser.js";
import { runHolding } from "./run-holding.js";

/** One who stands in line for a permit. It is taken out of line, timer and signal let go, before it is granted. @internal */
export interface PermitWaiter extends Waiter<unknown> {
  /** A permit has been handed to this waiter. Must not run user code. */
  _granted(): void;
}

class AcquireWaiter extends Waiter<Releaser> {
  readonly _semaphore: Semaphore;

  constructor(semaphore: Semaphore) {
    super();
    this._semaphore = semaphore;
  }

  _granted(): void {
    this.setResult(this._semaphore._hold());
  }
}

/**
 * A counter of permits: `acquire` takes one or waits for one, in order of arrival; `release` gives one back.
 *
 * Tornado: `tornado.locks.Semaphore` (4.2).
 *
 * @example
 * const atMostTwo = new Semaphore(2);
 * async function download(url: string): Promise<string> {
 *   using _ = await atMostTwo.acquire();
 *   return (await fetch(url)).text();
 * }
 */
export class Semaphore {
  /** @internal */
  _value: number;
  /** @internal */
  readonly _waiters = new WaiterList<PermitWaiter>();

  /**
   * @param value - the number of permits, a non-negative integer
   * @throws TypeError if `value` is not a number
   * @throws RangeError if it is negative, fractional, NaN or infinite
   */
  constructor(value = 1) {
    if (typeof value !== "number") throw new TypeError(`value is ${inspect(value, { depth: 0 })}: pass the number of permits`);
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RangeError(`value is ${String(value)}: the number of permits is an integer, 0 or more`);
    }
    this._value = value;
  }

  /**
   * Takes a permit: at once if one is free, else when the line has come to this call. The Future resolves with a {@link Releaser}, which may
   * be ignored in favour of {@link release}. It fails with `TimeoutError` at the deadline and with `signal.reason` at an abort; either way,
   * and after `cancel()`, the place in line is given up and nothing stays taken.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  acquire(timeout?: Deadline, options?: WaitOptions): Future<Releaser>;
  acquire(options?: WaitOptions): Future<Releaser>;
  acquire(timeout?: Deadline | WaitOptions, options?: WaitOptions): Future<Releaser> {
    if (timeout === undefined && options === undefined) {
      if (this._value > 0) return this.#take();
      const waiter = new AcquireWaiter(this);
      this._waiters.push(waiter);
      return waiter;
    }
    const plan = readWaitArguments(timeout, options);
    if (plan.signal?.aborted === true) return failed(abortReason(plan.signal));
    if (this._value > 0) return this.#take();
    const waiter = new AcquireWaiter(this);
    waiter._arm(plan);
    this._waiters.push(waiter);
    return waiter;
  }

  /** Gives a permit back: to the first in line, whose Future is done when this returns, else to the counter. */
  release(): void {
    const waiter = this._waiters.shift();
    if (waiter === undefined) this._value++;
    else waiter._granted();
  }

  /**
   * Acquires, calls `fn` with the semaphore, and releases when `fn` has returned or thrown, or when the promise it returned has settled. The
   * Future takes the outcome of `fn`. If a permit is free, `fn` is called before this returns.
   *
   * Cancelling the Future, an abort or the deadline before `fn` has started: it is never called. Cancelling later does not interrupt it.
   *
   * @throws TypeError if `fn` is not a function, and for a wrong deadline, option or signal
   */
  with<R>(fn: (self: this) => R | PromiseLike<R>, options?: WaitOptions): Future<R> {
    return runHolding(this, this, fn, options);
  }

  /** `<Semaphore unlocked,value:1>`, `<Semaphore locked,waiters:2>`. */
  toString(): string {
    return this._describe(this.constructor.name);
  }

  /** @internal */
  _describe(name: string): string {
    const state = this._value > 0 ? `unlocked,value:${String(this._value)}` : "locked";
    const waiting = this._waiters.length > 0 ? `,waiters:${String(this._waiters.length)}` : "";
    return `<${name} ${state}${waiting}>`;
  }

  /** What a permit that has just been taken is held by. @internal */
  _hold(): Hold {
    return new Hold(this);
  }

  #take(): Future<Releaser> {
    this._value--;
    return resolved<Releaser>(this._hold());
  }
}

/**
 * A semaphore that refuses to be released more often than it was acquired.
 *
 * Tornado: `tornado.locks.BoundedSemaphore` (4.2).
 */
export class BoundedSemaphore extends Semaphore {
  readonly #initialValue: number;

  /** As for {@link Semaphore}. */
  constructor(value = 1) {
    super(value);
    this.#initialValue = value;
  }

  /**
   * As for {@link Semaphore}.
   *
   * @throws RangeError if nothing is taken; nothing changes
   */
  override release(): void {
    if (this._value >= this.#initialValue) {
      throw new RangeError(`${String(this)} was released more often than acquired: call release() once for each acquire()`);
    }
    super.release();
  }
}
