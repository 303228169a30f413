/** `moment`: awaiting it gives the loop one turn. Depends on `ioloop`. */
import { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";

function settle(future: Future<undefined>): void {
  if (!future.done()) future.setResult(undefined);
}

/** A Future that finishes in the loop's next iteration, behind the callbacks queued so far. @internal */
export function nextIteration(): Future<undefined> {
  const future = new Future<undefined>();
  IOLoop.current().addCallback(settle, future);
  return future;
}

/**
 * Each `await moment` goes on after exactly one more iteration of the current loop: callbacks added before have run, and due timeouts and ready
 * descriptors get their turn. A constant; it may be awaited any number of times, also concurrently.
 *
 * Awaiting Futures that are always done never gives the loop a turn, so a long run of them wants a `moment` now and then.
 *
 * Tornado: `tornado.gen.moment` (3.1).
 *
 * @example
 * for (const [i, row] of rows.entries()) {
 *   work(row);
 *   if (i % 100 === 0) await moment;
 * }
 */
export const moment: PromiseLike<void> = Object.freeze({
  then<R1 = void, R2 = never>(
    onFulfilled?: ((value: void) => R1 | PromiseLike<R1>) | null,
    onRejected?: ((reason: unknown) => R2 | PromiseLike<R2>) | null,
  ): PromiseLike<R1 | R2> {
    return nextIteration().then(onFulfilled, onRejected);
  },
});
