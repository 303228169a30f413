/** Futures that take the outcome of something else that can be awaited. Depends on `concurrent` and `moment`. */
import { chainFuture, Future, isFuture } from "../concurrent/index.js";
import { isThenable } from "../ioloop/index.js";
import { moment, nextIteration } from "./moment.js";

/** A rejection that no Future could tell from "no failure" is wrapped, so that whoever catches it sees where it came from (P136). */
function rejectionOf(reason: unknown): unknown {
  if (reason !== undefined && reason !== null) return reason;
  return new Error(`A promise was rejected with ${String(reason)}`, { cause: reason });
}

/**
 * The Future itself; for `moment` one that finishes in the next iteration; for any other PromiseLike a new one that follows it.
 * @internal
 */
export function toFuture<T>(source: PromiseLike<T>): Future<T> {
  if (source instanceof Future) return source as Future<T>;
  if ((source as unknown) === moment) return nextIteration() as Future<unknown> as Future<T>;
  const future = new Future<T>();
  // A Future of a second copy of the package is asked through its public face.
  if (isFuture(source)) {
    chainFuture(source as PromiseLike<T>, future);
    return future;
  }
  try {
    source.then(
      (value) => {
        if (!future.done()) future.setResult(value);
      },
      (reason: unknown) => {
        if (!future.done()) future._settleFailed(rejectionOf(reason), false);
      },
    );
  } catch (error) {
    if (!future.done()) future._settleFailed(rejectionOf(error), false);
  }
  return future;
}

/**
 * A Future is given back as it is, another PromiseLike is followed, and any other value becomes a Future that is done with it.
 *
 * Tornado: `tornado.gen.maybe_future` (4.0).
 */
export function maybeFuture<T>(x: T | PromiseLike<T>): Future<T> {
  if (isThenable(x)) return toFuture(x);
  const future = new Future<T>();
  future.setResult(x);
  return future;
}
