/** The queue of callbacks waiting for their iteration: first in, first out, in chunks, so that a million of them move no memory. */
import { type Callback, FreeCallback, NO_ARGUMENTS, type QueuedCallback } from "./context.js";

/**
 * A function that has neither arguments nor a context to go with it stands in the queue by itself: an object around it would wait with it, and
 * cost what `hasContext` tells of. What runs gets one that dies young.
 */
type Entry = QueuedCallback | Callback<never>;

const CHUNK_LENGTH = 256;

class Chunk {
  readonly entries = new Array<Entry | undefined>(CHUNK_LENGTH);
  next: Chunk | undefined = undefined;
}

export class CallbackQueue {
  /** The chunk that is emptied, and where its first entry stands. */
  #first = new Chunk();
  #start = 0;
  /** The chunk that is filled, which may be the same, and where the next entry will stand. */
  #last = this.#first;
  #end = 0;

  /** How many are waiting. */
  length = 0;

  push(callback: QueuedCallback): void {
    if (this.#end === CHUNK_LENGTH) {
      this.#last = this.#last.next = new Chunk();
      this.#end = 0;
    }
    const alone = callback instanceof FreeCallback && callback.args === NO_ARGUMENTS;
    this.#last.entries[this.#end++] = alone ? callback.callback : callback;
    this.length++;
  }

  shift(): QueuedCallback | undefined {
    if (this.length === 0) return undefined;
    if (this.#start === CHUNK_LENGTH) {
      this.#first = this.#first.next as Chunk;
      this.#start = 0;
    }
    const { entries } = this.#first;
    const entry = entries[this.#start] as Entry;
    entries[this.#start++] = undefined;
    // An empty queue begins anew in the chunk it has: one that never holds many makes no second.
    if (--this.length === 0) this.#start = this.#end = 0;
    return typeof entry === "function" ? new FreeCallback(entry, NO_ARGUMENTS) : entry;
  }

  clear(): void {
    this.#first = this.#last = new Chunk();
    this.#start = this.#end = this.length = 0;
  }

  /** The waiting ones in order, for those who look at a loop. */
  *[Symbol.iterator](): IterableIterator<QueuedCallback> {
    let chunk: Chunk | undefined = this.#first;
    for (let index = this.#start, left = this.length; left > 0 && chunk !== undefined; index++, left--) {
      if (index === CHUNK_LENGTH) {
        chunk = chunk.next;
        index = 0;
      }
      const entry = chunk?.entries[index];
      if (entry !== undefined) yield typeof entry === "function" ? new FreeCallback(entry, NO_ARGUMENTS) : entry;
    }
  }
}
