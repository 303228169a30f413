/**
 * `SSLIOStream`: a stream that speaks TLS on its own descriptor. The handshake is driven by READ and WRITE events as in the annotated source:
 * `_doSslHandshake` runs inside `_handleRead` and `_handleWrite`, and what it waits for stands in two flags that `reading()` and `writing()` report.
 * Depends on `IOStream` and on `ssl`.
 *
 * One thing is particular to TLS (S174): what OpenSSL has taken from the kernel is invisible to the poller, so after each pass that stopped for
 * another reason than "nothing more there" the stream looks for such bytes, and goes on with them in the next iteration.
 */
import { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { generalLog } from "../log.js";
import type { Socket } from "../platform/index.js";
import { type Address, isSystemError } from "../platform/index.js";
import type { SSLContext } from "../ssl/index.js";
import {
  checkServerHostname,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_WANT_WRITE,
  SSLError,
  type SSLOptions,
  sslOptionsToContext,
  SSLSocket,
  sslWrapSocket,
  wrapUnconnected,
  UNEXPECTED_EOF,
} from "../ssl/index.js";
import { show } from "./arguments.js";
import { StreamClosedError } from "./errors.js";
import { type ConnectOptions, IOStream } from "./iostream.js";
import { type StreamOptions, STREAM_OPTION_KEYS } from "./stream-core.js";
import { bindCallback, type UserCallback } from "./user-callback.js";

/** What the constructor of {@link SSLIOStream} takes. */
export interface SSLStreamOptions extends StreamOptions {
  /** A context, which stays the caller's, or an object that describes one. Without it a client verifies against Node's authorities. */
  sslOptions?: SSLContext | SSLOptions | undefined;
  /** Whether this end is the server. */
  serverSide?: boolean | undefined;
  /** The name that is asked for and that the other end's certificate is checked for. */
  serverHostname?: string | undefined;
}

const SSL_STREAM_OPTION_KEYS: readonly string[] = [...STREAM_OPTION_KEYS, "sslOptions", "serverSide", "serverHostname"];

const { READ, WRITE, ERROR } = IOLoop;

/**
 * A read call that brought fewer bytes than this was no piece of a long transfer, whose records are full: with nothing left in OpenSSL the
 * kernel is taken to be empty too, and the call that would only meet EAGAIN is saved. If it is not, the poller tells.
 */
const SHORT_READ = 4096;

/**
 * A stream over TLS. Over a connected socket (on the server side: any) the handshake starts by itself in the next iteration; over one that is not
 * connected, after {@link connect}. Reads and writes may begin before it is done.
 *
 * The descriptor moves from the socket that is given to `stream.socket`, an `SSLSocket`, which tells the facts about the connection: `cipher()`,
 * `version()`, `getpeercert()`, `selectedAlpnProtocol()`.
 *
 * When the other end closes, what it sent before is delivered, then the stream closes: without `error` after close_notify, with an SSLError (code
 * ERR_SSL_UNEXPECTED_EOF_WHILE_READING) when the connection just ended. While nobody reads, TLS holds at most two records (32 KB) beside the
 * stream's own buffer.
 *
 * Nagle's algorithm is switched off after the handshake (ours); `setNodelay(false)` switches it on.
 *
 * Tornado: `SSLIOStream`.
 *
 * @example
 * const stream = new SSLIOStream(new Socket());
 * await stream.connect(["example.com", 443], { serverHostname: "example.com" });
 */
export class SSLIOStream extends IOStream {
  declare socket: SSLSocket;

  /** The handshake is not finished, whichever side this is. @internal */
  _sslAccepting = true;
  /** @internal */
  _handshakeReading = false;
  /** Also after the handshake, when OpenSSL has to send something before it can read on. @internal */
  _handshakeWriting = false;
  /** @internal */
  _sslConnectCallback: UserCallback | undefined = undefined;
  /** @internal */
  _sslConnectFuture: Future<this> | undefined = undefined;
  /** The Future of `startTls`, which fails with the error itself and not wrapped (S159). @internal */
  _startTlsFuture: Future<SSLIOStream> | undefined = undefined;
  /** @internal */
  _serverHostname: string | undefined;
  /** What the socket is wrapped with when it is connected. @internal */
  _sslContext: SSLContext;
  /** The context was made from an options object of ours alone. @internal */
  _ownsContext: boolean;
  private _lastCount = 0;
  private _goingOn = false;

  /**
   * @throws TypeError, RangeError, Error for wrong options, those of {@link sslOptionsToContext} included; SystemError, SSLError for files. The socket is
   *   then as it was
   */
  constructor(socket: Socket, options: SSLStreamOptions = {}) {
    super(socket, options, SSL_STREAM_OPTION_KEYS);
    const { sslOptions, serverSide, serverHostname } = options;
    if (serverSide !== undefined && typeof serverSide !== "boolean")
      throw new TypeError(`serverSide is ${show(serverSide)}: pass true or false`);
    this._serverHostname = serverHostname;
    if (socket instanceof SSLSocket) {
      for (const [name, given, known] of [
        ["sslOptions", sslOptions, socket.context],
        ["serverSide", serverSide, socket.serverSide],
        ["serverHostname", serverHostname, socket.serverHostname],
      ] as const) {
        if (given !== undefined && given !== known) throw new RangeError(`An SSLSocket has its ${name} already: leave it out`);
      }
      this._serverHostname = socket.serverHostname;
      this._sslContext = socket.context;
      this._ownsContext = false;
      this._sslAccepting = !socket._established;
      socket._inBatches = true;
      if (this._sslAccepting && (socket.serverSide || isConnected(socket))) this._addIoState(WRITE);
      return;
    }
    this._sslContext = sslOptionsToContext(sslOptions ?? {}, serverSide);
    this._ownsContext = this._sslContext !== sslOptions;
    try {
      if (serverHostname !== undefined || serverSide === true) checkServerHostname(this._sslContext, serverSide ?? false, serverHostname);
      // A server's connection that has been reset has no peer any more; its handshake is what finds out.
      if (serverSide === true || isConnected(socket)) {
        this.socket = sslWrapSocket(socket, this._sslContext, { serverSide: serverSide ?? false, serverHostname });
        // Nothing is written: the event starts the handshake in the next iteration.
        this._addIoState(WRITE);
      } else {
        this.socket = wrapUnconnected(socket, this._sslContext);
      }
      this.socket._inBatches = true;
    } catch (error) {
      this._closeContext();
      throw error;
    }
  }

  private _closeContext(): void {
    if (this._ownsContext) this._sslContext.close();
  }

  override closeFd(): void {
    super.closeFd();
    this._closeContext();
  }

  override reading(): boolean {
    return this._handshakeReading || super.reading();
  }

  override writing(): boolean {
    return this._handshakeWriting || super.writing();
  }

  // ---- Connecting ----

  /**
   * Connects and does the handshake. `serverHostname` is what the certificate is checked for; where names are checked and none is given, the
   * stream closes with a RangeError (`realError`).
   */
  override connect(address: Address, options?: ConnectOptions): Future<this>;
  override connect(address: Address, callback: undefined | null, options?: ConnectOptions): Future<this>;
  override connect(address: Address, callback: () => unknown, options?: ConnectOptions): void;
  override connect(address: Address, callback?: unknown, options?: unknown): Future<this> | void {
    const given = (typeof callback === "object" && callback !== null ? callback : options) as ConnectOptions | null | undefined;
    const before = this._serverHostname;
    const name: unknown = given?.serverHostname;
    if (name !== undefined) {
      if (typeof name !== "string") throw new TypeError(`serverHostname is ${show(name)}: pass a string`);
      this._serverHostname = name;
    }
    try {
      return super.connect(address, callback as null, options as ConnectOptions);
    } catch (error) {
      this._serverHostname = before;
      throw error;
    }
  }

  /** TCP is there, TLS comes now: whoever waits for the connection waits on. @internal */
  override _connectDone(): void {
    if (!this._sslAccepting) {
      super._connectDone();
      return;
    }
    this._connecting = false;
    try {
      const name = this._serverHostname;
      checkServerHostname(this._sslContext, false, name);
      if (name !== undefined && name !== this.socket.serverHostname) this.socket._askFor(name);
    } catch (error) {
      this._closeWith(error);
    }
  }

  // ---- The handshake ----

  /**
   * Waits for the handshake. After it this may be called any number of times and is done at once.
   *
   * Tornado: `wait_for_handshake` (4.2).
   *
   * @returns a Future of the stream; nothing when a callback is given, which gets no arguments
   * @throws TypeError for what is no callback; StreamClosedError on a closed stream; Error "Already waiting" while another wait is pending, also that of
   *   `connect` or `startTls`
   */
  waitForHandshake(callback?: null): Future<this>;
  waitForHandshake(callback: () => unknown): void;
  waitForHandshake(callback?: unknown): Future<this> | void {
    const bound = bindCallback("waitForHandshake", callback);
    this._checkClosed();
    const waiting = [this._sslConnectCallback, this._sslConnectFuture, this._startTlsFuture, this._connectCallback, this._connectFuture];
    if (waiting.some((each) => each !== undefined)) throw new Error("Already waiting: one can wait for the handshake at a time");
    let future: Future<this> | undefined;
    if (bound === undefined) future = this._sslConnectFuture = new Future<this>({ loop: this.ioLoop });
    else this._sslConnectCallback = bound;
    if (!this._sslAccepting) this._runSslConnectCallback();
    return future;
  }

  /** One step of the handshake, as far as it goes. @internal */
  _doSslHandshake(): void {
    this._handshakeReading = this._handshakeWriting = false;
    let want: number;
    try {
      want = this.socket.doHandshake();
    } catch (error) {
      this._handshakeFailed(error);
      return;
    }
    this._handshakeReading = want === SSL_ERROR_WANT_READ;
    this._handshakeWriting = want === SSL_ERROR_WANT_WRITE;
    if (want !== 0) return;
    this._sslAccepting = false;
    // What came with the last message of the handshake is with OpenSSL, not in the kernel (S156).
    this._dry = false;
    if (!this._verifyCert()) {
      this._handshakeFailed(new SSLError("The certificate is not accepted", { code: "CERT_REJECTED", library: "X509" }));
      return;
    }
    // The last message of the handshake and the first data are two small writes: with Nagle's algorithm the second would wait for the other end's
    // delayed acknowledgement, 40 ms on each connection.
    this.setNodelay(true);
    this._runSslConnectCallback();
  }

  private _handshakeFailed(error: unknown): void {
    // Closed inside sniCallback: nothing has failed.
    if (this.closed()) return;
    if (error instanceof SSLError) {
      generalLog.warn(`SSL Error on ${this.fileno()} ${this._peerName()}`, error);
    } else if (!this._isConnreset(error) && !isSystemError(error, "EBADF") && !isSystemError(error, "ENOTCONN")) {
      // Whatever else it is goes the way of all throws in event handling (S144).
      throw error;
    }
    this._closeWith(error);
  }

  private _peerName(): string {
    try {
      const peer = this.socket.getpeername();
      return Array.isArray(peer) ? `${peer[0]}:${peer[1]}` : String(peer) || "(unnamed peer)";
    } catch {
      return "(not connected)";
    }
  }

  /**
   * The identity check. OpenSSL does it inside the handshake, with the rest of the certificate, so that the other end is told; what is left is to
   * see that it has.
   *
   * @internal
   */
  _verifyCert(): boolean {
    return this.socket._verified;
  }

  /** Tells whoever waits for the handshake. @internal */
  _runSslConnectCallback(): void {
    const { _sslConnectFuture: future, _sslConnectCallback: callback, _startTlsFuture: started } = this;
    this._sslConnectFuture = this._sslConnectCallback = this._startTlsFuture = undefined;
    if (callback !== undefined) this._runCallback(callback);
    if (future !== undefined && !future.done()) future.setResult(this);
    if (started !== undefined && !started.done()) started.setResult(this);
    if (this._connectFuture !== undefined || this._connectCallback !== undefined) super._connectDone();
  }

  override _failOperations(): void {
    super._failOperations();
    const { _sslConnectFuture: future, _startTlsFuture: started } = this;
    this._sslConnectFuture = this._sslConnectCallback = this._startTlsFuture = undefined;
    this._handshakeReading = this._handshakeWriting = false;
    if (future !== undefined && !future.done()) future._fail(this._closedError());
    if (started !== undefined && !started.done()) started._fail(this.error ?? new StreamClosedError());
  }

  // ---- Events ----

  /** @internal */
  override _handleRead(): void {
    if (this._sslAccepting && !this._handshakeStep()) return;
    super._handleRead();
    this._lookForPending();
  }

  /** @internal */
  override _handleWrite(): void {
    if (this._sslAccepting) {
      if (this._handshakeStep()) this._handleRead();
      return;
    }
    if (this._handshakeWriting) {
      // A read could not go on before OpenSSL had sent an answer of its own, and now it can.
      this._handshakeWriting = false;
      this._dry = false;
      super._handleRead();
      if (this.closed()) return;
    }
    super._handleWrite();
  }

  /** A step of the handshake; if it was the last one, what waits to be written goes out. Says whether there is something to read now. */
  private _handshakeStep(): boolean {
    this._doSslHandshake();
    if (this._sslAccepting || this.closed()) return false;
    if (super.writing()) super._handleWrite();
    return !this.closed();
  }

  /** @internal */
  override _tryInlineRead(): void {
    super._tryInlineRead();
    this._lookForPending();
  }

  /** Goes on in the next iteration when OpenSSL has bytes of which no event will tell (S174). */
  private _lookForPending(): void {
    if (this._dry || this._goingOn || this._sslAccepting || this.closed()) return;
    // An idle stream looks only while it listens: that is how it sees a close_notify. With unread bytes it does not, for the end comes after them.
    const wanted = this.reading() || (this._state !== undefined && this._readBufferSize === 0);
    if (!wanted || !this.socket._hasPending()) return;
    this._goingOn = true;
    this.ioLoop.addCallback(goOn, this);
  }

  /** @internal */
  _goOn(): void {
    this._goingOn = false;
    if (this.closed() || this._dry) return;
    if (this.reading() || this._readBufferSize === 0) this._handleEvents(this.fileno(), READ);
  }

  /** While the handshake lasts, the interest is what it waits for, whatever reads and writes wait: WRITE for a queued write would fire for ever. @internal */
  override _updateIoState(events: number): void {
    if (!this._sslAccepting || this._connecting) {
      super._updateIoState(events);
      return;
    }
    if (this._state === undefined) return;
    const state = ERROR | (this._handshakeReading ? READ : 0) | (this._handshakeWriting ? WRITE : 0);
    if (state === this._state) return;
    this._state = state;
    this.ioLoop.updateHandler(this.fileno(), state);
  }

  /** @internal */
  override _addIoState(state: number): void {
    if (this._sslAccepting && !this._connecting && this._state !== undefined) return;
    super._addIoState(state);
  }

  // ---- Bytes ----

  override readFromFd(buf: Uint8Array): number | undefined {
    // There can be nothing before the handshake is done.
    if (this._sslAccepting) return undefined;
    const socket = this.socket;
    const count = socket.recvInto(buf);
    this._lastCount = count ?? 0;
    // What was found dry before is not any more, and here no event would say so.
    this._dry = false;
    this._handshakeWriting = count === undefined && socket._wantsWrite;
    if (this._handshakeWriting) this._addIoState(WRITE);
    return count;
  }

  override writeToFd(data: Uint8Array): number | undefined {
    return this._sslAccepting ? undefined : this.socket.send(data);
  }

  /** @internal */
  override _shortReadMeansDry(): boolean {
    return this._lastCount < SHORT_READ && this._lastCount > 0 && !this.socket._hasPending();
  }

  /** An end without close_notify is the ordinary end of many a connection. @internal */
  override _isConnreset(error: unknown): boolean {
    return super._isConnreset(error) || (error instanceof SSLError && error.code === UNEXPECTED_EOF);
  }
}

function goOn(stream: SSLIOStream): void {
  stream._goOn();
}

function isConnected(socket: Socket): boolean {
  try {
    socket.getpeername();
    return true;
  } catch (error) {
    if (isSystemError(error, "ENOTCONN")) return false;
    throw error;
  }
}
