/** For tests of what happens while a loop waits: runs one and gets to where it waits. */
import type { IOLoop } from "../../src/ioloop/index.js";
import { realMilliseconds, settle } from "../support/real-timers.js";

/** Far above what anything takes that is seen at once, far below any wait: a call in the thread pool lasts a second. In milliseconds. */
export const AT_ONCE = 250;

/** Resolves once the loop waits for its poller, with nothing of its own left to do. */
export async function untilWaiting(loop: IOLoop): Promise<void> {
  if (!(await settle(() => loop.statistics().waiting))) throw new Error("The loop does not come to wait");
}

/** Runs the loop while `body` does what it does from outside, begun during a wait; then stops it. */
export async function duringWait<T>(loop: IOLoop, body: () => T | PromiseLike<T>): Promise<T> {
  const run = loop.start();
  try {
    await untilWaiting(loop);
    return await body();
  } finally {
    loop.stop();
    await run;
  }
}

/** A promise and what resolves it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settled) => {
    resolve = settled;
  });
  return { promise, resolve };
}

/** Real milliseconds until `promise` resolves. */
export async function millisecondsUntil(promise: PromiseLike<unknown>): Promise<number> {
  const began = realMilliseconds();
  await promise;
  return realMilliseconds() - began;
}

/**
 * The shortest of up to five attempts at what takes real milliseconds; the first below `limit` is enough. A machine that does other things makes
 * some of them slow, a fault all of them.
 */
export async function quickest(limit: number, attempt: () => PromiseLike<number>): Promise<number> {
  let shortest = Infinity;
  for (let left = 5; left > 0 && shortest >= limit; left--) shortest = Math.min(shortest, await attempt());
  return shortest;
}

/** Which round of Node's event loop this is: two runs with the same number had none between them. */
export function nodeRound(): number {
  return performance.nodeTiming.uvMetricsInfo.loopCount;
}
