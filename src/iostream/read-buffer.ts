/**
 * The bytes a stream has received and nobody has read yet: one piece of memory, filled at the end and consumed from the front.
 *
 * The memory is contiguous, as in Tornado 5, so that a delimiter or a pattern is found wherever it lies. It grows by doubling and moves to its
 * front when more than half of it has been consumed, so each byte is moved a bounded number of times whatever the sizes of
 * arrivals and reads. Depends on nothing.
 */
// Imported wherever bytes are made for each message: the global of that name is a getter, which costs 10 ns each time (Node 20).
import { Buffer } from "node:buffer";

/** What a read of no bytes gives. Nobody can change it, so there is only one. */
export const EMPTY: Buffer = Buffer.alloc(0);

/**
 * How far a delimiter is looked for byte by byte before the native search takes over. A call of `Buffer.indexOf` on a view costs 0.25 µs
 * to start (Node 20), as much as comparing some 200 bytes here, and lines are mostly shorter.
 */
const SHORT_SEARCH = 192;

/** What streams read at once unless they are told otherwise (`readChunkSize`). */
const USUAL_CHUNK = 65536;

/** The smallest memory a buffer grows to: a sender that dribbles must not cause a copy for each byte. */
const SMALLEST = 64;

export class ReadBuffer {
  /** What the bytes lie in; those between `start` and `end` are unread. */
  memory: Buffer;
  start = 0;
  end = 0;

  constructor(memory: Buffer) {
    this.memory = memory;
  }

  /** How many bytes are unread. */
  get length(): number {
    return this.end - this.start;
  }

  /** The free memory behind the unread bytes, at least `size` bytes of it; `filled()` says how much of it was used. */
  reserve(size: number): Buffer {
    const { memory, start, end } = this;
    if (memory.length - end < size) {
      const length = end - start;
      if (length + size <= memory.length && start >= length) {
        memory.copyWithin(0, start, end);
      } else {
        this.memory = Buffer.allocUnsafe(Math.max(SMALLEST, 2 * memory.length, length + size));
        memory.copy(this.memory, 0, start, end);
      }
      this.start = 0;
      this.end = length;
    }
    return this.memory;
  }

  /** Takes up `count` bytes that were written to the memory from `end` on. */
  filled(count: number): void {
    this.end += count;
  }

  /** Adds the first `count` bytes of `source`. */
  append(source: Buffer, count: number): void {
    source.copy(this.reserve(count), this.end, 0, count);
    this.end += count;
  }

  /** Where the first occurrence of `delimiter` begins that does not begin before `from`; -1 without one. Both count from the first unread byte. */
  find(delimiter: Buffer, from: number): number {
    const { memory, start, end } = this;
    const last = end - delimiter.length;
    const first = delimiter[0];
    let at = start + from;
    for (const stop = Math.min(last, at + SHORT_SEARCH); at <= stop; at++) {
      if (memory[at] === first && startsAt(memory, at, delimiter)) return at - start;
    }
    if (at > last) return -1;
    // The view ends where the data end: a search of the whole memory would go on through old bytes.
    const found = memory.subarray(at, end).indexOf(delimiter);
    return found === -1 ? -1 : at - start + found;
  }

  /** Where the first match of `pattern` (without the flags g and y) ends, in bytes from the first unread one; -1 without a match. */
  match(pattern: RegExp): number {
    const match = pattern.exec(this.memory.toString("latin1", this.start, this.end));
    return match === null ? -1 : match.index + match[0].length;
  }

  /**
   * Cuts `count` bytes off the front and gives them away. They are copied, so that a short result does not keep a large memory alive; when
   * everything is asked for and fills most of the memory, the memory itself goes.
   */
  consume(count: number): Buffer {
    const { memory, start, end } = this;
    const stop = start + count;
    if (stop === end && count * 2 >= memory.length) {
      this.memory = EMPTY;
      this.start = this.end = 0;
      return count === memory.length ? memory : memory.subarray(start, stop);
    }
    this.start = stop;
    return copyOf(memory, start, stop);
  }

  /** Cuts as many bytes off the front as `target` has room for and stores them there. */
  consumeInto(target: Uint8Array): void {
    const stop = this.start + target.length;
    this.memory.copy(target, 0, this.start, stop);
    this.start = stop;
  }
}

/**
 * The buffer that all streams of a thread receive into: one read call lands here and what is left when the stream has taken its result is
 * copied into memory of its own. So a stream without unread bytes owns no buffer, and a small result is copied once. A large one takes the memory
 * with it, and the next read call finds new one here.
 *
 * It is lent to one stream at a time, for the length of one pass (`_handleRead`, `_tryInlineRead`), in which no user code runs.
 */
export class ScratchBuffer extends ReadBuffer {
  #view = EMPTY;

  constructor() {
    super(EMPTY);
  }

  /** Memory for one read call of at most `size` bytes, from the front. The view of the last size asked for is kept: sizes seldom vary. */
  lend(size: number): Buffer {
    if (this.#view.length !== size) {
      // Not from the pool: it lives as long as the thread.
      if (size > this.memory.length) this.memory = Buffer.allocUnsafeSlow(Math.max(size, USUAL_CHUNK));
      this.#view = this.memory.length === size ? this.memory : this.memory.subarray(0, size);
    }
    return this.#view;
  }

  /** Says that the first `count` bytes are received ones. */
  hold(count: number): this {
    this.start = 0;
    this.end = count;
    return this;
  }

  /** A buffer of its own for what is unread here. */
  keep(): ReadBuffer {
    const { start, end } = this;
    const large = this.#large(end - start);
    const kept = new ReadBuffer(large ? this.#giveAway() : copyOf(this.memory, start, end));
    kept.start = large ? start : 0;
    kept.end = large ? end : end - start;
    this.start = this.end = 0;
    return kept;
  }

  /** A small result is copied, so that it does not keep the memory; with a large one the memory goes, and the next read call gets new one. */
  override consume(count: number): Buffer {
    const { start, end } = this;
    const stop = start + count;
    this.start = stop;
    if (stop < end || !this.#large(count)) return copyOf(this.memory, start, stop);
    const memory = this.#giveAway();
    return count === memory.length ? memory : memory.subarray(start, stop);
  }

  /**
   * Whether so many bytes make up most of the memory: then the memory goes with them. A stream that takes 64 KB at a time uses a third less user
   * CPU than with a copy (180 against 280 ms for a GB, Node 20; `npm run bench -- --only=bulk-in-1`).
   */
  #large(count: number): boolean {
    return count * 2 >= this.memory.length;
  }

  #giveAway(): Buffer {
    const { memory } = this;
    this.memory = this.#view = EMPTY;
    return memory;
  }
}

function startsAt(memory: Buffer, at: number, delimiter: Buffer): boolean {
  for (let i = 1; i < delimiter.length; i++) if (memory[at + i] !== delimiter[i]) return false;
  return true;
}

/** A copy of a part of `memory`, out of Node's pool where it is small. */
function copyOf(memory: Buffer, start: number, end: number): Buffer {
  if (start === end) return EMPTY;
  const copy = Buffer.allocUnsafe(end - start);
  memory.copy(copy, 0, start, end);
  return copy;
}
