/** `PriorityQueue`: the smallest first. Depends on `queue.ts`. */
import { inspect } from "node:util";

import { defaultOrder } from "./default-order.js";
import { type Compare, Heap } from "./heap.js";
import { Queue } from "./queue.js";

/** What `new PriorityQueue()` takes besides `maxsize`. */
export interface PriorityQueueOptions<T> {
  /** Negative: `a` goes first; positive: `b` goes first; 0 or NaN: in the order of entry. */
  compare?: ((a: T, b: T) => number) | undefined;
}

function readCompare<T>(options: PriorityQueueOptions<T>): Compare<T> {
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new TypeError(`options is ${inspect(options, { depth: 0 })}: pass an object such as { compare }`);
  }
  for (const key of Object.keys(options)) {
    if (key !== "compare") throw new TypeError(`Unknown option ${inspect(key)} of PriorityQueue: the only one is compare`);
  }
  const { compare } = options;
  if (compare === undefined) return defaultOrder;
  if (typeof compare !== "function") throw new TypeError(`compare is ${inspect(compare, { depth: 0 })}: pass a function of two items`);
  return compare;
}

/**
 * A `Queue` that gives out the smallest item first, and equal ones in the order they entered.
 *
 * Without `compare` the order is that of numbers and bigints, strings by code unit, false before true, Dates by time, bytes bytewise, and arrays
 * element by element, where objects behind the first position are a payload and not compared: put `[priority, job]`. Anything else, NaN and
 * mixed kinds fail the put with a `TypeError`. A comparison that throws leaves the queue as it was.
 *
 * Tornado: `tornado.queues.PriorityQueue` (4.2).
 *
 * @example
 * const queue = new PriorityQueue<[number, string]>();
 * queue.putNowait([1, "medium"]);
 * queue.putNowait([0, "high"]);
 * queue.getNowait(); // [0, "high"]
 */
export class PriorityQueue<T> extends Queue<T> {
  declare protected _queue: Heap<T>;
  readonly #compare: Compare<T>;

  /** @throws TypeError, RangeError as for {@link Queue}; TypeError for an unknown option or a `compare` that is no function */
  constructor(maxsize = 0, options: PriorityQueueOptions<T> = {}) {
    super(maxsize);
    this.#compare = readCompare(options);
  }

  protected override _init(): void {
    this._queue = new Heap<T>();
  }

  protected override _put(item: T): void {
    // The first item meets no other, but what has no order is refused there too and not only when a second one comes.
    if (this._queue.length === 0 && this.#compare === defaultOrder) defaultOrder(item, item);
    this._queue.push(item, this.#compare);
  }

  protected override _get(): T {
    return this._queue.shift(this.#compare);
  }
}
