/** `Lock`: a mutex with a line. Depends on `gen` and below. */
import type { Future } from "../concurrent/index.js";
import type { WaitOptions } from "../gen/index.js";
import type { Deadline } from "../ioloop/index.js";
import { Hold, type Releaser } from "./releaser.js";
import { runHolding } from "./run-holding.js";
import { BoundedSemaphore, type PermitWaiter } from "./semaphore.js";

/** The semaphore inside a Lock. It knows the present hold, so that a Releaser of an earlier one does nothing (P62). @internal */
export class LockBlock extends BoundedSemaphore {
  #holder: Hold | undefined = undefined;

  constructor() {
    super(1);
  }

  override _hold(): Hold {
    this.#holder = new Hold(this);
    return this.#holder;
  }

  override release(): void {
    if (this._value > 0) throw new Error("The lock is not held: call release() once for each acquire()");
    if (this.#holder !== undefined) this.#holder._owner = undefined;
    this.#holder = undefined;
    super.release();
  }

  /** The present hold; `undefined` if the lock is free. */
  _holder(): Hold | undefined {
    return this.#holder;
  }

  /** Makes `hold` the present one again, for somebody to whom the lock was handed. */
  _resume(hold: Hold): void {
    hold._owner = this;
    this.#holder = hold;
  }

  /** Takes the lock for `waiter`, now or in its turn. */
  _enqueue(waiter: PermitWaiter): void {
    if (this._value > 0) {
      this._value--;
      waiter._granted();
    } else {
      this._waiters.push(waiter);
    }
  }

  override toString(): string {
    return this._describe("BoundedSemaphore");
  }
}

/**
 * A mutex: one holder at a time, in order of arrival. It is not re-entrant, and any code may release it.
 *
 * Tornado: `tornado.locks.Lock` (4.2). A Lock is not disposable itself; what `acquire` gives is.
 *
 * @example
 * const lock = new Lock();
 * {
 *   using _ = await lock.acquire();
 *   // held here
 * }
 * await lock.with(async () => {
 *   // and here
 * });
 */
export class Lock {
  /** @internal */
  readonly _block = new LockBlock();

  /**
   * Takes the lock: at once if it is free, else when the line has come to this call. The Future resolves with a {@link Releaser}, which may be
   * ignored in favour of {@link release}. It fails with `TimeoutError` at the deadline and with `signal.reason` at an abort; either way, and
   * after `cancel()`, the place in line is given up.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  acquire(timeout?: Deadline, options?: WaitOptions): Future<Releaser>;
  acquire(options?: WaitOptions): Future<Releaser>;
  acquire(timeout?: Deadline | WaitOptions, options?: WaitOptions): Future<Releaser> {
    return this._block.acquire(timeout as Deadline, options);
  }

  /**
   * Hands the lock to the first in line, whose Future is done when this returns, or frees it.
   *
   * @throws Error if the lock is free; nothing changes
   */
  release(): void {
    this._block.release();
  }

  /** Whether somebody holds it. */
  locked(): boolean {
    return this._block._value === 0;
  }

  /**
   * Acquires, calls `fn` with the lock, and releases when `fn` has returned or thrown, or when the promise it returned has settled. The Future
   * takes the outcome of `fn`. If the lock is free, `fn` is called before this returns.
   *
   * Cancelling the Future, an abort or the deadline before `fn` has started: it is never called. Cancelling later does not interrupt it.
   *
   * @throws TypeError if `fn` is not a function, and for a wrong deadline, option or signal
   */
  with<R>(fn: (self: this) => R | PromiseLike<R>, options?: WaitOptions): Future<R> {
    return runHolding(this._block, this, fn, options);
  }

  /** `<Lock _block=<BoundedSemaphore unlocked,value:1>>`. */
  toString(): string {
    return `<${this.constructor.name} _block=${String(this._block)}>`;
  }
}
