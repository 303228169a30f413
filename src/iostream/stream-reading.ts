/**
 * The reading half of a stream: the slot of the one read that waits, and the steps by which received bytes reach it.
 *
 * One read waits at a time, and what it waits for stands in fields of the stream, as in the annotated source: an idle stream owns no
 * object for it, no buffer and no closure. Depends on `stream-core.ts`, the read buffer and `gen` (abort signals).
 */
import { Buffer } from "node:buffer";
import { type AbortSubscription, abortReason, subscribeToAbort } from "../gen/index.js";
import { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { generalLog } from "../log.js";
import { show } from "./arguments.js";
import { StreamBufferFullError, UnsatisfiableReadError } from "./errors.js";
import { EMPTY, ReadBuffer, ScratchBuffer } from "./read-buffer.js";
import { StreamCore } from "./stream-core.js";
import { bindCallback, UserCallback } from "./user-callback.js";

const { READ, ERROR } = IOLoop;

/**
 * How many read calls with data a stream makes between two polls. More come at the next poll, so that a sender who never pauses leaves the
 * thread to others, also when a program awaits read after read, which no poll interrupts (S133, S208). Four full chunks are 256 KiB: taking
 * them costs some 60 µs, against which the 2 µs of an iteration do not count.
 */
const CHUNKS_PER_POLL = 4;

/** Larger chunks than this are not read at once, whatever `readChunkSize` says: the scratch buffer lives as long as the thread. */
const LARGEST_CHUNK = 1 << 20;

/** Made at the first read of the thread. */
let scratch: ScratchBuffer | undefined;

/** The Future of a read: `cancel()` withdraws the read (S193). */
class ReadFuture<T> extends Future<T> {
  readonly #stream: StreamReading;

  constructor(stream: StreamReading) {
    super();
    // Its done callbacks belong to the stream's loop, whichever is current (S112).
    this._scheduler = stream.ioLoop;
    this.#stream = stream;
  }

  override _onCancel(): void {
    this.#stream._withdrawRead(this);
  }
}

function settle(future: Future<unknown>, result: unknown): void {
  if (!future.done()) future.setResult(result);
}

/** See `base-iostream.ts` for the class that users know. */
export abstract class StreamReading extends StreamCore {
  /** Bytes received and not read; none while there are none. During a pass it may be the thread's scratch buffer. @internal */
  _readBuffer: ReadBuffer | undefined = undefined;
  /** @internal */
  _readCallback: UserCallback | undefined = undefined;
  /** @internal */
  _readFuture: Future<unknown> | undefined = undefined;
  /** @internal */
  _streamingCallback: UserCallback | undefined = undefined;
  /** @internal */
  _readBytes: number | undefined = undefined;
  /** @internal */
  _readPartial = false;
  /** @internal */
  _readDelimiter: Buffer | undefined = undefined;
  /** @internal */
  _readRegex: RegExp | undefined = undefined;
  /** @internal */
  _readMaxBytes: number | undefined = undefined;
  /** @internal */
  _readUntilClose = false;
  /** The caller's memory of a `readInto`; `_readBytes` is its length when the read began. @internal */
  _readTarget: Uint8Array | undefined = undefined;
  /** How many bytes a read call has put straight into the target, if that completed the read. @internal */
  _readTargetFilled = 0;
  /** A chunk has been handed to the streaming callback. @internal */
  _streamed = false;
  /** How many unread bytes are known not to hold the beginning of the delimiter. @internal */
  _searched = 0;
  /** The waiting read's place with its abort signal. @internal */
  _readAbort: AbortSubscription | undefined = undefined;
  /** The last read call took all there was, and no event has come since. @internal */
  _dry = false;
  /** The last event told of an error or a hang-up. @internal */
  _hungUp = false;
  /** Read calls with data left until the next poll. @internal */
  _chunksLeft = CHUNKS_PER_POLL;

  // ---- What a subclass provides ----

  /**
   * One read call into `buf`, which has room for at least one byte and belongs to the caller: how many bytes came, `undefined` when there
   * is nothing to read, 0 at end of file. What it throws closes the stream.
   */
  abstract readFromFd(buf: Uint8Array): number | undefined;

  /**
   * Whether a read call that brought less than there was room for has emptied the descriptor, as with stream sockets and pipes (epoll(7),
   * question 9). It saves the second read call, the one that would only meet EAGAIN: a fifth of a small message's cost.
   *
   * @internal
   */
  _shortReadMeansDry(): boolean {
    return false;
  }

  // ---- State ----

  override reading(): boolean {
    return this._readFuture !== undefined || this._readCallback !== undefined;
  }

  /** How many bytes are received and not read. @internal */
  get _readBufferSize(): number {
    return this._readBuffer === undefined ? 0 : this._readBuffer.length;
  }

  // ---- The read slot ----

  /**
   * Takes the read slot, unless `signal` is aborted: then nothing starts, the slot stays free and the Future has failed (S198).
   *
   * @internal
   */
  _beginRead<T>(method: string, callback: unknown, signal: AbortSignal | undefined): Future<T> | undefined {
    const bound = typeof callback === "object" ? undefined : bindCallback(method, callback);
    if (signal?.aborted === true) {
      if (bound !== undefined) return undefined;
      const future = new ReadFuture<T>(this);
      future._fail(abortReason(signal));
      return future;
    }
    const future = this._setReadCallback<T>(bound);
    if (signal !== undefined) this._readAbort = subscribeToAbort(signal, this);
    return future;
  }

  /**
   * Takes the read slot for a callback, or for the Future that it returns.
   *
   * @throws StreamClosedError when a read waits whose failure is under way; Error "Already reading" when one waits otherwise
   * @internal
   */
  _setReadCallback<T>(callback: UserCallback | undefined): Future<T> | undefined {
    if (!this._readSlotFree()) {
      this._checkClosed();
      throw new Error("Already reading: one read can wait at a time, so await it, or withdraw it with cancel() on its Future");
    }
    if (callback !== undefined) {
      this._readCallback = callback;
      return undefined;
    }
    const future = new ReadFuture<T>(this);
    this._readFuture = future;
    return future;
  }

  /** @internal */
  _readSlotFree(): boolean {
    return this._readFuture === undefined && this._readCallback === undefined;
  }

  /** Frees the read slot; whoever waits in it has been told, or is now. @internal */
  _clearRead(): void {
    this._readCallback = this._readFuture = this._streamingCallback = undefined;
    this._readBytes = this._readDelimiter = this._readRegex = this._readMaxBytes = this._readTarget = undefined;
    this._readPartial = this._readUntilClose = this._streamed = false;
    this._readTargetFilled = this._searched = 0;
    if (this._readAbort !== undefined) {
      this._readAbort.leave();
      this._readAbort = undefined;
    }
  }

  /** Has the read in the slot tried at once, and answers the call. @internal */
  _startRead<T>(future: Future<T> | undefined): Future<T> | undefined {
    try {
      this._tryInlineRead();
    } catch (error) {
      if (error instanceof UnsatisfiableReadError) {
        this._unsatisfiable(error);
      } else {
        // What the call throws is nobody else's to hear: the slot is free before the stream closes (S66, S69).
        this._clearRead();
        this._closeWith(error);
        throw error;
      }
    }
    return future;
  }

  /** The waiting read has been cancelled: every byte stays for the next one (S194). @internal */
  _withdrawRead(future: Future<unknown>): void {
    if (this._readFuture !== future) return;
    this._clearRead();
    this._updateIoState(0);
  }

  /** The waiting read's signal has aborted. @internal */
  _aborted(reason: unknown): void {
    const future = this._readFuture;
    this._clearRead();
    future?._fail(reason);
    this._updateIoState(0);
  }

  // ---- The steps ----

  override _noticeEvents(events: number): void {
    this._dry = false;
    this._hungUp = (events & ERROR) !== 0;
    this._chunksLeft = CHUNKS_PER_POLL;
  }

  override _mayReadMore(): boolean {
    return this.reading() && !this._dry;
  }

  /** A READ event: reads, and completes the waiting read if it can be. @internal */
  override _handleRead(): void {
    try {
      let position: number | undefined;
      try {
        position = this._readToBufferLoop();
      } catch (error) {
        if (error instanceof UnsatisfiableReadError) throw error;
        generalLog.warn("error on read", error);
        // Not what a read to the end of the stream may take for its end (S60).
        if (error instanceof StreamBufferFullError) this._readUntilClose = false;
        this._closeWith(error);
        return;
      }
      if (position === undefined) this._maybeRunCloseCallback();
      else this._readFromBuffer(position);
    } finally {
      this._keepReadBuffer();
    }
  }

  /** A new read: out of the buffer, else off the descriptor, else by listening for READ. @internal */
  _tryInlineRead(): void {
    try {
      this._runStreamingCallback();
      let position = this._findReadPos();
      if (position === undefined) {
        this._checkClosed();
        // Served after connecting (S100).
        if (this._connecting) return;
        if (this._worthTrying()) position = this._readToBufferLoop();
      }
      if (position !== undefined) this._readFromBuffer(position);
      else if (this.closed()) this._maybeRunCloseCallback();
      else this._addIoState(READ);
    } finally {
      this._keepReadBuffer();
    }
  }

  /**
   * Whether a read call now may bring something: not when the last one emptied the descriptor and no event has come since, for if more has
   * come meanwhile, asking for READ brings an event. In a dialogue that is every read, and a read call less for each message. A stream that
   * is not registered is told of nothing, so it tries.
   *
   * @internal
   */
  _worthTrying(): boolean {
    return this._chunksLeft > 0 && !(this._dry && this._state !== undefined);
  }

  /**
   * Reads until there is nothing more, until the waiting read can be completed, or until it is the others' turn.
   *
   * @returns where the waiting read ends in the buffer; `undefined` if it has to wait on
   * @throws what the read call or the search throws
   * @internal
   */
  _readToBufferLoop(): number | undefined {
    // Nobody reads: one chunk, to see whether the other end has closed. More would be reading ahead of the program (S123), and the end
    // itself is not wanted before what waits is written: the other end may only have stopped sending (S188).
    if (!this.reading() && (this._readBufferSize > 0 || this._writesWait())) return undefined;
    // As if a callback were pending, so that end of file in the middle does not run the close callback before the read is completed.
    this._pendingCallbacks++;
    try {
      for (let searchAt = 0; ;) {
        const count = this._readToBuffer();
        const more = count !== undefined && count > 0;
        if (more) {
          this._chunksLeft--;
          this._runStreamingCallback();
        }
        const goOn = more && !this._dry && this._chunksLeft > 0 && this.reading();
        const size = this._readBufferSize;
        // A pattern has to be searched for from the start each time, so within a pass only when the buffer has doubled, and at the end.
        if (!goOn || this._readRegex === undefined || size >= searchAt || size > this.maxBufferSize) {
          const position = this._findReadPos();
          if (position !== undefined) return position;
          if (size > this._bufferLimit() && !this.closed()) throw this._bufferFull();
          if (!goOn) return undefined;
          searchAt = size * 2;
        }
      }
    } finally {
      this._pendingCallbacks--;
    }
  }

  /**
   * One read call. End of file closes the stream, and so does a reset, quietly: its error is in `error` for those who care.
   *
   * @returns how many bytes came; `undefined` if there is nothing to read, 0 or `undefined` when the stream has closed
   * @throws any other error of the read call; the caller closes the stream with it
   * @internal
   */
  _readToBuffer(): number | undefined {
    let count: number | undefined;
    try {
      count = this._readOnce();
    } catch (error) {
      if (!this._isConnreset(error)) throw error;
      this._closeWith(error);
      return undefined;
    }
    if (count === undefined) this._dry = true;
    else if (count === 0) this._closeWith(undefined);
    return count;
  }

  /** The read call itself, to the place where its bytes belong: the caller's memory, the end of a large buffer, else the scratch buffer. */
  private _readOnce(): number | undefined {
    const buffer = this._keepReadBuffer();
    const target = this._readTarget;
    if (target !== undefined && buffer === undefined && target.length === this._readBytes) return this._readToTarget(target);
    // One byte more than is allowed shows that the limit is passed, whatever the sizes of arrivals (S132).
    const size = Math.min(this.readChunkSize, LARGEST_CHUNK, this._bufferLimit() + 1 - this._readBufferSize);
    if (size <= 0) throw this._bufferFull();
    if (buffer !== undefined && buffer.length >= size) {
      // A long read: straight to the end of what is there, for a copy of 64 KB costs 5 µs.
      const memory = buffer.reserve(size);
      const count = this._readDescriptor(memory.subarray(buffer.end, buffer.end + size));
      if (count !== undefined) buffer.filled(count);
      return count;
    }
    scratch ??= new ScratchBuffer();
    const memory = scratch.lend(size);
    const count = this._readDescriptor(memory);
    if (count === undefined || count === 0) return count;
    if (buffer !== undefined) buffer.append(memory, count);
    else this._readBuffer = scratch.hold(count);
    return count;
  }

  /** The read call of a `readInto` with nothing in the buffer: straight into the caller's memory. */
  private _readToTarget(target: Uint8Array): number | undefined {
    const count = this._readDescriptor(target);
    if (count === undefined || count === 0) return count;
    if (count === target.length || this._readPartial) {
      this._readTargetFilled = count;
    } else {
      // Not all: from here on the bytes collect in the buffer, where they stay whatever becomes of the read and of the caller's memory
      // (S50, S51).
      const buffer = new ReadBuffer(Buffer.allocUnsafe(target.length));
      buffer.memory.set(target.subarray(0, count));
      buffer.filled(count);
      this._readBuffer = buffer;
    }
    return count;
  }

  /** `readFromFd`, again after EINTR; notices whether the descriptor is dry. */
  private _readDescriptor(memory: Uint8Array): number | undefined {
    for (;;) {
      try {
        const count = this.readFromFd(memory);
        // After a hang-up there may be an error or the end behind the last bytes, and a waiting read is to meet it.
        if (count !== undefined && count < memory.length && this._shortReadMeansDry() && !this._hungUp) this._dry = true;
        return count;
      } catch (error) {
        if ((error as NodeJS.ErrnoException | undefined)?.code !== "EINTR") throw error;
      }
    }
  }

  /** How many bytes the buffer may hold for the waiting read. What is on its way into a caller's memory does not count (S52). */
  private _bufferLimit(): number {
    return this._readTarget === undefined ? this.maxBufferSize : Math.max(this.maxBufferSize, this._readBytes ?? 0);
  }

  private _bufferFull(): StreamBufferFullError {
    generalLog.error("Reached maximum read buffer size");
    return new StreamBufferFullError(
      `Reached maximum read buffer size: ${this._readBufferSize} bytes have come, maxBufferSize is ${this.maxBufferSize}`,
    );
  }

  /** Whether an error of the descriptor means that the other end is gone, which happens and is not worth a log line. @internal */
  _isConnreset(error: unknown): boolean {
    const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
    return code === "ECONNRESET" || code === "ECONNABORTED" || code === "EPIPE" || code === "ETIMEDOUT";
  }

  /** Gives what is left in the scratch buffer memory of its own, at the end of a pass and before the next read call. */
  private _keepReadBuffer(): ReadBuffer | undefined {
    const buffer = this._readBuffer;
    if (buffer !== undefined && buffer === scratch) {
      this._readBuffer = buffer.length === 0 ? undefined : scratch.keep();
    }
    return this._readBuffer;
  }

  /**
   * Where the waiting read would end in the buffer.
   *
   * @returns `undefined` if it cannot be completed yet, or none waits
   * @throws UnsatisfiableReadError when it never can
   * @internal
   */
  _findReadPos(): number | undefined {
    const size = this._readBufferSize;
    if (this._readDelimiter !== undefined) return this._findDelimiter(this._readDelimiter, size);
    if (this._readBytes !== undefined) {
      if (this._readTarget !== undefined) {
        if (this._readTargetFilled > 0) return this._readTargetFilled;
        // Its memory is gone: the read ends here, without it.
        if (this._readTarget.length !== this._readBytes) return 0;
      }
      if (size >= this._readBytes || (this._readPartial && size > 0)) return Math.min(this._readBytes, size);
    } else if (this._readRegex !== undefined && size > 0) {
      const end = this._readBuffer?.match(this._readRegex) ?? -1;
      this._checkMaxBytes(this._readRegex, end === -1 ? size : end);
      if (end !== -1) return end;
    }
    return undefined;
  }

  private _findDelimiter(delimiter: Buffer, size: number): number | undefined {
    if (this._readBuffer === undefined) return undefined;
    const found = this._readBuffer.find(delimiter, this._searched);
    if (found === -1) {
      this._checkMaxBytes(delimiter, size);
      // The next search begins where a delimiter may have begun: nothing is searched twice but its own length (S36).
      this._searched = Math.max(0, size - delimiter.length + 1);
      return undefined;
    }
    const end = found + delimiter.length;
    this._checkMaxBytes(delimiter, end);
    return end;
  }

  /**
   * @throws UnsatisfiableReadError when `size` is more than the waiting read's `maxBytes`
   * @internal
   */
  _checkMaxBytes(what: Buffer | RegExp, size: number): void {
    if (this._readMaxBytes === undefined || size <= this._readMaxBytes) return;
    const name = Buffer.isBuffer(what) ? `delimiter ${show(what.toString("latin1"))}` : String(what);
    throw new UnsatisfiableReadError(`${name} not found within ${this._readMaxBytes} bytes: raise maxBytes if longer data are legitimate`);
  }

  /** Completes the waiting read with the first `position` bytes. @internal */
  _readFromBuffer(position: number): void {
    this._runReadCallback(position, false);
  }

  /** Delivers a streamed piece, or the final result, which frees the slot. @internal */
  _runReadCallback(size: number, streaming: boolean): void {
    if (streaming) {
      if (this._streamingCallback === undefined) return;
      this._streamed = true;
      this._runCallback(this._streamingCallback, this._consume(size));
      return;
    }
    const { _readFuture: future, _readCallback: callback, _readTarget: target, _readBytes: length } = this;
    if (target !== undefined && target.length !== length) {
      this._clearRead();
      future?._fail(
        new TypeError(
          `buf has ${target.length} bytes and had ${String(length)} when the read began: leave its memory alone while it waits`,
        ),
      );
      this._maybeAddErrorListener();
      return;
    }
    const result = target === undefined ? this._consume(size) : this._consumeInto(target, size);
    const streamed = this._streamed;
    this._clearRead();
    if (future !== undefined) {
      if (!streamed) future.setResult(result);
      // Code that awaits goes on before the loop's callbacks do, and here it is to come after those of the chunks (S55).
      else this._runCallback(new UserCallback(settle), future, result);
    }
    if (callback !== undefined) this._runCallback(callback, result);
    // With a callback this is done after it has run, for it may start the next read.
    else this._maybeAddErrorListener();
  }

  /** Hands out what is there, if the waiting read streams. @internal */
  _runStreamingCallback(): void {
    if (this._streamingCallback === undefined) return;
    let size = this._readBufferSize;
    if (this._readBytes !== undefined) {
      size = Math.min(size, this._readBytes);
      this._readBytes -= size;
    }
    if (size > 0) this._runReadCallback(size, true);
  }

  /** Cuts the first `loc` unread bytes off and gives them away. @internal */
  _consume(loc: number): Buffer {
    const buffer = this._readBuffer;
    if (loc === 0 || buffer === undefined) return EMPTY;
    const result = buffer.consume(loc);
    if (buffer.length === 0) this._readBuffer = undefined;
    return result;
  }

  /** Cuts `count` bytes off and stores them in the caller's memory, unless a read call has put them there itself. */
  private _consumeInto(target: Uint8Array, count: number): number {
    const buffer = this._readBuffer;
    if (this._readTargetFilled > 0 || buffer === undefined) return count;
    buffer.consumeInto(count === target.length ? target : target.subarray(0, count));
    if (buffer.length === 0) this._readBuffer = undefined;
    return count;
  }

  override _finishReadUntilClose(): void {
    if (!this._readUntilClose) return;
    this._runStreamingCallback();
    this._runReadCallback(this._readBufferSize, false);
  }

  override _failOperations(): void {
    const future = this._readFuture;
    if (this._readSlotFree()) return;
    this._clearRead();
    future?._fail(this._closedError());
  }
}
