/** Who waits at a queue: to get, to put, or for everything to be finished. Depends on `gen`. */
import { Waiter } from "../gen/index.js";

/** Who waits for an item. @internal */
export interface ItemWaiter<T> extends Waiter<unknown> {
  _deliver(item: T): void;
}

/** A pending `get`. @internal */
export class Getter<T> extends Waiter<T> implements ItemWaiter<T> {
  _deliver(item: T): void {
    this.setResult(item);
  }
}

/** A pending `put`; holds the item until it enters the queue or the put is given up. @internal */
export class Putter<T> extends Waiter<void> {
  #item: T | undefined;

  constructor(item: T) {
    super();
    this.#item = item;
  }

  /** The item, once. */
  _takeItem(): T {
    const item = this.#item as T;
    this.#item = undefined;
    return item;
  }

  override _expired(): void {
    this.#item = undefined;
    super._expired();
  }

  override _withdrawn(reason: unknown): void {
    this.#item = undefined;
    super._withdrawn(reason);
  }

  override _onCancel(): void {
    this.#item = undefined;
    super._onCancel();
  }
}

/** A pending `join`. @internal */
export class Joiner extends Waiter<void> {}
