/** `for await (const item of queue)`. Depends on `gen`. */
import type { Future } from "../concurrent/index.js";
import { resolved, Waiter } from "../gen/index.js";
import type { ItemWaiter } from "./queue-waiters.js";

/** A pending `next()`. */
class NextWaiter<T> extends Waiter<IteratorResult<T, undefined>> implements ItemWaiter<T> {
  readonly #pending: Set<NextWaiter<T>>;

  constructor(pending: Set<NextWaiter<T>>) {
    super();
    this.#pending = pending;
    pending.add(this);
  }

  _deliver(value: T): void {
    this.setResult({ done: false, value });
  }

  /** The iteration has ended before an item came. */
  _end(): void {
    if (this.done()) return;
    this._leave();
    this.setResult({ done: true, value: undefined });
  }

  override _leave(): void {
    this.#pending.delete(this);
    super._leave();
  }
}

/** What the iterator asks of its queue. @internal */
export interface ItemSource<T> {
  /** A done Future with `wrap(item)` or a failure if that can be told at once; else `makeWaiter()` put in line. */
  _getFor<R>(wrap: (item: T) => R, makeWaiter: () => ItemWaiter<T> & Waiter<R>, signal: AbortSignal | undefined): Future<R>;
}

function wrap<T>(value: T): IteratorResult<T, undefined> {
  return { done: false, value };
}

/** An endless sequence of `get()`. @internal */
export class QueueIterator<T> implements AsyncIterableIterator<T, undefined> {
  readonly #source: ItemSource<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #pending = new Set<NextWaiter<T>>();
  #ended = false;

  constructor(source: ItemSource<T>, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  next(): Future<IteratorResult<T, undefined>> {
    if (this.#ended) return resolved<IteratorResult<T, undefined>>({ done: true, value: undefined });
    return this.#source._getFor<IteratorResult<T, undefined>>(wrap, () => new NextWaiter<T>(this.#pending), this.#signal);
  }

  /** Ends the iteration: what waits leaves the line; what was granted is still delivered by its own `next()`. */
  return(): Future<IteratorResult<T, undefined>> {
    this.#ended = true;
    for (const waiter of this.#pending) waiter._end();
    return resolved<IteratorResult<T, undefined>>({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
