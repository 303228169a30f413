/**
 * A stable binary min-heap: what `PriorityQueue` keeps its items in. Depends on nothing.
 *
 * Two arrays run in parallel, the items and their numbers of entry; of two items that compare as equal the one with the lower number is the
 * smaller, so equals leave in the order they came in (P100). The comparison is user code and may throw. Therefore both operations first find
 * out where everything goes, comparing only, and move afterwards: a throw leaves the heap as it was (P101).
 */

/** Negative: `a` goes first; positive: `b` goes first; 0 or NaN: they are equal. */
export type Compare<T> = (a: T, b: T) => number;

/** @internal */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #numbers: number[] = [];
  /** The path of the last removal, kept to spare an array per removal. */
  readonly #path: number[] = [];
  #entered = 0;

  get length(): number {
    return this.#items.length;
  }

  push(item: T, compare: Compare<T>): void {
    const items = this.#items;
    const numbers = this.#numbers;
    const end = items.length;
    let hole = end;
    // The newcomer has the highest number: it rises only past what is truly greater.
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!(compare(item, items[parent] as T) < 0)) break;
      hole = parent;
    }
    const number = this.#entered++;
    items.push(item);
    numbers.push(number);
    for (let i = end; i > hole;) {
      const parent = (i - 1) >> 1;
      items[i] = items[parent] as T;
      numbers[i] = numbers[parent] as number;
      i = parent;
    }
    items[hole] = item;
    numbers[hole] = number;
  }

  /** Removes the smallest item. The heap must not be empty. */
  shift(compare: Compare<T>): T {
    const items = this.#items;
    const numbers = this.#numbers;
    const top = items[0] as T;
    const end = items.length - 1;
    if (end > 0) {
      const item = items[end] as T;
      const number = numbers[end] as number;
      const path = this.#path;
      let depth = 0;
      for (let hole = 0; ;) {
        let child = 2 * hole + 1;
        if (child >= end) break;
        if (child + 1 < end && this.#before(child + 1, items[child] as T, numbers[child] as number, compare)) child++;
        if (!this.#before(child, item, number, compare)) break;
        path[depth++] = child;
        hole = child;
      }
      let hole = 0;
      for (let i = 0; i < depth; i++) {
        const child = path[i] as number;
        items[hole] = items[child] as T;
        numbers[hole] = numbers[child] as number;
        hole = child;
      }
      items[hole] = item;
      numbers[hole] = number;
    }
    items.pop();
    numbers.pop();
    return top;
  }

  /** Whether the item at `index` goes before `item`, which entered as `number`. */
  #before(index: number, item: T, number: number, compare: Compare<T>): boolean {
    const order = compare(this.#items[index] as T, item);
    if (order < 0) return true;
    return !(order > 0) && (this.#numbers[index] as number) < number;
  }
}
