/**
 * What every stream has, whichever way the bytes go: its state, the one entry for events of the loop, the interest it registers, its user
 * callbacks and its end. Reading stands on it (`stream-reading.ts`), writing on that (`base-iostream.ts`).
 *
 * The steps have the names and the order of the annotated Tornado source. Depends on `ioloop`, on `concurrent` and on the log.
 */
import { IOLoop, type QueuedCallback } from "../ioloop/index.js";
import { applicationLog, generalLog } from "../log.js";
import { constructing } from "../names.js";
import { checkCount, checkKeys, show } from "./arguments.js";
import { StreamClosedError, UnsatisfiableReadError } from "./errors.js";
import { bindCallback, type UserCallback } from "./user-callback.js";

/** What `setCloseCallback` takes. */
export type CloseCallback = () => unknown;

/** What the constructors of streams take. */
export interface StreamOptions {
  /** The most bytes the stream holds for a read; 0 or nothing means 104857600. */
  maxBufferSize?: number | undefined;
  /** The most bytes of one read call; 0 or nothing means 65536. At most half of `maxBufferSize`. */
  readChunkSize?: number | undefined;
  /** The most bytes that may wait to be written; unlimited without it. */
  maxWriteBufferSize?: number | undefined;
  /** The loop of the stream; the current one without it. (Tornado until 4.x.) */
  ioLoop?: IOLoop | undefined;
}

/** The keys of {@link StreamOptions}, for subclasses that take more. */
export const STREAM_OPTION_KEYS: readonly string[] = ["maxBufferSize", "readChunkSize", "maxWriteBufferSize", "ioLoop"];

const { READ, WRITE, ERROR } = IOLoop;
/** The hang-up bit of ERROR: the other end is gone, though what it has sent may still be unread. */
export const HANG_UP: number = IOLoop._EPOLLHUP;

/** See `base-iostream.ts` for the class that users know. */
export abstract class StreamCore {
  /** The loop this stream belongs to; never changes. */
  readonly ioLoop: IOLoop;
  /** The most bytes the stream holds for a read. */
  readonly maxBufferSize: number;
  /** The most bytes of one read call. */
  readonly readChunkSize: number;
  /** The most bytes that may wait to be written; `undefined` for no limit. */
  readonly maxWriteBufferSize: number | undefined;
  /** Why the stream closed; `undefined` while it is open, and after a plain end of file or `close()`. */
  error: Error | undefined = undefined;

  /** The interest registered with the loop; `undefined` when there is no registration. @internal */
  _state: number | undefined = undefined;
  /** Between `connect()` and the end of connecting. @internal */
  _connecting = false;
  /** User callbacks scheduled and not run; while there are any, the close callback waits. @internal */
  _pendingCallbacks = 0;
  /** @internal */
  _closed = false;
  /** @internal */
  _closeCallback: UserCallback | undefined = undefined;
  /** What a conversion (`toDuplex`, `toWeb`) wants to be told; the user's close callback is not its to take (S206). @internal */
  _closeListener: (() => void) | undefined = undefined;

  /**
   * @throws TypeError when `options` has an unknown key or a value of a wrong type
   * @throws RangeError when a size is no count of bytes
   */
  constructor(options: StreamOptions | undefined, keys: readonly string[] = STREAM_OPTION_KEYS) {
    constructing(new.target);
    if (options !== undefined) checkKeys(`new ${new.target.name}()`, keys, options);
    const { maxBufferSize = 0, readChunkSize = 0, maxWriteBufferSize, ioLoop } = options ?? {};
    checkCount("maxBufferSize", maxBufferSize);
    checkCount("readChunkSize", readChunkSize);
    if (maxWriteBufferSize !== undefined) checkCount("maxWriteBufferSize", maxWriteBufferSize);
    if (ioLoop !== undefined && typeof (ioLoop as Partial<IOLoop> | null)?.addHandler !== "function") {
      throw new TypeError(`ioLoop is ${show(ioLoop)}: pass an IOLoop, or leave it out for the current one`);
    }
    this.ioLoop = ioLoop ?? IOLoop.current();
    this.maxBufferSize = maxBufferSize || 104857600;
    // A chunk near the size of the buffer could overflow it without need. At least 1: a chunk of 0 would look like end of file.
    this.readChunkSize = Math.max(1, Math.min(readChunkSize || 65536, Math.floor(this.maxBufferSize / 2)));
    this.maxWriteBufferSize = maxWriteBufferSize;
  }

  // ---- What a subclass provides ----

  /** The descriptor, -1 once closed. */
  abstract fileno(): number;

  /** Closes the descriptor. The base class calls it, once; everybody else calls `close()`. */
  abstract closeFd(): void;

  /** What is wrong with the descriptor, asked when the loop has reported an error; `undefined` when nothing is known. */
  getFdError(): Error | undefined {
    return undefined;
  }

  // ---- State ----

  /** Whether a read waits. */
  abstract reading(): boolean;

  /** Whether bytes wait to be written. */
  abstract writing(): boolean;

  /** Whether the stream is closed. */
  closed(): boolean {
    return this._closed;
  }

  /** Whether a write has to queue up behind others. @internal */
  abstract _writesWait(): boolean;

  /** @internal */
  abstract get _readBufferSize(): number;

  /**
   * Switches Nagle's algorithm off (`true`) or on, for TCP; elsewhere, and on a closed stream, it does nothing.
   */
  setNodelay(_value: boolean): void {
    // Only TCP has it.
  }

  // ---- The end ----

  /**
   * Runs `callback` once, without arguments, when the stream has closed, whatever closed it, and after the callbacks and awaiting code of operations that had
   * completed or that the closing fails. A later call replaces it; without a callback it is removed. On a closed stream it is scheduled at once.
   *
   * With a close callback an idle stream notices that the other end is gone. Three limits: while nobody reads, at most one chunk is taken and
   * what follows it, the end included, is seen when that is read; without a close callback, and before the first wait, the end is noticed by the
   * next operation; while only writing, when the writes are through.
   *
   * @throws TypeError when `callback` is no function
   */
  setCloseCallback(callback?: CloseCallback | null): void {
    this._closeCallback = bindCallback("setCloseCallback", callback);
    this._maybeAddErrorListener();
  }

  /**
   * Closes the stream now. Bytes that wait to be written are dropped, operations under way fail with `StreamClosedError`; received
   * bytes stay readable. If bytes are unread in the kernel, the kernel tells the other end by a reset. Calling again does nothing.
   *
   * @param excInfo - an error, or `[type, error, traceback]` as Python has it, becomes `error`; `true` and `false` mean nothing here
   * @throws TypeError for anything else
   */
  close(excInfo?: boolean | Error | readonly [unknown, Error, unknown?]): void {
    this._closeWith(errorOf(excInfo));
  }

  /** `close()`, so that `using stream = ...` closes on every way out of the block. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Has a conversion told when the stream has closed and its operations have failed; at once if it has. @internal */
  _onClosed(listener: () => void): void {
    const earlier = this._closeListener;
    this._closeListener =
      earlier === undefined
        ? listener
        : () => {
            earlier();
            listener();
          };
    this._maybeAddErrorListener();
  }

  /** `close()` with whatever was thrown. @internal */
  _closeWith(error: unknown): void {
    if (!this.closed()) {
      if (error !== undefined) this.error = error as Error;
      this._closed = true;
      // Held back until the descriptor is closed: a read that completes here must not let the close callback go first.
      this._pendingCallbacks++;
      try {
        this._finishReadUntilClose();
        if (this._state !== undefined) {
          this._state = undefined;
          this.ioLoop.removeHandler(this.fileno());
        }
        this.closeFd();
      } catch (failure) {
        // A descriptor that was closed behind the stream: what closed the stream in the first place says more (S71).
        this.error ??= failure as Error;
      } finally {
        this._pendingCallbacks--;
      }
    }
    this._maybeRunCloseCallback();
  }

  /** A read that runs to the end of the stream is at its end. @internal */
  abstract _finishReadUntilClose(): void;

  /** Once closed and with no callback pending: fails what is under way, then schedules the close callback. @internal */
  _maybeRunCloseCallback(): void {
    if (!this.closed() || this._pendingCallbacks !== 0) return;
    this._failOperations();
    if (this._closeListener !== undefined) {
      const listener = this._closeListener;
      this._closeListener = undefined;
      listener();
    }
    if (this._closeCallback !== undefined) {
      const callback = this._closeCallback;
      this._closeCallback = undefined;
      this._runCallback(callback);
    }
  }

  /** Fails the futures of all operations under way, in the order read, writes, connect, and drops their callbacks. @internal */
  abstract _failOperations(): void;

  /** What an operation fails with when the stream has closed; each gets an object of its own (S112). @internal */
  _closedError(): StreamClosedError {
    return new StreamClosedError(this.error);
  }

  /**
   * @throws StreamClosedError if the stream is closed
   * @internal
   */
  _checkClosed(): void {
    if (this.closed()) throw this._closedError();
  }

  // ---- User callbacks ----

  /** Schedules a user's callback: none ever runs inside the call or the event that completed its operation (S73). @internal */
  _runCallback(callback: UserCallback, ...args: unknown[]): void {
    this._pendingCallbacks++;
    this.ioLoop._spawnRunnable(new ScheduledCallback(this, callback, args));
  }

  // ---- Events ----

  /**
   * The one entry from the loop: connect, READ, WRITE, ERROR, with a closed check between, then the interest anew.
   *
   * @internal
   */
  _handleEvents(fd: number, events: number): void {
    if (this.closed()) {
      generalLog.warn(`Got events for closed stream ${fd}`);
      return;
    }
    try {
      this._noticeEvents(events);
      if (this._connecting) this._handleConnect();
      if (this.closed()) return;
      // A hang-up may be all that tells of the end of file: a pipe's reading end reports it without READ (S142).
      if (events & (READ | HANG_UP)) this._handleRead();
      if (this.closed()) return;
      // A full pipe whose reader has gone reports the error without WRITE: the write call says which error it is (S180).
      if (events & WRITE || (events & ERROR && this.writing())) this._handleWrite();
      if (this.closed()) return;
      if (events & ERROR && this._handleError(events)) return;
      this._updateIoState(events);
    } catch (error) {
      if (error instanceof UnsatisfiableReadError) {
        this._unsatisfiable(error);
        return;
      }
      generalLog.error("Uncaught exception, closing connection.", error);
      this._closeWith(error);
      throw error;
    }
  }

  /** Tells the reading side that the descriptor's state is new. @internal */
  abstract _noticeEvents(events: number): void;

  /** @internal */
  abstract _handleRead(): void;

  /** @internal */
  abstract _handleWrite(): void;

  /** @internal */
  _handleConnect(): void {
    this._connecting = false;
  }

  /**
   * The ERROR step: says whether the stream is about to close.
   *
   * A hang-up alone is no error: what the other end sent last may be unread (S143). 1.x closed at once, with all that was in the kernel.
   *
   * @internal
   */
  _handleError(events: number): boolean {
    // A waiting read is first given what the kernel still has; the read call that finds nothing more meets the error itself (S141).
    if (this._mayReadMore()) return false;
    const error = this.getFdError();
    if (error === undefined && !this._errorEndsStream(events)) return false;
    this.error = error;
    // Scheduled: callbacks that the READ and WRITE steps have queued run first.
    this.ioLoop.addCallback(closeStream, this);
    return true;
  }

  /** Whether a read waits and the descriptor has not been found dry. @internal */
  abstract _mayReadMore(): boolean;

  /** Whether a reported error of which `getFdError()` knows nothing ends the stream. @internal */
  _errorEndsStream(events: number): boolean {
    return (events & IOLoop._EPOLLERR) !== 0;
  }

  /** Logs and closes: what to do with a read that can no longer succeed, met in an event or in the call. @internal */
  _unsatisfiable(error: UnsatisfiableReadError): void {
    generalLog.info(`Unsatisfiable read, closing connection: ${error.message}`);
    this._closeWith(error);
  }

  // ---- Interest ----

  /** Asks for what the stream waits for now; the loop hears of it only when that has changed. @internal */
  _updateIoState(events: number): void {
    if (this._state === undefined) return;
    let state = ERROR;
    if (this.reading()) state |= READ;
    if (this.writing() || this._connecting) state |= WRITE;
    // An idle stream listens for READ too: that is how it sees the other end close. With unread bytes it does not, for the end
    // comes after them.
    if (state === ERROR && this._readBufferSize === 0) state |= READ;
    if (state === ERROR && events & HANG_UP) {
      // A hang-up cannot be masked: while nobody reads, the descriptor would be reported in every iteration (S143).
      this._state = undefined;
      this.ioLoop.removeHandler(this.fileno());
    } else if (state !== this._state) {
      this._state = state;
      this.ioLoop.updateHandler(this.fileno(), state);
    }
  }

  /**
   * Adds a bit to the interest; registers the stream if this is its first. An operation that completes at once never gets here, so a
   * stream of which all operations do costs no poller call.
   *
   * @throws SystemError EPERM for a descriptor that cannot be waited for, such as a regular file: the stream closes with it (S191)
   * @internal
   */
  _addIoState(state: number): void {
    if (this.closed()) return;
    if (this._state === undefined) {
      this._state = ERROR | state;
      try {
        this.ioLoop._addBareHandler(this, dispatch, this._state);
      } catch (error) {
        this._state = undefined;
        this._closeWith(error);
        throw error;
      }
    } else if (!(this._state & state)) {
      this._state |= state;
      this.ioLoop.updateHandler(this.fileno(), this._state);
    }
  }

  /**
   * Has an idle stream with a close callback listen for the other end's close. Only now and not when it is made, because mostly a read or
   * write follows at once and brings its own interest.
   *
   * @internal
   */
  _maybeAddErrorListener(): void {
    if (this._pendingCallbacks !== 0) return;
    if (this._state !== undefined && this._state !== ERROR) return;
    if (this.closed()) {
      this._maybeRunCloseCallback();
    } else if (
      this._readBufferSize === 0 &&
      (this._closeCallback !== undefined || this._closeListener !== undefined) &&
      this._watchable()
    ) {
      try {
        this._addIoState(READ);
      } catch {
        // The stream has closed with the error, and the close callback tells.
      }
    }
  }

  /** Whether the descriptor may be registered while nothing is under way; not so a socket that is not connected yet (S126). @internal */
  _watchable(): boolean {
    return !this._connecting;
  }
}

/** The handler of every stream: registered with the stream as its descriptor, it needs no closure for each. */
function dispatch(stream: StreamCore, events: number): void {
  stream._handleEvents(stream.fileno(), events);
}

function closeStream(stream: StreamCore): void {
  stream.close();
}

/**
 * What the loop runs for `_runCallback`. It goes into the loop's queue as it is: as a function with arguments it would be wrapped in a callback of the
 * loop's, with an async context that nobody needs, for the user's brings its own.
 */
class ScheduledCallback implements QueuedCallback {
  private readonly _stream: StreamCore;
  private readonly _user: UserCallback;
  private readonly _args: readonly unknown[];

  constructor(stream: StreamCore, user: UserCallback, args: readonly unknown[]) {
    this._stream = stream;
    this._user = user;
    this._args = args;
  }

  /** The user's function, for those who watch the loop. */
  get callback(): UserCallback["callback"] {
    return this._user.callback;
  }

  run(): unknown {
    const stream = this._stream;
    stream._pendingCallbacks--;
    try {
      return this._user.run(this._args);
    } catch (error) {
      applicationLog.error("Uncaught exception, closing connection.", error);
      // Nobody may be left who would close it.
      stream._closeWith(error);
      // The loop's own way of dealing with it follows (handleCallbackException).
      throw error;
    } finally {
      stream._maybeAddErrorListener();
    }
  }
}

/** The error in what `close()` was given. */
function errorOf(excInfo: unknown): Error | undefined {
  if (excInfo === undefined || excInfo === null || typeof excInfo === "boolean") return undefined;
  if (excInfo instanceof Error) return excInfo;
  if (Array.isArray(excInfo) && excInfo[1] instanceof Error) return excInfo[1];
  throw new TypeError(`close() was given ${show(excInfo)}: pass an Error, [type, error], or nothing`);
}
