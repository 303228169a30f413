/**
 * What waits to be written, and the joining of chunks: `_StreamBuffer` and `_mergePrefix` of the annotated source. Depends on nothing.
 */
import { Buffer } from "node:buffer";

/** One entry of the write queue. A small one may have room behind its bytes, for those that come next. */
interface Piece {
  memory: Buffer;
  /** How many bytes of the memory are in use; the rest is room. */
  length: number;
}

/**
 * The write queue: pieces of bytes in order, consumed from the front. Small pieces are joined as they come, so that many small writes
 * become few system calls; large ones stand alone and are never copied again. Nothing is ever merged twice.
 *
 * It keeps what it is given: whoever may change the bytes later hands it a copy. Tornado 5: `_StreamBuffer`.
 */
export class _StreamBuffer {
  /** Pieces longer than this stand alone; shorter ones are joined onto the last short one until it has reached this length. */
  _largeBufThreshold = 2048;
  _buffers: Piece[] = [];
  /** How much of the first piece is consumed. */
  _firstPos = 0;
  _size = 0;
  /** Entries of `_buffers` before this one are consumed: `shift()` on a long array would move the rest each time. */
  #head = 0;

  /** How many bytes wait. */
  get length(): number {
    return this._size;
  }

  /** How many pieces they lie in. */
  get pieces(): number {
    return this._buffers.length - this.#head;
  }

  /** Adds bytes at the end; `data` must not change afterwards. */
  append(data: Buffer): void {
    const size = data.length;
    if (size === 0) return;
    this._size += size;
    if (size <= this._largeBufThreshold) {
      const last = this.pieces > 0 ? this._buffers.at(-1) : undefined;
      if (last !== undefined && last.length < this._largeBufThreshold) {
        this.#extend(last, data);
        return;
      }
    }
    this._buffers.push({ memory: data, length: size });
  }

  #extend(last: Piece, data: Buffer): void {
    const length = last.length + data.length;
    if (last.memory.length < length) {
      // Room for the largest joined piece there can be, at once: it is made when a second small write finds the first still waiting.
      const memory = Buffer.allocUnsafe(Math.max(length, 2 * this._largeBufThreshold));
      last.memory.copy(memory, 0, 0, last.length);
      last.memory = memory;
    }
    data.copy(last.memory, last.length);
    last.length = length;
  }

  /**
   * A view of the first bytes, at most `size` of them and at least one while there are any.
   *
   * @throws RangeError when `size` is not positive
   */
  peek(size: number): Buffer {
    if (!(size > 0)) throw new RangeError(`Cannot look at ${String(size)} bytes: ask for at least one`);
    const first = this._buffers[this.#head];
    if (first === undefined) return NOTHING;
    const { _firstPos: start } = this;
    const end = Math.min(first.length, start + size);
    return start === 0 && end === first.memory.length ? first.memory : first.memory.subarray(start, end);
  }

  /**
   * Drops the first `size` bytes.
   *
   * @throws RangeError when that is none, or more than there are
   */
  advance(size: number): void {
    if (!(size > 0 && size <= this._size)) throw new RangeError(`Cannot drop ${String(size)} of ${this._size} bytes waiting`);
    this._size -= size;
    let position = this._firstPos + size;
    for (;;) {
      const first = this._buffers[this.#head];
      if (first === undefined || position < first.length) break;
      position -= first.length;
      this._buffers[this.#head++] = CONSUMED;
    }
    this._firstPos = position;
    if (this.#head * 2 >= this._buffers.length) {
      this._buffers.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

const NOTHING = Buffer.alloc(0);
/** Stands where a consumed piece was, so that its memory is free at once. */
const CONSUMED: Piece = { memory: NOTHING, length: 0 };

/**
 * Makes the first chunk hold `size` bytes, or all there are if they are fewer, by joining or splitting; an empty list becomes one empty chunk.
 * The bytes are copied only where chunks are joined, once, into memory of the right size.
 *
 * The annotated source runs this over its whole buffer at each arrival, which makes long reads quadratic; here it joins what a
 * Node stream has gathered for one write. Tornado: `_merge_prefix` (until 4.x).
 *
 * @example
 * const chunks = ["abc", "de", "fghi", "j"].map((text) => Buffer.from(text));
 * _mergePrefix(chunks, 5); // "abcde", "fghi", "j"
 * _mergePrefix(chunks, 7); // "abcdefg", "hi", "j"
 * _mergePrefix(chunks, 3); // "abc", "defg", "hi", "j"
 */
export function _mergePrefix(chunks: Buffer[], size: number): void {
  let taken = 0;
  let length = 0;
  while (taken < chunks.length && length < size) length += (chunks[taken++] as Buffer).length;
  const prefix = chunks.splice(0, taken);
  const surplus = length - size;
  const last = prefix.at(-1);
  if (surplus > 0 && last !== undefined) {
    chunks.unshift(last.subarray(last.length - surplus));
    prefix[prefix.length - 1] = last.subarray(0, last.length - surplus);
  }
  const [only] = prefix;
  chunks.unshift(prefix.length === 1 && only !== undefined ? only : Buffer.concat(prefix));
}
