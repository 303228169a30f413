/**
 * A first-in first-out store on a ring of 2^k slots: what `Queue` keeps its items in. Depends on nothing.
 *
 * `Array.shift()` moves the memory of a long array at every call (240 000 shifts took two seconds on Node 20). Here both ends cost constant
 * amortised time; the ring doubles when full and halves when three quarters of it are empty, so that a burst is not paid for for ever; an
 * emptied slot is cleared, for the queue must not keep alive what it has delivered (P106).
 */

const SMALLEST = 8;

/** @internal */
export class Ring<T> {
  #slots: (T | undefined)[] = new Array<T | undefined>(SMALLEST).fill(undefined);
  #mask = SMALLEST - 1;
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length > this.#mask) this.#resize((this.#mask + 1) * 2);
    this.#slots[(this.#head + this.#length) & this.#mask] = item;
    this.#length++;
  }

  /** Removes the oldest item. The ring must not be empty. */
  shift(): T {
    const item = this.#slots[this.#head] as T;
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.#length--;
    const capacity = this.#mask + 1;
    if (this.#length < capacity >>> 2 && capacity > SMALLEST) this.#resize(capacity >>> 1);
    return item;
  }

  #resize(capacity: number): void {
    const slots = new Array<T | undefined>(capacity).fill(undefined);
    for (let i = 0; i < this.#length; i++) slots[i] = this.#slots[(this.#head + i) & this.#mask];
    this.#slots = slots;
    this.#mask = capacity - 1;
    this.#head = 0;
  }
}
