/**
 * A stream as a Node Duplex. One `readBytes(partial)` for each `_read`, so a consumer that pauses stops the stream's READ interest, and the
 * sender with it; a write is done when the stream's write is. Depends on the stream's public operations.
 */
import { Duplex } from "node:stream";
import type { BaseIOStream } from "./base-iostream.js";
import { StreamClosedError } from "./errors.js";
import { _mergePrefix } from "./stream-buffer.js";

class StreamDuplex extends Duplex {
  readonly #stream: BaseIOStream;

  constructor(stream: BaseIOStream) {
    // `allowHalfOpen`: the other end may have sent all it has and still wait for ours.
    super({ readableHighWaterMark: stream.readChunkSize, writableHighWaterMark: stream.readChunkSize, decodeStrings: true });
    this.#stream = stream;
    stream._onClosed(() => this.#closed());
  }

  override _read(): void {
    const stream = this.#stream;
    let read: PromiseLike<Buffer>;
    try {
      read = stream.readBytes(stream.readChunkSize, { partial: true });
    } catch (error) {
      this.#readFailed(error);
      return;
    }
    read.then(
      (chunk) => this.push(chunk),
      (error: unknown) => this.#readFailed(error),
    );
  }

  #readFailed(error: unknown): void {
    if (!(error instanceof StreamClosedError)) this.destroy(error as Error);
    else if (error.realError === undefined) this.push(null);
    else this.destroy(error.realError);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#write(chunk, done);
  }

  /** What has piled up behind a write under way goes out as one, so that many small writes do not become many system calls. */
  override _writev(gathered: { chunk: Buffer; encoding: BufferEncoding }[], done: (error?: Error | null) => void): void {
    const chunks = gathered.map(({ chunk }) => chunk);
    _mergePrefix(chunks, Infinity);
    this.#write(chunks[0] as Buffer, done);
  }

  #write(chunk: Buffer, done: (error?: Error | null) => void): void {
    let written: PromiseLike<void>;
    try {
      written = this.#stream.write(chunk);
    } catch (error) {
      done(error as Error);
      return;
    }
    written.then(
      () => done(),
      (error: unknown) => done(error as Error),
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    try {
      if (!this.#stream.closed()) this.#stream._shutdownWrite();
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream._closeWith(error ?? undefined);
    done(error);
  }

  /** The stream has closed: with an error the Duplex ends with it; otherwise what it has received may still be read. */
  #closed(): void {
    const { error } = this.#stream;
    if (this.destroyed) return;
    if (error !== undefined) this.destroy(error);
    // Nothing more can come: wakes a consumer that waits, once the bytes before the end are consumed.
    else if (!this.#stream.reading()) this.read(0);
  }
}

/** See {@link BaseIOStream.toDuplex}. @internal */
export function toDuplex(stream: BaseIOStream): Duplex {
  return new StreamDuplex(stream);
}
