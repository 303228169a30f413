/**
 * `Queue`: first in, first out, between coroutines, with an optional limit. Depends on `gen` and below.
 *
 * Invariants: somebody waits to get only while the queue is empty, and somebody waits to put only while it is full. So a put with getters in line
 * hands its item over, and a get on a full queue first moves the item of the longest-waiting putter in (P89); both settle the other side
 * before they return.
 */
import { inspect } from "node:util";

import type { Future } from "../concurrent/index.js";
import {
  abortReason,
  failed,
  readWaitArguments,
  resolved,
  type Waiter,
  WaiterList,
  type WaitOptions,
  type WaitPlan,
} from "../gen/index.js";
import type { Deadline } from "../ioloop/index.js";
import { QueueEmpty, QueueFull } from "./errors.js";
import { QueueIterator } from "./queue-iterator.js";
import { Getter, type ItemWaiter, Joiner, Putter } from "./queue-waiters.js";
import { Ring } from "./ring.js";

/** What `Queue` itself keeps its items in: a `Ring`. */
interface Fifo<T> {
  readonly length: number;
  push(item: T): void;
  shift(): T;
}

function checkMaxsize(maxsize: unknown): number {
  if (typeof maxsize !== "number") {
    throw new TypeError(`maxsize is ${inspect(maxsize, { depth: 0 })}: pass the number of items that fit, 0 for no limit`);
  }
  if (maxsize !== Infinity && (!Number.isInteger(maxsize) || maxsize < 0)) {
    throw new RangeError(`maxsize is ${String(maxsize)}: the number of items that fit is an integer, 0 or more (0 for no limit)`);
  }
  return maxsize;
}

function itself<T>(item: T): T {
  return item;
}

/**
 * A queue of items from those who `put` to those who `get`, each served in order of arrival.
 *
 * `put` waits while the queue is full, `get` while it is empty. `taskDone`, called once for each item that was worked off, lets `join` tell when
 * everything is finished. A subclass may keep the items in its own way by replacing `_init`, `_put`, `_get` and `_qsize`; the base constructor
 * calls `_init()`, so its storage must not be an initialised class field. The storage must take `maxsize + 1` items for a moment.
 *
 * Tornado: `tornado.queues.Queue` (4.2).
 *
 * @example
 * const queue = new Queue<string>(10);
 * async function worker(): Promise<void> {
 *   for await (const url of queue) {
 *     await download(url);
 *     queue.taskDone();
 *   }
 * }
 */
export class Queue<T> {
  /** The limit, as given; 0 and `Infinity` mean none. */
  readonly maxsize: number;

  /** The storage: a `Ring` here, whatever `_init` makes in a subclass. */
  declare protected _queue: { readonly length: number };
  /** @internal */
  readonly _getters = new WaiterList<ItemWaiter<T>>();
  /** @internal */
  readonly _putters = new WaiterList<Putter<T>>();
  readonly #joiners = new WaiterList<Joiner>();
  readonly #limit: number;
  #unfinishedTasks = 0;

  /**
   * @param maxsize - how many items fit; 0 for no limit
   * @throws TypeError if `maxsize` is not a number
   * @throws RangeError if it is negative, fractional or NaN
   */
  constructor(maxsize = 0) {
    this.maxsize = checkMaxsize(maxsize);
    this.#limit = maxsize === 0 ? Infinity : maxsize;
    this._init();
  }

  /** How many items are inside. The items of those who wait to put are not. */
  qsize(): number {
    return this._qsize();
  }

  /** Whether no item is inside. */
  empty(): boolean {
    return this._qsize() === 0;
  }

  /** Whether a `put` would have to wait. */
  full(): boolean {
    return this._qsize() >= this.#limit;
  }

  /**
   * Puts an item in, or waits for room. At the deadline it fails with `TimeoutError`, at an abort with `signal.reason`; either way, and after
   * `cancel()`, no item stays behind.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  put(item: T, timeout?: Deadline, options?: WaitOptions): Future<void>;
  put(item: T, options?: WaitOptions): Future<void>;
  put(item: T, timeout?: Deadline | WaitOptions, options?: WaitOptions): Future<void> {
    let plan: WaitPlan | undefined;
    if (timeout !== undefined || options !== undefined) {
      plan = readWaitArguments(timeout, options);
      if (plan.signal?.aborted === true) return failed<void>(abortReason(plan.signal));
    }
    try {
      if (this.#offer(item)) return resolved<void>(undefined);
    } catch (error) {
      return failed<void>(error);
    }
    const putter = new Putter(item);
    if (plan !== undefined) putter._arm(plan);
    this._putters.push(putter);
    return putter;
  }

  /**
   * Puts an item in without waiting.
   *
   * @throws QueueFull if there is no room; nothing changes
   */
  putNowait(item: T): void {
    if (!this.#offer(item)) throw new QueueFull();
  }

  /**
   * Takes an item out, or waits for one. At the deadline it fails with `TimeoutError`, at an abort with `signal.reason`; either way, and after
   * `cancel()`, no item is lost. An item once granted is delivered whatever happens to deadline and signal.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  get(timeout?: Deadline, options?: WaitOptions): Future<T>;
  get(options?: WaitOptions): Future<T>;
  get(timeout?: Deadline | WaitOptions, options?: WaitOptions): Future<T> {
    if (timeout === undefined && options === undefined) return this.#get(undefined, itself<T>, makeGetter<T>);
    return this.#get(readWaitArguments(timeout, options), itself<T>, makeGetter<T>);
  }

  /**
   * Takes an item out without waiting.
   *
   * @throws QueueEmpty if there is none; nothing changes
   */
  getNowait(): T {
    if (this._qsize() === 0) throw new QueueEmpty();
    return this.#take();
  }

  /**
   * Tells that an item taken out has been worked off. When that holds for every item that ever entered, those who `join` are done before this
   * returns.
   *
   * @throws RangeError if called more often than items have entered; nothing changes
   */
  taskDone(): void {
    if (this.#unfinishedTasks === 0) {
      throw new RangeError("taskDone() was called more often than items have entered: call it once for each item got");
    }
    if (--this.#unfinishedTasks > 0) return;
    for (let joiner = this.#joiners.shift(); joiner !== undefined; joiner = this.#joiners.shift()) joiner.setResult(undefined);
  }

  /**
   * Waits until every item that entered has been worked off ({@link taskDone}); done at once if that is so. At the deadline it fails with
   * `TimeoutError`, at an abort with `signal.reason`.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  join(timeout?: Deadline, options?: WaitOptions): Future<void>;
  join(options?: WaitOptions): Future<void>;
  join(timeout?: Deadline | WaitOptions, options?: WaitOptions): Future<void> {
    const plan = readWaitArguments(timeout, options);
    if (plan.signal?.aborted === true) return failed<void>(abortReason(plan.signal));
    if (this.#unfinishedTasks === 0) return resolved<void>(undefined);
    const joiner = new Joiner();
    joiner._arm(plan);
    this.#joiners.push(joiner);
    return joiner;
  }

  /** An endless sequence of `get()`: `for await (const item of queue)`. Leaving the loop loses no item. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return new QueueIterator<T>(this, undefined);
  }

  /**
   * The same, to be stopped by a signal: the loop then throws `signal.reason`.
   *
   * @throws TypeError for a wrong option or signal
   */
  iterate(options?: { signal?: AbortSignal | undefined }): AsyncIterableIterator<T, undefined> {
    if (options !== undefined && "timeout" in options) {
      throw new TypeError("Unknown option 'timeout': iterate() takes a signal, for example AbortSignal.timeout(ms)");
    }
    return new QueueIterator<T>(this, readWaitArguments(undefined, options).signal);
  }

  /** `<Queue maxsize=2 queue[2] putters[1] tasks=2>`: what is zero is left out, and only those who still wait are counted. */
  toString(): string {
    const counts: [string, number][] = [
      ["queue", this._qsize()],
      ["getters", this._getters.length],
      ["putters", this._putters.length],
    ];
    let text = `<${this.constructor.name} maxsize=${String(this.maxsize)}`;
    for (const [name, count] of counts) if (count > 0) text += ` ${name}[${String(count)}]`;
    if (this.#unfinishedTasks > 0) text += ` tasks=${String(this.#unfinishedTasks)}`;
    return `${text}>`;
  }

  /** Makes the storage; called once, by the base constructor. */
  protected _init(): void {
    this._queue = new Ring<T>();
  }

  /** Stores an item. If it throws, nothing may have changed. */
  protected _put(item: T): void {
    (this._queue as Fifo<T>).push(item);
  }

  /** Removes the item whose turn it is; there is one. If it throws, nothing may have changed. */
  protected _get(): T {
    return (this._queue as Fifo<T>).shift();
  }

  /** How many items are stored. */
  protected _qsize(): number {
    return this._queue.length;
  }

  /** @internal */
  _getFor<R>(wrap: (item: T) => R, makeWaiter: () => ItemWaiter<T> & Waiter<R>, signal: AbortSignal | undefined): Future<R> {
    const plan = signal === undefined ? undefined : readWaitArguments(undefined, { signal });
    return this.#get(plan, wrap, makeWaiter);
  }

  #get<R>(plan: WaitPlan | undefined, wrap: (item: T) => R, makeWaiter: () => ItemWaiter<T> & Waiter<R>): Future<R> {
    if (plan?.signal?.aborted === true) return failed<R>(abortReason(plan.signal));
    if (this._qsize() > 0) {
      let item: T;
      try {
        item = this.#take();
      } catch (error) {
        return failed<R>(error);
      }
      return resolved(wrap(item));
    }
    const waiter = makeWaiter();
    if (plan !== undefined) waiter._arm(plan);
    this._getters.push(waiter);
    return waiter;
  }

  /** Takes an item out of the queue, which is not empty. */
  #take(): T {
    // A get whose comparison threw may have left one item too many inside; it comes out first.
    if (this._putters.length > 0 && this._qsize() <= this.#limit) this.#admitPutter();
    return this._get();
  }

  /** Moves the item of the longest-waiting putter in; one whose item the storage refuses fails, and the next is tried. */
  #admitPutter(): void {
    for (let putter = this._putters.shift(); putter !== undefined; putter = this._putters.shift()) {
      try {
        this.#enter(putter._takeItem());
      } catch (error) {
        putter._settleFailed(error, false);
        continue;
      }
      putter.setResult(undefined);
      return;
    }
  }

  /** Takes an item in, straight on to a getter if one waits; `false` if there is no room. */
  #offer(item: T): boolean {
    if (this._getters.length > 0) {
      this.#enter(item);
      this.#serveGetters();
      return true;
    }
    if (this._qsize() >= this.#limit) return false;
    this.#enter(item);
    return true;
  }

  /** Through the storage, for a subclass may look at what passes (P88). */
  #serveGetters(): void {
    while (this._qsize() > 0) {
      const getter = this._getters.shift();
      if (getter === undefined) return;
      let item: T;
      try {
        item = this._get();
      } catch (error) {
        getter._settleFailed(error, false);
        continue;
      }
      getter._deliver(item);
    }
  }

  #enter(item: T): void {
    this._put(item);
    this.#unfinishedTasks++;
  }
}

function makeGetter<T>(): Getter<T> {
  return new Getter<T>();
}
