/**
 * `BaseIOStream`: a stream over any descriptor, buffered and driven by the `IOLoop`. What is common to both directions is in
 * `stream-core.ts`, the steps of reading in `stream-reading.ts`; here are the reads, writing, and what turns a stream into something else.
 * Depends on those two and on the write queue.
 */
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { generalLog } from "../log.js";
import {
  bytesOf,
  checkCount,
  delimiterBytes,
  ownPattern,
  type ReadBytesOptions,
  type ReadIntoOptions,
  readOptions,
  type ReadUntilCloseOptions,
  type ReadUntilOptions,
  show,
} from "./arguments.js";
import { type ChunkOptions, chunksOf } from "./chunks.js";
import { toDuplex } from "./duplex.js";
import { StreamBufferFullError } from "./errors.js";
import { _StreamBuffer } from "./stream-buffer.js";
import { type StreamOptions, STREAM_OPTION_KEYS } from "./stream-core.js";
import { StreamReading } from "./stream-reading.js";
import { bindCallback, type UserCallback } from "./user-callback.js";
import { toWeb, type WebStreams } from "./web.js";

/** What the callbacks of reads take, the streaming ones too. */
export type StreamCallback = (data: Buffer) => unknown;

const READ_BYTES_KEYS = ["partial", "streamingCallback", "signal"];
const READ_INTO_KEYS = ["partial", "signal"];
const READ_UNTIL_KEYS = ["maxBytes", "signal"];
const READ_UNTIL_CLOSE_KEYS = ["streamingCallback", "signal"];

/**
 * How many bytes a stream writes inside of write calls before one of them is done in the next iteration only. Code that awaits write after write
 * never leaves the microtask queue while the other end keeps pace: 4 GB went out in one turn, with nothing else running in between (S209). 16 MiB
 * take 1.3 ms. The iterations cost bulk on loopback 3%, with 4 MiB 5%: after so much copying nothing of them is in the caches any more (Node 20,
 * `npm run bench -- --only=bulk-out-1`).
 */
const BYTES_PER_TURN = 16 << 20;

/** The Future of a write that waits. */
class WriteFuture extends Future<void> {
  /** How many bytes the stream has to have written for this write to be done. */
  readonly end: number;

  constructor(loop: IOLoop, end: number) {
    super();
    this._scheduler = loop;
    this.end = end;
  }
}

/**
 * A non-blocking stream of bytes over a descriptor. Subclasses say how to read and write it: `fileno()`, `closeFd()`, `writeToFd()`,
 * `readFromFd()` and, where there is more to know about errors, `getFdError()`.
 *
 * Every operation takes a callback or returns a Future. Callbacks and code that awaits never run inside the call. When the stream closes,
 * Futures of operations under way fail with `StreamClosedError`; users of callbacks hear of it by `setCloseCallback`.
 *
 * Tornado: `BaseIOStream`, with the behaviour of 5.1 and the callback interface of all versions.
 */
export abstract class BaseIOStream extends StreamReading {
  /** What waits to be written; none while nothing does. @internal */
  _writeBuffer: _StreamBuffer | undefined = undefined;
  /** @internal */
  _writeCallback: UserCallback | undefined = undefined;
  /** Futures of writes that wait, in order; those before `_writeFuturesDone` are settled. @internal */
  _writeFutures: WriteFuture[] | undefined = undefined;
  private _writeFuturesDone = 0;
  /** Bytes written inside of write calls since a write last waited for the loop's turn. */
  private _writtenInTurn = 0;
  /** Bytes accepted and bytes written since the write queue was last empty. @internal */
  _totalWriteIndex = 0;
  /** @internal */
  _totalWriteDoneIndex = 0;

  constructor(options?: StreamOptions, keys: readonly string[] = STREAM_OPTION_KEYS) {
    super(options, keys);
  }

  // ---- What a subclass provides ----

  /**
   * One write call with `data`, at least one byte, which must not be kept: how many bytes were taken. `undefined`, 0, or throwing an error
   * with the code EAGAIN means "not now"; any other error closes the stream.
   */
  abstract writeToFd(data: Uint8Array): number | undefined;

  // ---- Reading ----

  /**
   * Reads exactly `numBytes` bytes; with `partial` as many as there are, at least one and at most `numBytes`. 0 completes at once, on a
   * closed stream too. With `streamingCallback` the bytes come in chunks and the final result is empty.
   *
   * Tornado: `read_bytes`.
   *
   * @returns a Future of the bytes, which are the caller's own; nothing when a callback is given, which then gets them
   * @throws TypeError, RangeError for wrong arguments; then nothing has begun
   * @throws Error "Already reading" while another read waits
   * @throws StreamClosedError on a closed stream whose unread bytes do not suffice
   * @throws SystemError when the descriptor fails during the call; the stream closes with it
   * @throws StreamBufferFullError when more than `maxBufferSize` bytes have come and do not suffice
   */
  readBytes(numBytes: number, options?: ReadBytesOptions): Future<Buffer>;
  readBytes(numBytes: number, callback: undefined | null, options?: ReadBytesOptions): Future<Buffer>;
  readBytes(numBytes: number, callback: StreamCallback, options?: ReadBytesOptions): void;
  readBytes(numBytes: number, callback?: unknown, options?: unknown): Future<Buffer> | void {
    const { partial = false, streamingCallback, signal } = readOptions("readBytes", READ_BYTES_KEYS, callback, options);
    checkCount("numBytes", numBytes);
    const future = this._beginRead<Buffer>("readBytes", callback, signal);
    if (this._readSlotFree()) return future;
    this._readBytes = numBytes;
    this._readPartial = partial;
    this._streamingCallback = bindCallback("readBytes", streamingCallback);
    return this._startRead(future);
  }

  /**
   * Fills `buf` with received bytes; with `partial` it completes as soon as at least one is there. Bytes outside of the view are never
   * touched, and the view only until the read settles. What an unfinished read has stored there is unspecified; its bytes are the
   * first of the next read. If the memory is detached or shrunk meanwhile the read fails with a TypeError and the stream stays open.
   *
   * Tornado: `read_into` (5.0).
   *
   * @returns a Future of the number of bytes; nothing when a callback is given, which then gets it
   * @throws as {@link readBytes}
   */
  readInto(buf: Uint8Array, options?: ReadIntoOptions): Future<number>;
  readInto(buf: Uint8Array, callback: undefined | null, options?: ReadIntoOptions): Future<number>;
  readInto(buf: Uint8Array, callback: (count: number) => unknown, options?: ReadIntoOptions): void;
  readInto(buf: Uint8Array, callback?: unknown, options?: unknown): Future<number> | void {
    const { partial = false, signal } = readOptions("readInto", READ_INTO_KEYS, callback, options);
    if (!(buf instanceof Uint8Array)) throw new TypeError(`buf is ${show(buf)}: pass a Uint8Array, or a Buffer, to read into`);
    const future = this._beginRead<number>("readInto", callback, signal);
    if (this._readSlotFree()) return future;
    this._readBytes = buf.length;
    this._readPartial = partial;
    this._readTarget = buf;
    return this._startRead(future);
  }

  /**
   * Reads up to and including the first occurrence of `delimiter`; a string is taken as UTF-8. What follows it stays for the next read.
   *
   * When more than `maxBytes` bytes have come without the delimiter ending among them, the stream closes with an `UnsatisfiableReadError`
   * and the Future fails with `StreamClosedError`.
   *
   * Tornado: `read_until`, `max_bytes` (4.0).
   *
   * @returns a Future of the bytes; nothing when a callback is given, which then gets them
   * @throws as {@link readBytes}
   */
  readUntil(delimiter: Uint8Array | string, options?: ReadUntilOptions): Future<Buffer>;
  readUntil(delimiter: Uint8Array | string, callback: undefined | null, options?: ReadUntilOptions): Future<Buffer>;
  readUntil(delimiter: Uint8Array | string, callback: StreamCallback, options?: ReadUntilOptions): void;
  readUntil(delimiter: Uint8Array | string, callback?: unknown, options?: unknown): Future<Buffer> | void {
    const { maxBytes, signal } = readOptions("readUntil", READ_UNTIL_KEYS, callback, options);
    const bytes = delimiterBytes(delimiter);
    const future = this._beginRead<Buffer>("readUntil", callback, signal);
    if (this._readSlotFree()) return future;
    this._readDelimiter = bytes;
    this._readMaxBytes = maxBytes;
    return this._startRead(future);
  }

  /**
   * Reads through the end of the first match of `regex`, with all that precedes it. A string is the source of a pattern.
   *
   * The pattern meets bytes: byte 0xNN is the character U+00NN, nothing is decoded. It sees only what has arrived, so it must end in
   * something decisive: `/\d+/` may end after the first digit of a number. A match of nothing waits for one byte. The flags g and y are
   * ignored. Unlike Python's byte patterns, `\s` also matches 0xA0, `i` folds 0xC0-0xFE, `.` and multiline `^ $` take "\r" for the end of a
   * line, and `$` does not match before a final "\n".
   *
   * `maxBytes` as in {@link readUntil}. Tornado: `read_until_regex`.
   *
   * @returns a Future of the bytes; nothing when a callback is given, which then gets them
   * @throws as {@link readBytes}
   */
  readUntilRegex(regex: RegExp | string, options?: ReadUntilOptions): Future<Buffer>;
  readUntilRegex(regex: RegExp | string, callback: undefined | null, options?: ReadUntilOptions): Future<Buffer>;
  readUntilRegex(regex: RegExp | string, callback: StreamCallback, options?: ReadUntilOptions): void;
  readUntilRegex(regex: RegExp | string, callback?: unknown, options?: unknown): Future<Buffer> | void {
    const { maxBytes, signal } = readOptions("readUntilRegex", READ_UNTIL_KEYS, callback, options);
    const pattern = ownPattern(regex);
    const future = this._beginRead<Buffer>("readUntilRegex", callback, signal);
    if (this._readSlotFree()) return future;
    this._readRegex = pattern;
    this._readMaxBytes = maxBytes;
    return this._startRead(future);
  }

  /**
   * Reads all that is left, until the stream closes, whatever closes it; `error` then tells why. On a closed stream it gives what is unread.
   * With `streamingCallback` the bytes come in chunks and do not accumulate; there is no back-pressure then (for that, loop over
   * `readBytes(n, { partial: true })`).
   *
   * Tornado: `read_until_close`.
   *
   * @returns a Future of the bytes; nothing when a callback is given, which then gets them
   * @throws as {@link readBytes}, but no StreamClosedError unless an earlier read still waits
   */
  readUntilClose(options?: ReadUntilCloseOptions): Future<Buffer>;
  readUntilClose(callback: undefined | null, options?: ReadUntilCloseOptions): Future<Buffer>;
  readUntilClose(callback: StreamCallback, options?: ReadUntilCloseOptions): void;
  readUntilClose(callback?: unknown, options?: unknown): Future<Buffer> | void {
    const { streamingCallback, signal } = readOptions("readUntilClose", READ_UNTIL_CLOSE_KEYS, callback, options);
    const future = this._beginRead<Buffer>("readUntilClose", callback, signal);
    if (this._readSlotFree()) return future;
    this._streamingCallback = bindCallback("readUntilClose", streamingCallback);
    this._readUntilClose = true;
    if (this.closed()) {
      this._finishReadUntilClose();
      return future;
    }
    return this._startRead(future);
  }

  // ---- Writing ----

  /**
   * Writes `data`: tries at once, and queues what the kernel does not take. A string is taken as UTF-8, a view or an ArrayBuffer as its
   * bytes. The bytes are those at the call: the memory may be changed right after it. Futures complete in the order of the calls, each when
   * all bytes up to its own are taken by the kernel. While connecting, data are queued. Of writes that the kernel takes at once, one in 16 MiB
   * is done in the next iteration only, so that a program which awaits write after write gives the others their turn.
   *
   * A callback runs when the queue is empty. A later `write` with a callback takes the place of one that has not run.
   *
   * Tornado: `write`.
   *
   * @returns a Future; nothing when a callback is given
   * @throws TypeError for data or a callback of a wrong type
   * @throws StreamClosedError on a closed stream. That the other end has gone is never thrown: the stream closes and the Future fails
   * @throws StreamBufferFullError when more than `maxWriteBufferSize` bytes would wait; then none of `data` is queued
   */
  write(data: string | ArrayBufferView | ArrayBufferLike, callback?: null): Future<void>;
  write(data: string | ArrayBufferView | ArrayBufferLike, callback: () => unknown): void;
  write(data: unknown, callback?: unknown): Future<void> | void {
    const bytes = bytesOf(data);
    const bound = bindCallback("write", callback);
    this._checkClosed();
    const waiting = this._writeBuffer === undefined ? 0 : this._writeBuffer.length;
    if (this.maxWriteBufferSize !== undefined && bytes.length > 0 && waiting + bytes.length > this.maxWriteBufferSize) {
      throw new StreamBufferFullError(
        `Reached maximum write buffer size: ${bytes.length} more bytes on ${waiting} waiting, maxWriteBufferSize is ${this.maxWriteBufferSize}`,
      );
    }
    if (bound !== undefined) this._writeCallback = bound;
    let failure: { error: unknown } | undefined;
    let sent = 0;
    // While bytes wait, the kernel is full and an event will tell when it is not.
    if (!this._connecting && !this._writesWait()) {
      try {
        sent = this._writeInline(bytes);
      } catch (error) {
        failure = { error };
      }
      if (sent === bytes.length && failure === undefined) return this._writtenInline(sent, bound);
    }
    const future = this._queueWrite(bytes, sent, data, bound);
    if (failure !== undefined) {
      this._writeFailed(failure.error);
    } else if (!this._connecting) {
      this._addIoState(IOLoop.WRITE);
    }
    return future;
  }

  override writing(): boolean {
    return this._writeBuffer !== undefined;
  }

  /** A write may wait with no bytes: for a connection, or for the loop's turn. @internal */
  override _writesWait(): boolean {
    return this._writeBuffer !== undefined || this._writeFutures !== undefined;
  }

  /** Writes the caller's own memory as far as the kernel takes it; says how far. */
  private _writeInline(bytes: Buffer): number {
    const size = bytes.length;
    let sent = 0;
    while (sent < size) {
      const count = this._writeOnce(sent === 0 ? bytes : bytes.subarray(sent));
      if (count === 0) break;
      sent += count;
    }
    return sent;
  }

  /** All was taken at once: no Future has to be kept and no interest registered, unless it is the others' turn. */
  private _writtenInline(size: number, bound: UserCallback | undefined): Future<void> | undefined {
    // With a Future too: a callback of an earlier write in the same turn, for the queue is empty again.
    this._runWriteCallback();
    if (bound !== undefined) return undefined;
    this._maybeAddErrorListener();
    this._writtenInTurn += size;
    if (this._writtenInTurn > BYTES_PER_TURN) return this._writtenForThisTurn();
    const future = new Future<void>();
    future._scheduler = this.ioLoop;
    future.setResult(undefined);
    return future;
  }

  /** The Future of a write whose bytes are written and which is done in the next iteration. */
  private _writtenForThisTurn(): Future<void> {
    this._writtenInTurn = 0;
    this.ioLoop.spawnCallback(settleAfterTurn, this);
    return this._keepWriteFuture();
  }

  /** Queues what is left of a write behind what waits already, as bytes that nobody else can change (S88). */
  private _queueWrite(bytes: Buffer, sent: number, data: unknown, bound: UserCallback | undefined): Future<void> | undefined {
    const size = bytes.length - sent;
    if (size > 0) {
      this._writeBuffer ??= new _StreamBuffer();
      const rest = sent === 0 ? bytes : bytes.subarray(sent);
      // The bytes of a string are nobody else's already.
      this._writeBuffer.append(typeof data === "string" ? rest : Buffer.from(rest));
      this._totalWriteIndex += size;
    }
    return bound === undefined ? this._keepWriteFuture() : undefined;
  }

  /** A Future that is done when all bytes accepted until now are written. */
  private _keepWriteFuture(): Future<void> {
    const future = new WriteFuture(this.ioLoop, this._totalWriteIndex);
    (this._writeFutures ??= []).push(future);
    return future;
  }

  /** `writeToFd`, again after EINTR; 0 when the kernel takes nothing now. */
  private _writeOnce(data: Buffer): number {
    for (;;) {
      try {
        return this.writeToFd(data) ?? 0;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
        if (code === "EAGAIN" || code === "EWOULDBLOCK") return 0;
        if (code !== "EINTR") throw error;
      }
    }
  }

  /** A WRITE event: writes what waits until the kernel takes no more, then settles what is done. @internal */
  override _handleWrite(): void {
    const buffer = this._writeBuffer;
    if (buffer !== undefined) {
      try {
        while (buffer.length > 0) {
          const count = this._writeOnce(buffer.peek(buffer.length));
          if (count === 0) break;
          buffer.advance(count);
          this._totalWriteDoneIndex += count;
        }
      } catch (error) {
        this._writeFailed(error);
        return;
      }
      if (buffer.length === 0) this._writeBuffer = undefined;
    }
    this._settleWrites();
    if (this._writeBuffer === undefined) this._runWriteCallback();
  }

  /** Completes, in order, the futures whose bytes are all written. @internal */
  _settleWrites(): void {
    const futures = this._writeFutures;
    if (futures === undefined) return;
    let done = this._writeFuturesDone;
    for (; done < futures.length; done++) {
      const future = futures[done] as WriteFuture;
      if (future.end > this._totalWriteDoneIndex) break;
      // A cancelled one withdraws nothing (S200).
      if (!future.done()) future.setResult(undefined);
    }
    if (done === futures.length) {
      this._writeFutures = undefined;
      this._writeFuturesDone = this._totalWriteIndex = this._totalWriteDoneIndex = 0;
    } else if (done * 2 > futures.length) {
      futures.splice(0, done);
      this._writeFuturesDone = 0;
    } else {
      this._writeFuturesDone = done;
    }
  }

  private _runWriteCallback(): void {
    const callback = this._writeCallback;
    if (callback === undefined) return;
    this._writeCallback = undefined;
    this._runCallback(callback);
  }

  /** A write call has failed: the stream closes, which fails the futures. */
  private _writeFailed(error: unknown): void {
    // That the other end has gone is the ordinary end of a connection, and no log line.
    if (!this._isConnreset(error)) generalLog.warn(`Write error on ${this.fileno()}`, error);
    this._closeWith(error);
  }

  override _failOperations(): void {
    // One may be waiting for its turn with its bytes written.
    this._settleWrites();
    super._failOperations();
    const futures = this._writeFutures;
    const done = this._writeFuturesDone;
    this._writeCallback = this._writeBuffer = this._writeFutures = undefined;
    this._writeFuturesDone = 0;
    if (futures === undefined) return;
    for (let i = done; i < futures.length; i++) {
      const future = futures[i] as WriteFuture;
      if (!future.done()) future._fail(this._closedError());
    }
  }

  override _closeWith(error: unknown): void {
    super._closeWith(error);
    // Even while the futures wait for callbacks that are scheduled: the data need not (S186).
    this._writeBuffer = undefined;
  }

  // ---- As something else ----

  /**
   * The stream in chunks, for `for await`: each step is `readBytes(size, { partial: true })`, nothing is read ahead. A plain close ends the
   * loop after the received bytes; a close with an error throws the `StreamClosedError` after them. `break` leaves the stream open.
   *
   * @param options - `size`: the most bytes of a chunk, `readChunkSize` without it; `signal`: ends the loop by throwing its reason
   * @throws TypeError, RangeError for wrong options
   */
  chunks(options?: ChunkOptions): AsyncIterableIterator<Buffer> {
    return chunksOf(this, options);
  }

  /** `chunks()`: `for await (const chunk of stream)`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Buffer> {
    return this.chunks();
  }

  /**
   * The stream as a Node Duplex, for `pipeline()` or as a connection of `node:http`. The Duplex reads when its consumer does and says a write is done when the
   * kernel has taken it; `end()` shuts down the sending side once everything is written (a pipe closes), `destroy(error)` closes the
   * stream with the error. While it has a read waiting, a direct read throws "Already reading".
   */
  toDuplex(): Duplex {
    return toDuplex(this);
  }

  /**
   * The stream as a pair of web streams. `readable` is a byte stream, whose BYOB readers have their own memory filled; `cancel()` and `abort()` close
   * the stream. While it has a read waiting, a direct read throws "Already reading".
   */
  toWeb(): WebStreams {
    return toWeb(this);
  }

  /**
   * Ends the sending direction once nothing waits to be written. A stream that cannot do so by itself closes.
   *
   * @internal
   */
  _shutdownWrite(): void {
    this.close();
  }
}

/**
 * Runs in the next iteration. The code that awaits the write goes on when that is over, so until then the write waits: while one does, the other end's
 * having stopped to send does not close the stream (S188).
 */
function settleAfterTurn(stream: BaseIOStream): void {
  queueMicrotask(() => stream._settleWrites());
}
