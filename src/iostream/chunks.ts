/** `for await (const chunk of stream)`: a stream as an async iterator of chunks. Depends on the stream's reads alone. */
import type { BaseIOStream } from "./base-iostream.js";
import { checkCount, checkKeys, readOptions } from "./arguments.js";
import { StreamClosedError } from "./errors.js";
import type { Future } from "../concurrent/index.js";

/** What {@link BaseIOStream.chunks} takes. */
export interface ChunkOptions {
  /** The most bytes of a chunk, at least 1; `readChunkSize` without it. */
  size?: number | undefined;
  /** Ends the iteration, which throws `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** The iterator behind `stream.chunks()`. A class and not a generator, whose `return()` would wait for the step under way. */
class Chunks implements AsyncIterableIterator<Buffer> {
  readonly #stream: BaseIOStream;
  readonly #size: number;
  readonly #signal: AbortSignal | undefined;
  #step: Future<Buffer> | undefined;
  #ended = false;

  constructor(stream: BaseIOStream, size: number, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.#size = size;
    this.#signal = signal;
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#ended) return { done: true, value: undefined };
    let step: Future<Buffer> | undefined;
    try {
      step = this.#stream.readBytes(this.#size, { partial: true, signal: this.#signal });
      this.#step = step;
      const value = await step;
      return { done: false, value };
    } catch (error) {
      // `return()` has cancelled the step.
      if (this.#returned()) return { done: true, value: undefined };
      if (error instanceof StreamClosedError) {
        this.#ended = true;
        if (error.realError === undefined) return { done: true, value: undefined };
      }
      throw error;
    } finally {
      // A second call meanwhile has failed, and the step of the first goes on.
      if (this.#step === step) this.#step = undefined;
    }
  }

  /** Asked again after an await, in which it may have become true. */
  #returned(): boolean {
    return this.#ended;
  }

  return(): Promise<IteratorResult<Buffer, undefined>> {
    this.#ended = true;
    this.#step?.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** See {@link BaseIOStream.chunks}. @internal */
export function chunksOf(stream: BaseIOStream, options: ChunkOptions | undefined): AsyncIterableIterator<Buffer> {
  if (options !== undefined) checkKeys("chunks()", ["size", "signal"], options);
  const { size = stream.readChunkSize, signal } = options ?? {};
  checkCount("size", size);
  if (size === 0) throw new RangeError("size is 0: chunks have at least one byte");
  readOptions("chunks", ["signal"], undefined, { signal });
  return new Chunks(stream, size, signal);
}
