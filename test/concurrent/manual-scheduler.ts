/** A stand-in for the loop whose iterations a test runs by hand. */
import { AsyncResource } from "node:async_hooks";
import type { CallbackScheduler } from "../../src/concurrent/index.js";
import { setCurrentScheduler } from "../../src/concurrent/scheduler.js";

export class ManualScheduler implements CallbackScheduler {
  #queue: (() => unknown)[] = [];

  addCallback<A extends unknown[]>(callback: (...args: A) => unknown, ...args: A): void {
    const context = new AsyncResource("ManualScheduler");
    this.#queue.push(() => context.runInAsyncScope(callback, undefined, ...args));
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Runs what was queued before this call. */
  iterate(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const callback of queue) callback();
  }
}

/** Makes `scheduler` the current one while `body` runs. */
export async function withCurrent<R>(scheduler: CallbackScheduler | undefined, body: () => R): Promise<Awaited<R>> {
  const previous = setCurrentScheduler(scheduler && (() => scheduler));
  try {
    return await body();
  } finally {
    setCurrentScheduler(previous);
  }
}
