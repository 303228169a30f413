/**
 * Timeouts: a heap ordered by (deadline, insertion number), so that equal deadlines run in the order they were added (L26).
 *
 * Cancelling clears an entry and leaves it where it is: finding it would cost more than carrying it to the top. What that would pile up in
 * a program that cancels nearly all its timeouts, compaction removes (L35-L37).
 */
import { AsyncResource } from "node:async_hooks";
import { inspect } from "node:util";
import { type Callback, NO_ARGUMENTS, type Runnable, UNTRACKED } from "./context.js";

/**
 * What the timeout methods return: good for `removeTimeout` and nothing else. Tornado's `_Timeout`. It is its own async resource: with a
 * million of them waiting, most of what a timeout costs is the memory the collector has to look at.
 */
export class _Timeout extends AsyncResource implements Runnable {
  readonly deadline: number;
  /** `undefined` once the timeout has run or was removed. */
  callback: Callback<never> | undefined;
  private _args: readonly unknown[];
  private readonly _counter: number;
  /** Whether it is in a heap: one that is not has nothing to count as a cancellation. */
  queued = true;

  constructor(deadline: number, callback: Callback<never>, args: readonly unknown[], counter: number) {
    super("IOLoop.timeout", UNTRACKED);
    this.deadline = deadline;
    this.callback = callback;
    this._args = args.length === 0 ? NO_ARGUMENTS : args;
    this._counter = counter;
  }

  /** The pair timeouts are sorted by. */
  get tdeadline(): readonly [deadline: number, counter: number] {
    return [this.deadline, this._counter];
  }

  /** Whether this one runs before `other`. */
  before(other: _Timeout): boolean {
    return this.deadline < other.deadline || (this.deadline === other.deadline && this._counter < other._counter);
  }

  /** Runs it, which clears it first. */
  run(): unknown {
    const args = this._args;
    return this.runInAsyncScope(this.clear() as Callback, undefined, ...args);
  }

  /** Lets go of the function and its arguments. */
  clear(): Callback<never> | undefined {
    const { callback } = this;
    this.callback = undefined;
    this._args = NO_ARGUMENTS;
    return callback;
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

/** The heap's first room for deadlines. It doubles as it fills. */
const FIRST_CAPACITY = 64;

/**
 * The heap. Each entry has four children, and the deadlines stand in an array of their own: on its way down an entry looks at numbers
 * that lie side by side, half as many times as in a binary heap, and hardly at the timeouts themselves, which are spread over the memory.
 * Taking one out of a million takes 2.2 µs that way; with two children, and the deadlines in the timeouts alone, 2.9 µs (Node 20).
 */
export class TimeoutHeap {
  #entries: _Timeout[] = [];
  #deadlines = new Float64Array(FIRST_CAPACITY);

  /** Entries made so far: each one's insertion number. */
  counter = 0;
  /** Cancelled entries still in the heap. */
  cancellations = 0;

  /** Entries in the heap, cancelled ones included. */
  get length(): number {
    return this.#entries.length;
  }

  /** A new timeout, in its place. */
  add(deadline: number, callback: Callback<never>, args: readonly unknown[]): _Timeout {
    const timeout = new _Timeout(deadline, callback, args, this.counter++);
    this.push(timeout);
    return timeout;
  }

  /** Clears a timeout, in constant time. Whether there was something to clear: one that has run, or is running, has no callback any more. */
  cancel(timeout: _Timeout): boolean {
    if (timeout.clear() === undefined) return false;
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
    const { deadline } = timeout;
    let index = entries.length;
    entries.push(timeout);
    if (index === this.#deadlines.length) this.#grow();
    const deadlines = this.#deadlines;
    while (index > 0) {
      const parent = (index - 1) >> 2;
      // Later than the parent, or as late and added after it, as everything is that is new: it stays below.
      if (deadline > (deadlines[parent] as number) || !timeout.before(entries[parent] as _Timeout)) break;
      deadlines[index] = deadlines[parent] as number;
      entries[index] = entries[parent] as _Timeout;
      index = parent;
    }
    deadlines[index] = deadline;
    entries[index] = timeout;
  }

  clear(): void {
    for (const each of this.#entries) {
      each.queued = false;
      each.clear();
    }
    this.#entries = [];
    this.#deadlines = new Float64Array(FIRST_CAPACITY);
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
    this.#deadlines = Float64Array.from({ length: Math.max(kept.length, FIRST_CAPACITY) }, (_, index) => kept[index]?.deadline ?? 0);
    this.cancellations = 0;
    for (let index = (kept.length - 2) >> 2; index >= 0; index--) this.#sink(index, kept[index] as _Timeout);
  }

  /** Puts `timeout` in place of the entry at `start`, or below it. */
  #sink(start: number, timeout: _Timeout): void {
    const entries = this.#entries;
    const deadlines = this.#deadlines;
    const { length } = entries;
    let index = start;
    for (;;) {
      const first = 4 * index + 1;
      if (first >= length) break;
      const end = Math.min(first + 4, length);
      let least = first;
      for (let child = first + 1; child < end; child++) {
        const deadline = deadlines[child] as number;
        const leastDeadline = deadlines[least] as number;
        if (deadline > leastDeadline) continue;
        if (deadline < leastDeadline || (entries[child] as _Timeout).before(entries[least] as _Timeout)) least = child;
      }
      if (timeout.deadline < (deadlines[least] as number) || timeout.before(entries[least] as _Timeout)) break;
      deadlines[index] = deadlines[least] as number;
      entries[index] = entries[least] as _Timeout;
      index = least;
    }
    deadlines[index] = timeout.deadline;
    entries[index] = timeout;
  }

  #grow(): void {
    const deadlines = new Float64Array(2 * this.#deadlines.length);
    deadlines.set(this.#deadlines);
    this.#deadlines = deadlines;
  }
}
