/** The queue of callbacks waiting for their iteration: first in, first out, a linked list, so that a million of them move no memory. */
import type { QueuedCallback } from "./context.js";

export class CallbackQueue {
  #head: QueuedCallback | undefined = undefined;
  #tail: QueuedCallback | undefined = undefined;

  /** How many are waiting. */
  length = 0;

  push(callback: QueuedCallback): void {
    if (this.#tail === undefined) this.#head = callback;
    else this.#tail.next = callback;
    this.#tail = callback;
    this.length++;
  }

  shift(): QueuedCallback | undefined {
    const first = this.#head;
    if (first === undefined) return undefined;
    this.#head = first.next;
    if (this.#head === undefined) this.#tail = undefined;
    first.next = undefined;
    this.length--;
    return first;
  }

  clear(): void {
    this.#head = this.#tail = undefined;
    this.length = 0;
  }

  /** The waiting ones in order, for those who look at a loop. */
  *[Symbol.iterator](): IterableIterator<QueuedCallback> {
    for (let each = this.#head; each !== undefined; each = each.next) yield each;
  }
}
