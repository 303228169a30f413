/** `TCPServer`: accepts connections and hands them on as streams. Depends on `bindSockets`, `addAcceptHandler`, `IOStream` and, for workers, `process`. */
import { existsSync } from "node:fs";
import { IOLoop, isThenable } from "../ioloop/index.js";
import { IOStream, SSLIOStream } from "../iostream/index.js";
import { applicationLog } from "../log.js";
import { constructing } from "../names.js";
import { type Address, errno, isSystemError, Socket, systemError } from "../platform/index.js";
import { checkOptions, checkWhole, forkProcesses, show } from "../process/index.js";
import { SSLContext, SSLError, type SSLOptions, sslOptionsToContext, sslWrapSocket, UNEXPECTED_EOF } from "../ssl/index.js";
import { addAcceptHandler } from "./accept-handler.js";
import { bindSockets, type BindSocketsOptions } from "./bind-sockets.js";

/** What `new TCPServer()` takes. */
export interface TCPServerOptions {
  /** A server's context, or what describes one, for a server that speaks TLS. */
  sslOptions?: SSLContext | SSLOptions | undefined;
  /** As for `new IOStream()`, for each connection. */
  maxBufferSize?: number | undefined;
  /** As for `new IOStream()`, for each connection. */
  readChunkSize?: number | undefined;
}

/** What setting up TLS meets when the other end has gone already: nothing to log (N68). */
const GONE: readonly string[] = ["ECONNABORTED", "EINVAL", "ENOTCONN"];

const SERVER_KEYS = ["sslOptions", "maxBufferSize", "readChunkSize"];

/**
 * A TCP server: extend it and override `handleStream`. It serves on the loop that is current when its sockets are added.
 *
 * One process: `listen`. Several: `bind` and `await server.start(n)`, or `bindSockets`, `await forkProcesses(n)` and `addSockets`.
 *
 * Tornado: `TCPServer`, with the behaviour of 5.0.
 *
 * @example
 * class EchoServer extends TCPServer {
 *   override async handleStream(stream: IOStream): Promise<void> {
 *     for await (const chunk of stream) await stream.write(chunk);
 *     stream.close();
 *   }
 * }
 * new EchoServer().listen(8888);
 * IOLoop.current().start();
 */
export class TCPServer {
  /** What was given. */
  readonly sslOptions: SSLContext | SSLOptions | undefined;
  readonly maxBufferSize: number | undefined;
  readonly readChunkSize: number | undefined;
  /** What connections are wrapped with. @internal */
  readonly _sslContext: SSLContext | undefined;
  /** What is served, by descriptor. @internal */
  readonly _sockets = new Map<number, Socket>();
  /** How to end serving it. @internal */
  readonly _handlers = new Map<number, () => void>();
  /** What `bind` has bound and `start` is to serve. @internal */
  _pendingSockets: Socket[] = [];
  /** @internal */
  _started = false;
  /** @internal */
  _stopped = false;

  /**
   * @throws TypeError for an unknown option or one of a wrong type
   * @throws RangeError for a size that is no count of bytes, and for `sslOptions` without a certificate, or with a file that does not exist
   * @throws what `sslOptionsToContext` throws
   */
  constructor(options: TCPServerOptions = {}) {
    constructing(new.target);
    checkOptions(`new ${new.target.name}()`, SERVER_KEYS, options);
    const { sslOptions, maxBufferSize, readChunkSize } = options;
    if (maxBufferSize !== undefined) checkWhole("maxBufferSize", maxBufferSize, 0, Number.MAX_SAFE_INTEGER);
    if (readChunkSize !== undefined) checkWhole("readChunkSize", readChunkSize, 0, Number.MAX_SAFE_INTEGER);
    // Once, not for each connection: a file that is missing or broken is told of here.
    if (sslOptions !== undefined) this._sslContext = serverContext(sslOptions);
    this.sslOptions = sslOptions;
    this.maxBufferSize = maxBufferSize;
    this.readChunkSize = readChunkSize;
  }

  /**
   * Serves on a port from now on; may be called several times. The arguments are those of {@link bindSockets}.
   *
   * @throws what bindSockets throws; Error after `stop()`
   */
  listen(port: number, address?: string, options?: BindSocketsOptions): void;
  listen(port: number, options?: BindSocketsOptions): void;
  listen(port: number, addressOrOptions?: string | BindSocketsOptions, options?: BindSocketsOptions): void {
    this.#checkNotStopped("listen");
    this.#addBound(bindSockets(port, addressOrOptions as string, options));
  }

  /**
   * Serves on sockets that were made elsewhere. They belong to the server from here on: `stop()` closes them.
   *
   * @throws SystemError EBADF for a closed one; Error for one that is served already, or after `stop()`. Then none of them is served
   */
  addSockets(sockets: Iterable<Socket>): void {
    this.#checkNotStopped("addSockets");
    const added = [...sockets];
    const numbers = new Set(this._sockets.keys());
    for (const socket of added) {
      if (!(socket instanceof Socket)) throw new TypeError(`sockets has ${show(socket)}: pass listening Sockets`);
      const fd = socket.fileno();
      if (fd < 0) throw systemError(errno("EBADF"), "listen", { reason: "a socket is closed" });
      if (numbers.has(fd)) throw new Error(`The socket with descriptor ${fd} is served already: pass each once`);
      numbers.add(fd);
    }
    const done: number[] = [];
    try {
      for (const socket of added) {
        const fd = socket.fileno();
        this._handlers.set(
          fd,
          addAcceptHandler(socket, (connection, address) => this._handleConnection(connection, address)),
        );
        this._sockets.set(fd, socket);
        done.push(fd);
      }
    } catch (error) {
      for (const fd of done) this.#forget(fd);
      throw error;
    }
  }

  /** `addSockets([socket])`. */
  addSocket(socket: Socket): void {
    this.addSockets([socket]);
  }

  /**
   * Binds a port and leaves serving to `start()`; after `start()` it serves at once. May be called several times. The arguments are those of
   * {@link bindSockets}.
   *
   * @throws what bindSockets throws; Error after `stop()`
   */
  bind(port: number, address?: string, options?: BindSocketsOptions): void;
  bind(port: number, options?: BindSocketsOptions): void;
  bind(port: number, addressOrOptions?: string | BindSocketsOptions, options?: BindSocketsOptions): void {
    this.#checkNotStopped("bind");
    const sockets = bindSockets(port, addressOrOptions as string, options);
    if (this._started) this.#addBound(sockets);
    else this._pendingSockets.push(...sockets);
  }

  /**
   * Serves what `bind` has bound: here (1, the default), or in `numProcesses` workers; 0 or less means one for each processor. With workers it
   * returns a promise that resolves in each of them once it serves and never in this process; see {@link forkProcesses}. `await` it.
   *
   * @param maxRestarts - of all workers together, before it gives up; 100 without it
   * @throws Error when it is called twice, or after `stop()`
   */
  start(numProcesses: number | undefined = 1, maxRestarts?: number): void | Promise<void> {
    this.#checkNotStopped("start");
    if (this._started) throw new Error("start() was called before: it is called once, and bind() afterwards serves at once");
    if (numProcesses === 1) {
      this._started = true;
      this.#servePending();
      return;
    }
    const forked = forkProcesses(numProcesses, maxRestarts);
    this._started = true;
    return forked.then(() => {
      if (!this._stopped) this.#servePending();
    });
  }

  /** Stops listening and closes the sockets, those too that were bound and never started. Open streams go on. Calling again does nothing. */
  stop(): void {
    if (this._stopped) return;
    this._stopped = true;
    for (const [fd, socket] of [...this._sockets]) {
      this.#forget(fd);
      socket.close();
    }
    for (const socket of this._pendingSockets) socket.close();
    this._pendingSockets = [];
    // Connections hold on to what they need of it.
    if (this._sslContext !== this.sslOptions) this._sslContext?.close();
  }

  /**
   * Called with each connection, on the server's loop: override it. When it throws, or the promise it returns rejects, that is logged and the
   * stream closed. When it returns and leaves the stream open, the stream stays open. With TLS the stream is an `SSLIOStream`, whose handshake may
   * not be done yet: reads and writes wait for it.
   *
   * @param address - the other end's
   */
  handleStream(_stream: IOStream, _address: Address): void | PromiseLike<void> {
    throw new Error(`${this.constructor.name} does not override handleStream(): extend TCPServer and define it`);
  }

  /** @internal */
  _handleConnection(connection: Socket, address: Address): void {
    const loop = IOLoop.current();
    let stream: IOStream | undefined;
    try {
      stream = this.#openStream(connection);
      if (stream === undefined) return;
      const result = this.handleStream(stream, address);
      if (!isThenable(result)) return;
      // Everything here is kept as long as the connection: a done callback with its async context would take five times the memory of this.
      const opened = stream;
      Promise.resolve(result).then(undefined, (error: unknown) => {
        // The first reports the failure the way of all callbacks, the second cleans up after it.
        loop.addCallback(function handleStream() {
          throw error;
        });
        loop.addCallback(() => opened.close());
      });
    } catch (error) {
      applicationLog.error("Error in connection callback", error);
      (stream ?? connection).close();
    }
  }

  /** The stream of a connection; `undefined` when its other end turns out to be gone. */
  #openStream(connection: Socket): IOStream | undefined {
    const options = { maxBufferSize: this.maxBufferSize, readChunkSize: this.readChunkSize };
    if (this._sslContext === undefined) return new IOStream(connection, options);
    let secure: Socket | undefined;
    try {
      secure = sslWrapSocket(connection, this._sslContext, { serverSide: true, doHandshakeOnConnect: false });
      return new SSLIOStream(secure, options);
    } catch (error) {
      (secure ?? connection).close();
      if (isSystemError(error) ? GONE.includes(error.code) : error instanceof SSLError && error.code === UNEXPECTED_EOF) return undefined;
      throw error;
    }
  }

  #servePending(): void {
    const sockets = this._pendingSockets;
    this._pendingSockets = [];
    this.#addBound(sockets);
  }

  /** Sockets of our own making: nobody else would close them. */
  #addBound(sockets: readonly Socket[]): void {
    try {
      this.addSockets(sockets);
    } catch (error) {
      for (const socket of sockets) socket.close();
      throw error;
    }
  }

  #forget(fd: number): void {
    this._handlers.get(fd)?.();
    this._handlers.delete(fd);
    this._sockets.delete(fd);
  }

  #checkNotStopped(method: string): void {
    if (this._stopped) throw new Error(`${method}() after stop(): make a new server`);
  }
}

/** The context of a server; what Tornado checks by itself, the certificate and its files, comes first. */
function serverContext(options: SSLContext | SSLOptions): SSLContext {
  if (typeof options === "object" && (options as unknown) !== null && !(options instanceof SSLContext)) {
    const { certfile, keyfile, cert, sniCallback } = options;
    if (certfile === undefined && cert === undefined && sniCallback === undefined) {
      throw new RangeError('sslOptions has a missing key "certfile": a server needs a certificate, from certfile or cert');
    }
    for (const [name, file] of Object.entries({ certfile, keyfile })) {
      if (typeof file === "string" && !existsSync(file)) throw new RangeError(`${name} "${file}" does not exist`);
    }
  }
  return sslOptionsToContext(options, true);
}
