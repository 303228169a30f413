/**
 * `SocketTransport`: a connected socket on an IOLoop, calling a protocol. Depends on the loop, the platform's sockets and the write queue of
 * `iostream`.
 *
 * Some facts about epoll that shape it:
 * - A hang-up and an error are reported whatever is asked for, level-triggered. A connection that is paused, or half-closed with nothing to
 *   write, must not stay registered once that happens, or it costs a turn of the loop for ever (A43).
 * - Pausing and resuming within one turn is common (a reader whose read is about to be woken). So pausing only takes READ out of the mask,
 *   lazily and without a system call if it comes back in time; the registration itself goes when an event nobody wants arrives.
 */
import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import type { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { _StreamBuffer } from "../iostream/index.js";
import { applicationLog, generalLog } from "../log.js";
import {
  type Address,
  AF_INET,
  AF_INET6,
  type Data,
  IPPROTO_TCP,
  isSystemError,
  SHUT_WR,
  SOCK_STREAM,
  type Socket,
  TCP_NODELAY,
} from "../platform/index.js";
import { checkOptions, checkWhole, show } from "../process/index.js";
import type { Both } from "./both.js";
import { Protocol, type Borrower } from "./protocol.js";
import { Transport, type WriteBufferLimits } from "./transport.js";
import { TransportSocket } from "./transport-socket.js";

/** Bytes that one readiness event reads at most (A40). One buffer for the thread: it is lent for the length of one call. */
const READ_SIZE = 262144;
let scratch: Buffer | undefined;

/** The write buffer's mark unless one says otherwise, in bytes. */
const HIGH_WATER = 65536;

/** From this many writes into a connection that is gone on, each is warned about. */
const WARN_FROM = 5;

/** What a server knows of its connections. */
export interface Owner {
  _attach(transport: SocketTransport): void;
  _detach(transport: SocketTransport): void;
}

/** The live transports of a loop by descriptor: a descriptor of one is nobody else's to watch (A49). */
const live = new WeakMap<IOLoop, Map<number, SocketTransport>>();

/** The transport that uses a descriptor. */
export function transportOf(loop: IOLoop, fd: number): SocketTransport | undefined {
  return live.get(loop)?.get(fd);
}

/** One handler for all: the loop gives back what was registered, the transport. */
function handleEvents(transport: SocketTransport, events: number): void {
  transport._handleEvents(events);
}

/** A connected stream socket, from its first byte to its last. Made by the functions that connect and serve. */
export class SocketTransport extends Transport {
  /** @internal */
  readonly _loop: IOLoop;
  /** @internal */
  _sock: Socket;
  /** @internal */
  _protocol: Protocol;
  readonly #owner: Owner | undefined;
  readonly #fd: number;
  /** @internal */
  readonly _queue = new _StreamBuffer();
  #high = HIGH_WATER;
  #low = HIGH_WATER / 4;
  /** The protocol has been told to pause writing. */
  #protocolPaused = false;
  /** `connectionMade` has returned. */
  #started = false;
  #paused = false;
  /** The other end has sent its last byte. */
  #ended = false;
  /** `writeEof` was called. */
  #eof = false;
  #closing = false;
  /** Nothing is sent or received any more; `connectionLost` is on its way. @internal */
  _lost = false;
  #registered = false;
  #interest = 0;
  #dropped = 0;
  #flushed: Future<void> | undefined = undefined;

  /**
   * Takes the socket over. Nothing happens on it until {@link _start}.
   *
   * @param peer - the other end's address, if it is known
   */
  constructor(loop: IOLoop, sock: Socket, protocol: Protocol, owner?: Owner, peer?: Address) {
    super();
    this._loop = loop;
    this._sock = sock;
    this._protocol = protocol;
    this.#owner = owner;
    this.#fd = sock.fileno();
    this._extra = {
      socket: new TransportSocket(sock),
      sockname: attempt(() => sock.getsockname()),
      peername: peer ?? attempt(() => sock.getpeername()),
    };
    if (sock.type === SOCK_STREAM && (sock.family === AF_INET || sock.family === AF_INET6)) {
      // Fails only where the connection is gone already, which reading will tell.
      attempt(() => sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, true));
    }
    const transports = live.get(loop) ?? new Map<number, SocketTransport>();
    live.set(loop, transports);
    transports.set(this.#fd, this);
    owner?._attach(this);
  }

  /** For the loop. @internal */
  fileno(): number {
    return this.#fd;
  }

  // ---- Beginning ----

  /**
   * Calls `connectionMade` as a callback of the loop, begins to read when it has returned, then settles `done`.
   *
   * @internal
   */
  _start(done?: Future<void>): void {
    this._loop.addCallback(() => this._begin(done));
  }

  /** @internal */
  _begin(done?: Future<void>): void {
    if (this._lost) return;
    let error: unknown;
    try {
      this._protocol.connectionMade(this as Transport as Both<Transport>);
    } catch (thrown) {
      error = thrown;
      this._protocolFailed("connectionMade", thrown);
    }
    this.#started = true;
    this._watch();
    if (done === undefined || done.done()) return;
    if (error === undefined) done.setResult(undefined);
    else done._settleFailed(error, false);
  }

  /** Begins without `connectionMade`: the protocol has had one. @internal */
  _adopt(): void {
    this.#started = true;
    this._watch();
  }

  // ---- Interest ----

  /** The events that are wanted now. @internal */
  _wanted(): number {
    let events = IOLoop.NONE;
    if (this.#started && !this.#paused && !this.#ended && !this.#closing) events |= IOLoop.READ;
    if (this._queue.length > 0) events |= IOLoop.WRITE;
    return events;
  }

  /** Tells the loop what is wanted. @internal */
  _watch(): void {
    if (this._lost) return;
    const events = this._wanted();
    if (this.#registered) {
      if (events === this.#interest) return;
      this.#interest = events;
      if (events === IOLoop.NONE && !this.#paused) this._unregister();
      else this._loop.updateHandler(this, events);
    } else if (events !== IOLoop.NONE) {
      this.#interest = events;
      this.#registered = true;
      // What a stream's protocol does, it does for coroutines, which have their own context.
      if (isBorrower(this._protocol)) this._loop._addBareHandler(this, handleEvents, events);
      else this._loop.addHandler(this, handleEvents, events);
    }
  }

  /** @internal */
  _unregister(): void {
    if (!this.#registered) return;
    this.#registered = false;
    this.#interest = IOLoop.NONE;
    this._loop.removeHandler(this);
  }

  /** @internal */
  _handleEvents(events: number): void {
    const wanted = this.#interest;
    if ((wanted & (IOLoop.READ | IOLoop.WRITE)) === 0) {
      // A hang-up while nothing is wanted: whoever resumes finds it.
      this._unregister();
      return;
    }
    if ((wanted & IOLoop.READ) !== 0 && (events & (IOLoop.READ | IOLoop.ERROR)) !== 0) this._readReady();
    if (this._queue.length > 0 && (events & (IOLoop.WRITE | IOLoop.ERROR)) !== 0 && !this._lost) this._writeReady();
  }

  // ---- Receiving ----

  override isReading(): boolean {
    return !this.#closing && !this.#paused;
  }

  override pauseReading(): void {
    if (this.#closing || this.#paused) return;
    this.#paused = true;
    this._watch();
  }

  override resumeReading(): void {
    if (this.#closing || !this.#paused) return;
    this.#paused = false;
    this._watch();
  }

  /** @internal */
  _readReady(): void {
    scratch ??= Buffer.allocUnsafeSlow(READ_SIZE);
    let count: number | undefined;
    try {
      count = this._receive(scratch);
    } catch (error) {
      this._failed(error, "read");
      return;
    }
    if (count === undefined) return;
    if (count === 0) this.#endRead();
    else this.#deliver(scratch, count);
  }

  /** @internal */
  _receive(memory: Buffer): number | undefined {
    return this._sock.recvInto(memory);
  }

  #deliver(memory: Buffer, count: number): void {
    const protocol = this._protocol;
    try {
      if (isBorrower(protocol)) protocol._borrowed(memory, count);
      else protocol.dataReceived(Buffer.from(memory.subarray(0, count)));
    } catch (error) {
      this._protocolFailed("dataReceived", error);
    }
  }

  #endRead(): void {
    let open: unknown;
    try {
      open = this._protocol.eofReceived();
    } catch (error) {
      this._protocolFailed("eofReceived", error);
      return;
    }
    this.#ended = true;
    if (open === true) {
      // Not even a registration without interest: of a connection shut at both ends the kernel tells whatever is asked for.
      this.#paused = false;
      this._watch();
    } else {
      this.close();
    }
  }

  // ---- Sending ----

  override write(data: Data): void {
    if (!(data instanceof Uint8Array) && typeof data !== "string")
      throw new TypeError(`data is ${show(data)}: pass a string or a Uint8Array`);
    if (this.#eof) throw new Error("Cannot call write() after writeEof(): the sending side is shut");
    if (this.#closing || this._lost) {
      this.#drop();
      return;
    }
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const { length } = bytes;
    if (length === 0) return;
    let sent = 0;
    if (this._queue.length === 0 && this._maySend()) {
      try {
        sent = this._sock.send(bytes) ?? 0;
      } catch (error) {
        this._failed(error, "write");
        return;
      }
      if (sent === length) return;
    }
    // What was not sent is copied: the caller's memory is the caller's again.
    this._queue.append(Buffer.from(sent === 0 ? bytes : bytes.subarray(sent)));
    this._watch();
    this.#pauseProtocol();
  }

  override writelines(data: Iterable<Data>): void {
    const pieces = checkLines(data);
    if (this.#eof) throw new Error("Cannot call writelines() after writeEof(): the sending side is shut");
    if (this.#closing || this._lost) {
      this.#drop();
      return;
    }
    let sent = 0;
    if (this._queue.length === 0 && pieces.length > 0 && this._maySend()) {
      try {
        sent = this._sock.sendmsg(pieces) ?? 0;
      } catch (error) {
        this._failed(error, "write");
        return;
      }
    }
    for (const piece of pieces) {
      if (sent < piece.length) this._queue.append(Buffer.from(piece.subarray(sent)));
      sent = Math.max(0, sent - piece.length);
    }
    if (this._queue.length === 0) return;
    this._watch();
    this.#pauseProtocol();
  }

  /** Whether bytes may be given to the socket. @internal */
  _maySend(): boolean {
    return true;
  }

  #drop(): void {
    this.#dropped++;
    if (this.#dropped >= WARN_FROM)
      generalLog.warn(`A write to a connection that is closed was dropped, the ${this.#dropped}th: stop writing after close()`);
  }

  /** @internal */
  _writeReady(): void {
    const queue = this._queue;
    try {
      while (queue.length > 0) {
        const piece = queue.peek(queue.length);
        const sent = this._sock.send(piece);
        if (sent === undefined) break;
        queue.advance(sent);
        // Less than all: the kernel has no more room, and asking again would only say so.
        if (sent < piece.length && this._shortWriteMeansFull()) break;
      }
    } catch (error) {
      this._failed(error, "write");
      return;
    }
    this.#resumeProtocol();
    if (queue.length > 0 || this._lost) {
      this._watch();
      return;
    }
    this.#flushed?.setResult(undefined);
    this.#flushed = undefined;
    if (this.#closing) {
      this._lose(undefined);
      return;
    }
    this._watch();
    if (this.#eof) this.#shutdown();
  }

  /** @internal */
  _shortWriteMeansFull(): boolean {
    return true;
  }

  override canWriteEof(): boolean {
    return true;
  }

  override writeEof(): void {
    if (this.#closing || this.#eof) return;
    this.#eof = true;
    if (this._queue.length === 0) this.#shutdown();
  }

  #shutdown(): void {
    try {
      this._sock.shutdown(SHUT_WR);
    } catch (error) {
      this._failed(error, "shutdown");
    }
  }

  // ---- Water marks ----

  override getWriteBufferSize(): number {
    return this._queue.length;
  }

  override getWriteBufferLimits(): [low: number, high: number] {
    return [this.#low, this.#high];
  }

  override setWriteBufferLimits(limits: WriteBufferLimits = {}): void {
    checkOptions("setWriteBufferLimits()", ["high", "low"], limits);
    const high = limits.high ?? (limits.low === undefined ? HIGH_WATER : 4 * limits.low);
    const low = limits.low ?? (typeof high === "number" ? Math.floor(high / 4) : 0);
    checkWhole("high", high, 0, Number.MAX_SAFE_INTEGER);
    checkWhole("low", low, 0, Number.MAX_SAFE_INTEGER);
    if (high < low) throw new RangeError(`high is ${high} and low ${low}: high must not be less than low`);
    this.#high = high;
    this.#low = low;
    this.#pauseProtocol();
    this.#resumeProtocol();
  }

  #pauseProtocol(): void {
    if (this.#protocolPaused || this._queue.length <= this.#high) return;
    this.#protocolPaused = true;
    try {
      this._protocol.pauseWriting();
    } catch (error) {
      this._protocolFailed("pauseWriting", error);
    }
  }

  #resumeProtocol(): void {
    if (!this.#protocolPaused || this._queue.length > this.#low) return;
    this.#protocolPaused = false;
    try {
      this._protocol.resumeWriting();
    } catch (error) {
      this._protocolFailed("resumeWriting", error);
    }
  }

  // ---- The end ----

  override setProtocol(protocol: Protocol): void {
    if (!(protocol instanceof Protocol)) throw new TypeError(`protocol is ${show(protocol)}: pass a Protocol`);
    this._protocol = protocol;
  }

  override getProtocol(): Protocol {
    return this._protocol;
  }

  override isClosing(): boolean {
    return this.#closing;
  }

  override close(): void {
    if (this.#closing) return;
    this.#closing = true;
    // A loop that is closed, and closes what it had, sends no more.
    if (this._queue.length === 0 || this._loop._closing) this._lose(undefined);
    else this._watch();
  }

  override abort(): void {
    this._lose(undefined);
  }

  /** A system call has failed. @internal */
  _failed(error: unknown, what: string): void {
    if (isSystemError(error) || this._expected(error)) generalLog.debug(`A connection ended with a failed ${what}`, error);
    else applicationLog.error(`Fatal error in a ${what} of a transport`, error);
    this._lose(error as Error);
  }

  /** Whether an error is what the other end or the network may cause. @internal */
  _expected(_error: unknown): boolean {
    return false;
  }

  /** @internal */
  _protocolFailed(method: string, error: unknown): void {
    applicationLog.error(`${method}() of a protocol failed, its connection is closed`, error);
    this._lose(error as Error);
  }

  /** The connection is over: `connectionLost` follows on the loop. @internal */
  _lose(error: Error | undefined): void {
    if (this._lost) return;
    this._unregister();
    this._lost = this.#closing = true;
    if (this._queue.length > 0) this._queue.advance(this._queue.length);
    // A loop that is closed calls nothing back.
    if (this._loop._closing) this.#finish(error);
    else this._loop.addCallback(() => this.#finish(error));
  }

  #finish(error: Error | undefined): void {
    try {
      // A protocol that has had no connectionMade gets no connectionLost either.
      if (this.#started) this._protocol.connectionLost(error);
    } catch (thrown) {
      applicationLog.error("connectionLost() of a protocol failed", thrown);
    } finally {
      this._release();
      this._closeSocket(error);
      this.#flushed?.setResult(undefined);
      this.#flushed = undefined;
      this.#owner?._detach(this);
    }
  }

  /** @internal */
  _closeSocket(_error: Error | undefined): void {
    this._sock.close();
  }

  /** The descriptor is nobody's, or somebody else's, from here on. @internal */
  _release(): void {
    const transports = live.get(this._loop);
    if (transports?.get(this.#fd) === this) transports.delete(this.#fd);
  }

  // ---- For TLS ----

  /** Takes on the state that the clear transport had. @internal */
  _inherit(limits: [low: number, high: number]): void {
    [this.#low, this.#high] = limits;
  }

  /** Settles `future` when nothing waits to be written, or the connection is over. @internal */
  _whenFlushed(future: Future<void>): void {
    if (this._queue.length === 0 || this._lost) future.setResult(undefined);
    else this.#flushed = future;
  }

  /** @internal */
  get _owner(): Owner | undefined {
    return this.#owner;
  }

  /**
   * Gives the socket away, to another transport that goes on with it. This one is closed afterwards, without `connectionLost`.
   *
   * @internal
   */
  _handOver(): void {
    this._unregister();
    this._release();
    this._lost = this.#closing = true;
    this.#owner?._detach(this);
  }

  override toString(): string {
    const state = this._lost ? "closed" : this.#closing ? "closing" : this.#paused ? "paused" : "open";
    return `<${this.constructor.name} fd=${this._sock.fileno()} ${state} write=${this._queue.length}>`;
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString();
  }
}

function isBorrower(protocol: Protocol): protocol is Borrower {
  return (protocol as Partial<Borrower>)._borrows === true;
}

/** What a system call answers; `undefined` when it fails. */
function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined;
  }
}

function checkLines(data: Iterable<Data>): Uint8Array[] {
  if (
    typeof data === "string" ||
    data instanceof Uint8Array ||
    typeof (data as Partial<Iterable<Data>> | null)?.[Symbol.iterator] !== "function"
  ) {
    throw new TypeError(`data is ${show(data)}: pass a list of strings or Uint8Arrays, or use write()`);
  }
  return Array.from(data, (piece: unknown) => {
    if (typeof piece === "string") return Buffer.from(piece);
    if (piece instanceof Uint8Array) return piece;
    throw new TypeError(`data has ${show(piece)}: pass strings or Uint8Arrays`);
  }).filter((piece) => piece.length > 0);
}
