/**
 * Timeouts: a binary heap ordered by (deadline, insertion number), so that equal deadlines run in the order they were added (L26).
 *
 * Cancelling clears an entry and leaves it where it is: finding it would cost more than carrying it to the top. What that would pile up in
 * a program that cancels nearly all its timeouts, compaction removes (L35-L37).
 */
import type { BoundCallback } from "./context.js";

/** What the timeout methods return: good for `removeTimeout` and nothing else. Tornado's `_Timeout`. */
export class _Timeout {
  readonly deadline: number;
  /** `undefined` once the timeout has run or was removed. */
  callback: BoundCallback | undefined;
  readonly #counter: number;
  /** Whether it is in a heap: one that is not has nothing to count as a cancellation. */
  queued = true;

  constructor(deadline: number, callback: BoundCallback, counter: number) {
    this.deadline = deadline;
    this.callback = callback;
    this.#counter = counter;
  }

  /** The pair timeouts are sorted by. */
  get tdeadline(): readonly [deadline: number, counter: number] {
    return [this.deadline, this.#counter];
  }

  /** Whether this one runs before `other`. */
  before(other: _Timeout): boolean {
    return this.deadline < other.deadline || (this.deadline === other.deadline && this.#counter < other.#counter);
  }
}

/** Opaque: keep it to cancel the timeout. */
export type TimeoutHandle = _Timeout;

export class TimeoutHeap {
  #entries: _Timeout[] = [];

  /** Entries in the heap, cancelled ones included. */
  get length(): number {
    return this.#entries.length;
  }

  /** The entry that is due first. */
  peek(): _Timeout | undefined {
    return this.#entries[0];
  }

  push(timeout: _Timeout): void {
    const entries = this.#entries;
    let index = entries.length;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = entries[parentIndex] as _Timeout;
      if (!timeout.before(parent)) break;
      entries[index] = parent;
      index = parentIndex;
    }
    entries[index] = timeout;
  }

  pop(): _Timeout | undefined {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (last !== undefined && entries.length > 0) this.#sink(0, last);
    if (first !== undefined) first.queued = false;
    return first;
  }

  /** Removes every cancelled entry at once; the order of the others, ties included, does not change. */
  compact(): void {
    const kept: _Timeout[] = [];
    for (const each of this.#entries) {
      if (each.callback === undefined) each.queued = false;
      else kept.push(each);
    }
    this.#entries = kept;
    for (let index = (kept.length >> 1) - 1; index >= 0; index--) this.#sink(index, kept[index] as _Timeout);
  }

  clear(): void {
    for (const each of this.#entries) {
      each.queued = false;
      each.callback = undefined;
    }
    this.#entries = [];
  }

  /** The entries in heap order, for those who look at a loop. */
  [Symbol.iterator](): IterableIterator<_Timeout> {
    return this.#entries.values();
  }

  #sink(start: number, timeout: _Timeout): void {
    const entries = this.#entries;
    const length = entries.length;
    let index = start;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= length) break;
      let child = entries[childIndex] as _Timeout;
      const right = entries[childIndex + 1];
      if (right?.before(child)) {
        child = right;
        childIndex++;
      }
      if (timeout.before(child)) break;
      entries[index] = child;
      index = childIndex;
    }
    entries[index] = timeout;
  }
}
