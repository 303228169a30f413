/**
 * Timeouts: a queue ordered by (deadline, insertion number), so that equal deadlines run in the order they were added (L26).
 *
 * Those that are due first stand in a heap. Where there are many, the later ones wait behind it in buckets, each for a stretch of time, in the
 * order in which they came: a bucket is looked at when its time has come, so a timeout that is cancelled before is never sorted at all.
 *
 * Cancelling clears an entry and leaves it where it is: finding it would cost more than carrying it along. What that would pile up in
 * a program that cancels nearly all its timeouts, compaction removes (L35-L37).
 */
import { AsyncResource } from "node:async_hooks";
import { inspect } from "node:util";
import { type Callback, callIn, NO_ARGUMENTS, type Runnable, UNTRACKED } from "./context.js";

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
  queued: boolean;

  constructor(deadline: number, callback: Callback<never>, args: readonly unknown[], counter: number) {
    super("IOLoop.timeout", UNTRACKED);
    this.deadline = deadline;
    this.callback = callback;
    this._args = args.length === 0 ? NO_ARGUMENTS : args;
    this._counter = counter;
    this.queued = true;
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
    return callIn(this, this.clear() as Callback, args);
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

/** Cancelled entries that are carried along before compaction is considered. */
const CANCELLATIONS_KEPT = 512;

/** As many entries as this, in the heap or in a bucket that is to become one, are divided. A power of two. */
const MANY = 4096;

/** How many entries each part of what is divided should have, and how many deadlines are looked at to find where one should begin. */
const PART = 512;
const SAMPLES = 8;

/**
 * The queue: nothing but Tornado's heap up to some thousand timeouts, and from there on a heap of the nearest with buckets behind it.
 *
 * The buckets save what a large heap costs, which is memory: a million timeouts do not fit into a processor's cache, and on the way down
 * such a heap nearly each step waits for it. Of a million timeouts, half of them cancelled, each takes 0.85 µs of CPU from its call to its end
 * with buckets and 1.8 µs in one heap (Node 20, `npm run bench:loop`).
 */
export class TimeoutHeap {
  /** A heap of all that is due before the first bucket begins. */
  #near: _Timeout[] = [];
  /** The deadline each bucket begins with. The latest bucket stands first, so that the nearest is taken from the end. */
  #starts: number[] = [];
  /** What is in each bucket, in no order. It ends where the next later one begins; equal deadlines are never in two. */
  #buckets: _Timeout[][] = [];

  /** Entries made so far: each one's insertion number. */
  counter = 0;
  /** Entries, cancelled ones included. */
  length = 0;
  /** Cancelled entries among them. */
  cancellations = 0;

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
      const first = this.#near[0];
      if (first === undefined) {
        if (!this.#advance()) return undefined;
      } else if (first.callback === undefined) {
        this.#pop();
        this.cancellations--;
      } else {
        return first;
      }
    }
  }

  /** Takes out what is due at `now`, in order, and compacts if it is time to. */
  takeDue(now: number): _Timeout[] {
    const due: _Timeout[] = [];
    for (let head = this.head(); head !== undefined && head.deadline <= now; head = this.head()) {
      this.#pop();
      due.push(head);
    }
    if (this.cancellations > CANCELLATIONS_KEPT && this.cancellations > this.length >> 1) this.#compact();
    return due;
  }

  /** Puts a timeout (back) in its place. */
  push(timeout: _Timeout): void {
    timeout.queued = true;
    this.length++;
    const { deadline } = timeout;
    const starts = this.#starts;
    if (starts.length > 0 && deadline >= (starts[starts.length - 1] as number)) {
      this.#bucketOf(deadline).push(timeout);
      return;
    }
    const near = this.#near;
    rise(near, timeout);
    // What cannot be divided, for most have one deadline, is tried again when it has doubled, not with each that is added.
    if (near.length >= MANY && (near.length & (near.length - 1)) === 0 && this.#divide(near, -Infinity)) this.#near = [];
  }

  /** Drops everything. */
  clear(): void {
    for (const each of this) {
      each.queued = false;
      each.clear();
    }
    this.#near = [];
    this.#starts = [];
    this.#buckets = [];
    this.length = this.cancellations = 0;
  }

  /** The entries in no particular order, for those who look at a loop. */
  *[Symbol.iterator](): IterableIterator<_Timeout> {
    yield* this.#near;
    for (const bucket of this.#buckets) yield* bucket;
  }

  /** The bucket for a deadline which is not before the nearest one: the latest that begins with it or earlier. */
  #bucketOf(deadline: number): _Timeout[] {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((starts[middle] as number) <= deadline) high = middle;
      else low = middle + 1;
    }
    return this.#buckets[low] as _Timeout[];
  }

  /** The heap is empty: makes one of the nearest bucket, or divides that, if there is too much in it. Whether there was a bucket. */
  #advance(): boolean {
    const start = this.#starts.pop();
    const bucket = this.#buckets.pop();
    if (start === undefined || bucket === undefined) return false;
    if (bucket.length < MANY || !this.#divide(bucket, start)) this.#near = heapOf(this.#withoutCancelled(bucket));
    return true;
  }

  /** Puts entries into buckets, of which the nearest begins with `start`; cancelled ones leave. Whether their deadlines allow it. */
  #divide(entries: readonly _Timeout[], start: number): boolean {
    const boundaries = boundariesIn(entries);
    if (boundaries.length === 0) return false;
    for (const each of [...boundaries.reverse(), start]) {
      this.#starts.push(each);
      this.#buckets.push([]);
    }
    for (const each of entries) {
      if (each.callback === undefined) this.#leave(each);
      else this.#bucketOf(each.deadline).push(each);
    }
    return true;
  }

  /** Takes the first entry of the heap out. */
  #pop(): void {
    const near = this.#near;
    const first = near[0];
    const last = near.pop();
    if (first === undefined || last === undefined) return;
    if (near.length > 0) sink(near, 0, last);
    first.queued = false;
    this.length--;
  }

  /** Removes every cancelled entry at once; the order of the others, ties included, does not change. */
  #compact(): void {
    this.#near = heapOf(this.#withoutCancelled(this.#near));
    const buckets = this.#buckets.map((bucket) => this.#withoutCancelled(bucket));
    this.#starts = this.#starts.filter((_, index) => buckets[index]?.length !== 0);
    this.#buckets = buckets.filter(({ length }) => length !== 0);
  }

  /** The entries that are not cancelled; the others leave. */
  #withoutCancelled(entries: readonly _Timeout[]): _Timeout[] {
    const live: _Timeout[] = [];
    for (const each of entries) {
      if (each.callback === undefined) this.#leave(each);
      else live.push(each);
    }
    return live;
  }

  /** A cancelled entry is not carried any further. */
  #leave(timeout: _Timeout): void {
    timeout.queued = false;
    this.length--;
    this.cancellations--;
  }
}

/** Deadlines, ascending, at which entries fall into parts of about the same size. None is the earliest of all, so there are some before each. */
function boundariesIn(entries: readonly _Timeout[]): number[] {
  const count = SAMPLES * Math.ceil(entries.length / PART);
  const samples = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    samples[index] = (entries[Math.floor((index * entries.length) / count)] as _Timeout).deadline;
  }
  samples.sort();
  const boundaries: number[] = [];
  let last = samples[0] as number;
  for (let index = SAMPLES; index < count; index += SAMPLES) {
    const sample = samples[index] as number;
    if (sample > last) boundaries.push(sample);
    last = sample;
  }
  return boundaries;
}

// The heap. Each entry has four children, which makes for half as many levels as two do: with 2,000 timeouts waiting, taking one out and
// adding another takes 0.27 µs that way and 0.33 µs with two (Node 20).

/** Adds an entry to a heap. */
function rise(heap: _Timeout[], timeout: _Timeout): void {
  let index = heap.length;
  heap.push(timeout);
  while (index > 0) {
    const parent = (index - 1) >> 2;
    if (!timeout.before(heap[parent] as _Timeout)) break;
    heap[index] = heap[parent] as _Timeout;
    index = parent;
  }
  heap[index] = timeout;
}

/** Puts `timeout` in place of the entry at `start`, or below it. */
function sink(heap: _Timeout[], start: number, timeout: _Timeout): void {
  const { length } = heap;
  let index = start;
  for (;;) {
    const first = 4 * index + 1;
    if (first >= length) break;
    const end = Math.min(first + 4, length);
    let least = first;
    for (let child = first + 1; child < end; child++) {
      if ((heap[child] as _Timeout).before(heap[least] as _Timeout)) least = child;
    }
    if (timeout.before(heap[least] as _Timeout)) break;
    heap[index] = heap[least] as _Timeout;
    index = least;
  }
  heap[index] = timeout;
}

/** Orders entries as a heap, in their place. */
function heapOf(entries: _Timeout[]): _Timeout[] {
  for (let index = (entries.length - 2) >> 2; index >= 0; index--) sink(entries, index, entries[index] as _Timeout);
  return entries;
}
