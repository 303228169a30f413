/** What `acquire` resolves with: the right to give back once what was taken. Depends on nothing. */

/**
 * A taken lock or permit. It gives back exactly once, by {@link release} or at the end of a `using` block; further calls do nothing.
 *
 * For a `Lock` it belongs to its own hold: after `lock.release()`, or while `Condition.wait` has the lock released, it does nothing, so it never
 * frees what somebody else has taken since. Tornado: the context manager that `acquire()` gives, which releases again each time it is used.
 *
 * @example
 * {
 *   using _ = await lock.acquire();
 *   // the lock is held here
 * }
 */
export interface Releaser {
  /** Whether there is nothing (left) to give back. */
  readonly released: boolean;
  /** Gives back. */
  release(): void;
  /** Gives back: `using r = await lock.acquire()`. */
  [Symbol.dispose](): void;
  /** Gives back at once: `await using r = await lock.acquire()`. No loop iteration is spent. */
  [Symbol.asyncDispose](): Promise<void>;
}

const DISPOSED = Promise.resolve();

/** @internal */
export class Hold implements Releaser {
  /** Where to give back; `undefined` when there is nothing to give back. */
  _owner: { release(): void } | undefined;

  constructor(owner: { release(): void }) {
    this._owner = owner;
  }

  get released(): boolean {
    return this._owner === undefined;
  }

  release(): void {
    const owner = this._owner;
    if (owner === undefined) return;
    this._owner = undefined;
    owner.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return DISPOSED;
  }
}
