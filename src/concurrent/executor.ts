/** What `runOnExecutor` and `IOLoop.runInExecutor` send work to, and the executor that does it on the spot. Depends on `future.ts`. */
import { chainFuture, isPromiseLike } from "./chain-future.js";
import { Future, notAFunction } from "./future.js";

/** Something that takes a function and its arguments and promises the outcome (`concurrent.futures.Executor`). The one definition in the package. */
export interface Executor {
  /** Runs `fn(...args)` somewhere, some time. Refuses by throwing; how `fn` ends is told by what it returns. */
  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): PromiseLike<Awaited<R>>;
  /** Takes no more work. With `wait`, the result settles when everything submitted has ended. */
  shutdown?(wait?: boolean): void | PromiseLike<void>;
}

/**
 * Runs the function during `submit`, on the caller's stack: for tests, and to switch threads off without changing the program.
 *
 * Tornado: `DummyExecutor`.
 */
export class DummyExecutor implements Executor {
  /**
   * Calls `fn(...args)`. The Future is done on return, with the value or with what `fn` threw; if `fn` returns a PromiseLike it follows that.
   *
   * @throws TypeError if `fn` is not a function
   */
  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Future<Awaited<R>> {
    if (typeof fn !== "function") throw notAFunction("submit", fn);
    const future = new Future<Awaited<R>>();
    try {
      const result = fn(...args);
      if (isPromiseLike(result)) chainFuture(result as PromiseLike<Awaited<R>>, future);
      else future.setResult(result as Awaited<R>);
    } catch (error) {
      // Not setException: a function may throw undefined.
      future._settleFailed(error, false);
    }
    return future;
  }

  /** Changes nothing: there is nothing to wait for, and later submits still work. */
  shutdown(_wait?: boolean): void {
    // No threads, no queue.
  }
}

/** The shared DummyExecutor (`tornado.concurrent.dummy_executor`). */
export const dummyExecutor: DummyExecutor = new DummyExecutor();
