/**
 * The seam between futures and the loop: what a Future needs of an IOLoop, and who says which loop is the current one.
 *
 * `concurrent` stands below `ioloop` and may not import it. `ioloop` hands in `IOLoop.current` when it is loaded; whatever has an
 * `addCallback` with the same meaning can stand in for a loop, which is what tests do.
 */

/** The part of an IOLoop that runs the done callbacks of a Future. */
export interface CallbackScheduler {
  /**
   * Queues `callback(...args)` for the next iteration, behind what is queued already, in the async context of this call. What the
   * callback throws, or the promise it returns rejects with, is the scheduler's to report.
   */
  addCallback<A extends unknown[]>(callback: (...args: A) => unknown, ...args: A): void;
}

let provider: (() => CallbackScheduler) | undefined;

/**
 * Says where done callbacks go that were added to a Future made without `options.loop`. `ioloop` calls this once with `IOLoop.current`.
 *
 * @returns what was set before, for tests to put back
 * @internal
 */
export function setCurrentScheduler(currentScheduler: (() => CallbackScheduler) | undefined): (() => CallbackScheduler) | undefined {
  const previous = provider;
  provider = currentScheduler;
  return previous;
}

/**
 * The scheduler of the code that is running.
 *
 * @throws Error when `ioloop` has not been loaded, so that there is no loop that could ever run a callback
 * @internal
 */
export function currentScheduler(): CallbackScheduler {
  if (provider === undefined) {
    throw new Error("No event loop is loaded that could run the callback: import ioloop, or give the Future one with new Future({ loop })");
  }
  return provider();
}
