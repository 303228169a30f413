/**
 * Timeouts: a binary heap ordered by (deadline, insertion number), so that equal deadlines run in the order they were added (L26).
 *
 * Cancelling clears an entry and leaves it where it is: finding it would cost more than carrying it to the top. What that would pile up in
 * a program that cancels nearly all its timeouts, compaction removes (L35-L37).
 */
import { inspect } from "node:util";
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

/** @throws TypeError for what no timeout method returned (L31) */
export function checkTimeout(timeout: unknown): asserts timeout is TimeoutHandle {
  if (timeout instanceof _Timeout) return;
  throw new TypeError(`timeout is ${inspect(timeout, { depth: -1 })}: pass what addTimeout, callAt or callLater returned`);
}

/** Cancelled entries that the heap carries before compaction is considered. */
const CANCELLATIONS_KEPT = 512;

export class TimeoutHeap {
  #entries: _Timeout[] = [];

  /** Entries made so far: each one's insertion number. */
  counter = 0;
  /** Cancelled entries still in the heap. */
  cancellations = 0;

  /** Entries in the heap, cancelled ones included. */
  get length(): number {
    return this.#entries.length;
  }

  /** A new timeout, in its place. */
  add(deadline: number, callback: BoundCallback): _Timeout {
    const timeout = new _Timeout(deadline, callback, this.counter++);
    this.push(timeout);
    return timeout;
  }

  /** Clears a timeout, in constant time. Whether there was something to clear: one that has run, or is running, has no callback any more. */
  cancel(timeout: _Timeout): boolean {
    if (timeout.callback === undefined) return false;
    timeout.callback = undefined;
    if (timeout.queued) this.cancellations++;
    return true;
  }

  /** The timeout that is due first. Cancelled ones before it leave. */
  head(): _Timeout | undefined {
    for (;;) {
      const first = this.#entries[0];
      if (first === undefined || first.callback !== undefined) return first;
      this.#pop();
      this.cancellations--;
    }
  }

  /** Takes out what is due at `now`, in order, and compacts if it is time to. */
  takeDue(now: number): _Timeout[] {
    const due: _Timeout[] = [];
    for (let head = this.head(); head !== undefined && head.deadline <= now; head = this.head()) {
      this.#pop();
      due.push(head);
    }
    if (this.cancellations > CANCELLATIONS_KEPT && this.cancellations > this.#entries.length >> 1) this.#compact();
    return due;
  }

  /** Puts a timeout (back) in its place. */
  push(timeout: _Timeout): void {
    timeout.queued = true;
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

  clear(): void {
    for (const each of this.#entries) {
      each.queued = false;
      each.callback = undefined;
    }
    this.#entries = [];
    this.cancellations = 0;
  }

  /** The entries in heap order, for those who look at a loop. */
  [Symbol.iterator](): IterableIterator<_Timeout> {
    return this.#entries.values();
  }

  /** Takes the first entry out. */
  #pop(): void {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (last !== undefined && entries.length > 0) this.#sink(0, last);
    if (first !== undefined) first.queued = false;
  }

  /** Removes every cancelled entry at once; the order of the others, ties included, does not change. */
  #compact(): void {
    const kept: _Timeout[] = [];
    for (const each of this.#entries) {
      if (each.callback === undefined) each.queued = false;
      else kept.push(each);
    }
    this.#entries = kept;
    this.cancellations = 0;
    for (let index = (kept.length >> 1) - 1; index >= 0; index--) this.#sink(index, kept[index] as _Timeout);
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
