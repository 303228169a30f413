/** `LifoQueue`: the latest first. Depends on `queue.ts`. */
import { Queue } from "./queue.js";

/**
 * A `Queue` that gives out the latest item first.
 *
 * Tornado: `tornado.queues.LifoQueue` (4.2).
 */
export class LifoQueue<T> extends Queue<T> {
  declare protected _queue: T[];

  protected override _init(): void {
    this._queue = [];
  }

  protected override _put(item: T): void {
    this._queue.push(item);
  }

  protected override _get(): T {
    return this._queue.pop() as T;
  }
}
