/** `IOStream`: a stream over a socket. Depends on `BaseIOStream`, on the platform's sockets and, for host names, on `node:dns`. */
import { lookup } from "node:dns";
import { isIP } from "node:net";
import { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { generalLog } from "../log.js";
import {
  type Address,
  AF_INET,
  AF_INET6,
  type InetAddress,
  IPPROTO_TCP,
  MSG_MORE,
  encodeAddress,
  isSystemError,
  SHUT_WR,
  SO_ERROR,
  SOCK_STREAM,
  type Socket,
  SOL_SOCKET,
  systemError,
  type SystemErrorDetails,
  TCP_CORK,
  TCP_NODELAY,
} from "../platform/index.js";
import { checkKeys, show, withoutCallback } from "./arguments.js";
import { BaseIOStream } from "./base-iostream.js";
import type { SSLIOStream } from "./ssl-iostream.js";
import { type StreamOptions, STREAM_OPTION_KEYS } from "./stream-core.js";
import { convertToTls, type StartTlsOptions } from "./tls-conversion.js";
import { bindCallback, type UserCallback } from "./user-callback.js";

/** What {@link IOStream.connect} takes. */
export interface ConnectOptions {
  /** The name that the other end's certificate is checked for. Only TLS streams use it. */
  serverHostname?: string | undefined;
}

/**
 * A stream over a socket, connected or not. A server gets the socket from `accept()`; a client makes one and either connects it first or
 * calls {@link connect}.
 *
 * Tornado: `IOStream`.
 *
 * @example
 * const stream = new IOStream(new Socket());
 * await stream.connect(["127.0.0.1", 8888]);
 * await stream.write("GET / HTTP/1.0\r\n\r\n");
 * console.log((await stream.readUntilClose()).toString());
 */
export class IOStream extends BaseIOStream {
  /** The socket; closed with the stream. */
  socket: Socket;

  /** @internal */
  _connectCallback: UserCallback | undefined = undefined;
  /** @internal */
  _connectFuture: Future<this> | undefined = undefined;
  /** What is being connected to, for the error if it fails. */
  private _connectAddress: Address | undefined = undefined;
  /** Known to be connected; before that the kernel is asked. */
  private _connected = false;
  /** The kernel may hold back what was written last. */
  private _heldBack = false;

  /**
   * @throws TypeError when `socket` is no Socket, or for wrong options
   * @throws RangeError for sizes that are no counts of bytes
   */
  constructor(socket: Socket, options?: StreamOptions, keys: readonly string[] = STREAM_OPTION_KEYS) {
    if (typeof (socket as Partial<Socket> | null | undefined)?.recvInto !== "function") {
      throw new TypeError(`socket is ${show(socket)}: pass a Socket`);
    }
    super(options, keys);
    this.socket = socket;
    socket.setblocking(false);
  }

  override fileno(): number {
    return this.socket.fileno();
  }

  override closeFd(): void {
    this.socket.close();
  }

  /** @internal */
  override _closeWith(error: unknown): void {
    // The kernel sends it on close too, but not when a reset takes the place of the ordinary end (S65).
    this._sendHeldBack();
    super._closeWith(error);
  }

  override readFromFd(buf: Uint8Array): number | undefined {
    return this.socket.recvInto(buf);
  }

  /**
   * While bytes are unread, what is written is mostly not the last: a program answers lines that came together one by one. MSG_MORE has the kernel
   * take each and send them together, along with the last, which nothing unread follows. The kernel has the bytes either way, so the write is done.
   * With 16 lines under way a line echo takes 1.6 µs of CPU for each, without it 3.3 (Node 20, `npm run bench -- --only=pipelined`).
   */
  override writeToFd(data: Uint8Array): number | undefined {
    const more = this._readBufferSize > 0 && this._isTcp();
    if (more && !this._heldBack) this.ioLoop.spawnCallback(sendHeldBack, this);
    this._heldBack = more;
    return this.socket.send(data, more ? MSG_MORE : 0);
  }

  /** Has the kernel send what it holds back for more to come. @internal */
  _sendHeldBack(): void {
    if (!this._heldBack || this.closed()) return;
    this._heldBack = false;
    try {
      this.socket.setsockopt(IPPROTO_TCP, TCP_CORK, false);
    } catch (error) {
      // The connection is gone; the next operation says so.
      if (!isSystemError(error)) throw error;
    }
  }

  private _isTcp(): boolean {
    const { type, family } = this.socket;
    return type === SOCK_STREAM && (family === AF_INET || family === AF_INET6);
  }

  /** The socket's pending error (`SO_ERROR`), which asking for clears; `undefined` when there is none. */
  override getFdError(): Error | undefined {
    const errno = this.socket.getsockopt(SOL_SOCKET, SO_ERROR);
    return errno === 0 ? undefined : systemError(errno, this._connecting ? "connect" : "read", this._connecting ? this._peer() : undefined);
  }

  /** A socket can be asked for its error, so one that is not known is none (S140). @internal */
  override _errorEndsStream(): boolean {
    return false;
  }

  /** @internal */
  override _shortReadMeansDry(): boolean {
    return this.socket.type === SOCK_STREAM;
  }

  /**
   * Connects without blocking. A host name is resolved first, without blocking either. What is written meanwhile is queued, and a read waits.
   *
   * Failures are never thrown: the stream closes, the Future fails with `StreamClosedError` (`realError` is the system error, with address
   * and port or path), and the close callback runs.
   *
   * Tornado: `connect`; there a host name blocks the loop.
   *
   * @param address - `[host, port]`, for IPv6 also `[host, port, flowinfo, scopeId]`, or the path of a unix socket
   * @returns a Future of the stream itself; nothing when a callback is given, which then gets no arguments
   * @throws TypeError, RangeError for wrong arguments
   * @throws StreamClosedError on a closed stream; Error on one that is connecting or connected, which is unharmed
   */
  connect(address: Address, options?: ConnectOptions): Future<this>;
  connect(address: Address, callback: undefined | null, options?: ConnectOptions): Future<this>;
  connect(address: Address, callback: () => unknown, options?: ConnectOptions): void;
  connect(address: Address, callback?: unknown, options?: unknown): Future<this> | void {
    const given = typeof callback === "object" && callback !== null ? callback : options;
    if (given !== undefined) checkKeys("connect()", ["serverHostname"], given);
    const bound = withoutCallback(callback) ? undefined : bindCallback("connect", callback);
    const host = hostName(address);
    const { family } = this.socket;
    // Every check that needs no lookup, before anything changes.
    if (host !== undefined) encodeAddress(family, withHost(address, family === AF_INET6 ? "::1" : "127.0.0.1"), "connect");
    else checkArguments(() => encodeAddress(family, address, "connect"));
    this._checkClosed();
    if (this._connecting) throw new Error("Already connecting: a stream connects once, so await the first connect()");
    if (this._isConnected()) throw new Error("Already connected: make a new stream with a new Socket for another connection");
    this._connecting = true;
    this._connectAddress = address;
    let future: Future<this> | undefined;
    if (bound === undefined) future = this._connectFuture = new Future<this>({ loop: this.ioLoop });
    else this._connectCallback = bound;
    if (host !== undefined) this._resolve(host);
    else this._startConnecting(address);
    return future;
  }

  /** Looks a host name up in Node's thread pool, in the socket's family. */
  private _resolve(host: string): void {
    const family = this.socket.family === AF_INET6 ? 6 : 4;
    const done = (error: Error | null, found: string): void => {
      // Closed meanwhile: no attempt follows.
      if (this.closed()) return;
      if (error !== null) this._connectFailed(error);
      else this._startConnecting(withHost(this._connectAddress, found));
    };
    lookup(host, { family }, done);
  }

  private _startConnecting(address: Address): void {
    try {
      // Also when it is connected at once, as a unix socket is: the WRITE event then says so in its turn (S99).
      this.socket.connect(address);
    } catch (error) {
      this._connectFailed(error);
      return;
    }
    this._connectAddress = address;
    try {
      this._addIoState(IOLoop.WRITE);
    } catch {
      // The stream has closed with the error, which fails the Future: connect() throws nothing that happens on the way.
    }
  }

  /**
   * Turns this clear-text stream into a TLS stream on the same descriptor, as protocols with a STARTTLS command do. Nothing may be under way and
   * nothing unread in the stream's buffer; what is unread in the kernel becomes TLS input. Afterwards only the new stream can be used. It has this
   * one's limits and its close callback.
   *
   * Tornado: `start_tls` (4.0).
   *
   * @param serverSide - whether this end is the server
   * @returns a Future of the new stream, done after the handshake; it fails with the TLS or system error itself. Cancelling it closes the connection
   * @throws RangeError when the stream is not idle, or names are checked and no `serverHostname` is given; this stream is then unharmed
   * @throws TypeError, Error for wrong options; SystemError, SSLError for files; Error on a TLS stream
   */
  startTls(serverSide: boolean, options?: StartTlsOptions): Future<SSLIOStream> {
    this._sendHeldBack();
    return convertToTls(this, serverSide, options);
  }

  private _connectFailed(error: unknown): void {
    // Users of Futures have it from there.
    if (this._connectFuture === undefined) generalLog.warn(`Connect error on fd ${this.fileno()}`, error);
    this._closeWith(error);
  }

  /** The end of connecting: `SO_ERROR` says how it went. @internal */
  override _handleConnect(): void {
    const error = this.getFdError();
    if (error !== undefined) {
      this._connectFailed(error);
      return;
    }
    this._connectDone();
  }

  /** Tells whoever waits for the connection. @internal */
  _connectDone(): void {
    const { _connectFuture: future, _connectCallback: callback } = this;
    this._connecting = false;
    this._connected = true;
    this._connectFuture = this._connectCallback = this._connectAddress = undefined;
    if (callback !== undefined) this._runCallback(callback);
    if (future !== undefined && !future.done()) future.setResult(this);
  }

  override _failOperations(): void {
    super._failOperations();
    const future = this._connectFuture;
    this._connectFuture = this._connectCallback = this._connectAddress = undefined;
    if (future !== undefined && !future.done()) future._fail(this._closedError());
  }

  /** A socket that is not connected reports WRITE and a hang-up from the start: watched, it would close the stream (S126). @internal */
  override _watchable(): boolean {
    return !this._connecting && this._isConnected();
  }

  private _isConnected(): boolean {
    if (this._connected) return true;
    try {
      this.socket.getpeername();
      this._connected = true;
    } catch (error) {
      // One that was connected and has been reset has no peer either, but a pending error; an event will tell of it.
      if (!isSystemError(error, "ENOTCONN")) return true;
    }
    return this._connected;
  }

  /** The other end's address as system errors carry it. */
  private _peer(): SystemErrorDetails | undefined {
    const address = this._connectAddress;
    if (address === undefined) return undefined;
    return typeof address === "string" || address instanceof Uint8Array ? { path: address } : { address: address[0], port: address[1] };
  }

  /**
   * For TCP: `true` switches Nagle's algorithm off, so that small writes go out at once. Unix sockets and closed streams: no effect.
   *
   * Tornado: `set_nodelay` (3.1).
   *
   * @throws SystemError for what is neither EINVAL (a connection that is gone) nor a reset
   */
  override setNodelay(value: boolean): void {
    if (this.closed() || !this._isTcp()) return;
    try {
      this.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, value);
    } catch (error) {
      if (!isSystemError(error, "EINVAL") && !this._isConnreset(error)) throw error;
    }
  }

  /** @internal */
  override _shutdownWrite(): void {
    try {
      this.socket.shutdown(SHUT_WR);
    } catch (error) {
      // The other end has gone already, and the stream hears of it in its turn.
      if (!isSystemError(error, "ENOTCONN")) throw error;
    }
  }
}

/** The host of an address that has to be looked up; `undefined` for a literal, a path, or what is no address at all. */
function hostName(address: Address): string | undefined {
  const host: unknown = Array.isArray(address) ? address[0] : undefined;
  if (typeof host !== "string" || host === "" || host === "<broadcast>") return undefined;
  return isIP(host) === 0 ? host : undefined;
}

/** The address with another host in it. */
function withHost(address: Address | undefined, host: string): Address {
  return [host, ...(address as readonly unknown[]).slice(1)] as InetAddress;
}

/** Runs a check for its TypeErrors and RangeErrors; what the system says of a right argument takes the way of all connect errors (S104). */
function checkArguments(check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

/** Runs in the iteration after a write, for what no later write has taken along. */
function sendHeldBack(stream: IOStream): void {
  stream._sendHeldBack();
}
