/**
 * `Condition`: wait until notified, with a lock or, as in Tornado, without one. Depends on `gen` and below.
 *
 *     with a lock:   held ── wait() ──> in the condition's line ── notified, deadline or abort ──> in the lock's line ── granted ──> held, settled
 *     without one:                      in the condition's line ── notified, deadline or abort ──> settled
 */
import { inspect } from "node:util";

import { type Future, TimeoutError } from "../concurrent/index.js";
import { abortReason, type EventWaitOptions, failed, readWaitArguments, Waiter, WaiterList, type WaitOptions } from "../gen/index.js";
import type { Deadline } from "../ioloop/index.js";
import { FlagWaiter } from "./flag-waiter.js";
import { Lock, type LockBlock } from "./lock.js";
import type { Hold, Releaser } from "./releaser.js";
import { runHolding } from "./run-holding.js";

/** How a wait with a lock will end once the lock is held again. */
type Outcome = "notified" | "false" | "timeout" | { reason: unknown };

/** Who waits with a lock: first in the condition's line, then, with its outcome decided, in the lock's. */
class LockedWaiter extends Waiter<boolean> {
  readonly #condition: Condition;
  readonly #block: LockBlock;
  /** The hold that the wait gave up and will resume. */
  readonly #hold: Hold;
  readonly #falseAtDeadline: boolean;
  #outcome: Outcome | undefined = undefined;

  constructor(condition: Condition, block: LockBlock, hold: Hold, falseAtDeadline: boolean) {
    super();
    this.#condition = condition;
    this.#block = block;
    this.#hold = hold;
    this.#falseAtDeadline = falseAtDeadline;
  }

  _notified(): void {
    this.#takeLockAgain("notified");
  }

  override _expired(): void {
    this.#takeLockAgain(this.#falseAtDeadline ? "false" : "timeout");
  }

  override _withdrawn(reason: unknown): void {
    this.#takeLockAgain({ reason });
  }

  /** The lock has been handed to this waiter. */
  _granted(): void {
    this.#block._resume(this.#hold);
    const outcome = this.#outcome;
    if (typeof outcome === "object") this._settleFailed(outcome.reason, false);
    else if (outcome === "timeout") this.setException(new TimeoutError());
    else this.setResult(outcome === "notified");
  }

  override _onCancel(): void {
    super._onCancel();
    // A notification must not die with the one it went to (P75).
    if (this.#outcome === "notified") this.#condition.notify();
  }

  #takeLockAgain(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#block._enqueue(this);
  }
}

/**
 * Waiters that a `notify` wakes, the longest-waiting first. A notification that finds nobody waiting is lost.
 *
 * Without a lock it is Tornado's `tornado.locks.Condition` (4.2). With one, given to the constructor or made by the first call of
 * {@link acquire} or {@link with}, it is asyncio's: `wait` releases the lock and settles only when it is held again.
 *
 * @example
 * const condition = new Condition();
 * setTimeout(() => condition.notifyAll(), 10);
 * const woken = await condition.wait(seconds(1)); // false if the second passed first
 */
export class Condition {
  #lock: Lock | undefined;
  readonly #waiters = new WaiterList<FlagWaiter | LockedWaiter>();

  /** @throws TypeError if `lock` is neither `undefined` nor a `Lock` */
  constructor(lock?: Lock) {
    if (lock !== undefined && !(lock instanceof Lock)) {
      throw new TypeError(`lock is ${inspect(lock, { depth: 0 })}: pass a Lock, or nothing`);
    }
    this.#lock = lock;
  }

  /**
   * Waits for a notification: resolves `true` when notified, `false` at the deadline (`onTimeout: "throw"`: fails with `TimeoutError`), and
   * fails with `signal.reason` at an abort.
   *
   * With a lock: fails with `Error` if the lock is free; otherwise releases it before returning, and settles, however the wait ended, only
   * when it is held again. The deadline bounds the waiting for the notification, not for the lock. `cancel()` alone settles at once and does
   * not take the lock again.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  wait(timeout?: Deadline, options?: EventWaitOptions): Future<boolean>;
  wait(options?: EventWaitOptions): Future<boolean>;
  wait(timeout?: Deadline | EventWaitOptions, options?: EventWaitOptions): Future<boolean> {
    const plan = readWaitArguments(timeout, options, true);
    if (plan.signal?.aborted === true) return failed(abortReason(plan.signal));
    const falseAtDeadline = plan.onTimeout !== "throw";
    let waiter: FlagWaiter | LockedWaiter;
    if (this.#lock === undefined) {
      waiter = new FlagWaiter(falseAtDeadline);
      waiter._arm(plan);
    } else {
      const block = this.#lock._block;
      const held = block._holder();
      if (held === undefined) return failed(new Error("wait() on a condition whose lock is free: acquire it first"));
      waiter = new LockedWaiter(this, block, held, falseAtDeadline);
      waiter._arm(plan);
      block.release();
    }
    this.#waiters.push(waiter);
    return waiter;
  }

  /**
   * Wakes the `n` longest-waiting, or as many as there are; `Infinity` wakes all. Without a lock their Futures are done when this returns; with
   * one they queue for it, in this order. The lock need not be held.
   *
   * @throws TypeError if `n` is not a number
   * @throws RangeError if it is negative, fractional or NaN
   */
  notify(n = 1): void {
    if (typeof n !== "number") throw new TypeError(`n is ${inspect(n, { depth: 0 })}: pass the number of waiters to wake`);
    if (!(n >= 0) || (n !== Infinity && !Number.isInteger(n))) {
      throw new RangeError(`n is ${String(n)}: the number of waiters to wake is an integer, 0 or more, or Infinity`);
    }
    // Those who begin to wait meanwhile are not meant; nothing here runs their code, but an endless n must end.
    for (let left = Math.min(n, this.#waiters.length); left > 0; left--) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) return;
      waiter._notified();
    }
  }

  /** Wakes everyone who waits. */
  notifyAll(): void {
    this.notify(Infinity);
  }

  /** Takes the condition's lock, as `Lock.acquire`; makes the lock if there is none yet. */
  acquire(timeout?: Deadline, options?: WaitOptions): Future<Releaser>;
  acquire(options?: WaitOptions): Future<Releaser>;
  acquire(timeout?: Deadline | WaitOptions, options?: WaitOptions): Future<Releaser> {
    // A wrong argument must change nothing, so the lock is kept only if this call has gone through.
    const lock = this.#lock ?? new Lock();
    const taken = lock.acquire(timeout as Deadline, options);
    this.#lock = lock;
    return taken;
  }

  /**
   * Releases the condition's lock, as `Lock.release`.
   *
   * @throws Error if the lock is free, or if there has never been one
   */
  release(): void {
    if (this.#lock === undefined) throw new Error("The condition has no lock: give it one, or call acquire() first");
    this.#lock.release();
  }

  /** As `Lock.with` on the condition's lock, made if there is none yet; `fn` gets the condition. */
  with<R>(fn: (self: this) => R | PromiseLike<R>, options?: WaitOptions): Future<R> {
    if (typeof fn === "function") readWaitArguments(undefined, options);
    this.#lock ??= new Lock();
    return runHolding(this.#lock._block, this, fn, options);
  }

  /** `<Condition>`, with `waiters[n]` if somebody waits. */
  toString(): string {
    const waiting = this.#waiters.length > 0 ? ` waiters[${String(this.#waiters.length)}]` : "";
    return `<${this.constructor.name}${waiting}>`;
  }
}
