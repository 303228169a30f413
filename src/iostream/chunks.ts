/** `for await (const chunk of stream)`: a stream as an async iterator of chunks. Depends on the stream's reads alone. */
import type { BaseIOStream } from "./base-iostream.js";
import { checkCount, checkKeys, type ReadBytesOptions, readOptions } from "./arguments.js";
import { StreamClosedError } from "./errors.js";
import type { Future } from "../concurrent/index.js";

/** What {@link BaseIOStream.chunks} takes. */
export interface ChunkOptions {
  /** The most bytes of a chunk, at least 1; `readChunkSize` without it. */
  size?: number | undefined;
  /** Ends the iteration, which throws `signal.reason`. */
  signal?: AbortSignal | undefined;
}

type Step = IteratorResult<Buffer, undefined>;

/**
 * The iterator behind `stream.chunks()`. Not a generator, whose `return()` would wait for the step under way, and `next` is no async function: a step
 * whose bytes are there gives a native promise, which `for await` takes up at once, instead of awaiting a Future inside of another promise.
 */
class Chunks implements AsyncIterableIterator<Buffer> {
  readonly #stream: BaseIOStream;
  readonly #size: number;
  readonly #options: ReadBytesOptions;
  #step: Future<Buffer> | undefined;
  #ended = false;

  constructor(stream: BaseIOStream, size: number, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.#size = size;
    this.#options = { partial: true, signal };
  }

  next(): Promise<Step> {
    if (this.#ended) return Promise.resolve(end());
    try {
      const step = this.#stream.readBytes(this.#size, this.#options);
      if (step.done()) return Promise.resolve(chunk(step.result()));
      // A second call meanwhile fails, and the step of the first goes on.
      this.#step = step;
      return step.then(this.#received, this.#failed);
    } catch (error) {
      return new Promise((resolve) => resolve(this.#endedBy(error)));
    }
  }

  return(): Promise<Step> {
    this.#ended = true;
    this.#step?.cancel();
    return Promise.resolve(end());
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #received = (value: Buffer): Step => {
    this.#step = undefined;
    return chunk(value);
  };

  readonly #failed = (error: unknown): Step => {
    this.#step = undefined;
    return this.#endedBy(error);
  };

  /** The end of the iteration, or what it fails with. */
  #endedBy(error: unknown): Step {
    // `return()` has cancelled the step.
    if (this.#ended) return end();
    if (!(error instanceof StreamClosedError)) throw error;
    this.#ended = true;
    if (error.realError !== undefined) throw error;
    return end();
  }
}

function chunk(value: Buffer): Step {
  return { done: false, value };
}

function end(): Step {
  return { done: true, value: undefined };
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
