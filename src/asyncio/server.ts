/** `Server`: listening sockets and their clients. Depends on `addAcceptHandler` and the transports. */
import { unlinkSync, statSync } from "node:fs";
import { inspect } from "node:util";
import { CancelledError, Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { generalLog } from "../log.js";
import { addAcceptHandler } from "../net/index.js";
import { type Address, isSystemError, type Socket } from "../platform/index.js";
import { type SSLContext, sslWrapSocket } from "../ssl/index.js";
import type { LoopArgument } from "./loop-argument.js";
import type { Protocol } from "./protocol.js";
import { type Owner, SocketTransport } from "./socket-transport.js";
import { TlsTransport } from "./tls-transport.js";
import { TransportSocket } from "./transport-socket.js";

/** What a server needs to serve; the functions that make one have checked it. */
export interface ServerPlan {
  readonly loop: IOLoop;
  /** What `getLoop()` answers. */
  readonly loopArgument: LoopArgument;
  readonly sockets: readonly Socket[];
  readonly backlog: number;
  readonly makeProtocol: () => Protocol;
  readonly tls: { readonly context: SSLContext; readonly handshakeTimeout: number; readonly shutdownTimeout: number } | undefined;
  /** A context that was made for this server. */
  readonly ownContext: SSLContext | undefined;
  /** A socket file to remove at the end, as it was when it was bound. */
  readonly file: { readonly path: string; readonly inode: number; readonly device: number } | undefined;
}

/**
 * Listening sockets and the clients that came through them. Made by `startServer` and `createServer` and their unix forms.
 *
 * asyncio: `Server`, as of 3.13.
 */
export class Server implements Owner, AsyncDisposable {
  readonly #plan: ServerPlan;
  #sockets: readonly Socket[];
  #faces: readonly TransportSocket[];
  readonly #clients = new Set<SocketTransport>();
  #removers: (() => void)[] = [];
  #serving = false;
  #closed = false;
  #forever: ServeForever | undefined = undefined;
  #waiting: Future<void>[] = [];

  /** @internal */
  constructor(plan: ServerPlan) {
    this.#plan = plan;
    this.#sockets = plan.sockets;
    this.#faces = plan.sockets.map((socket) => new TransportSocket(socket));
  }

  /** The listening sockets; none once it is closed. */
  get sockets(): readonly TransportSocket[] {
    return this.#faces;
  }

  /** The loop it was given, or that was current when it was made. asyncio 3.7. */
  getLoop(): LoopArgument {
    return this.#plan.loopArgument;
  }

  /** Whether it accepts connections. asyncio 3.7. */
  isServing(): boolean {
    return this.#serving;
  }

  /**
   * Begins to accept; nothing happens when it does already. asyncio 3.7.
   *
   * Rejects with an Error on a closed server.
   */
  startServing(): Future<void> {
    const future = new Future<void>();
    future._scheduler = this.#plan.loop;
    try {
      this._serve();
      future.setResult(undefined);
    } catch (error) {
      future._settleFailed(error, false);
    }
    return future;
  }

  /** @internal */
  _serve(): void {
    if (this.#closed) throw new Error("The server is closed: make a new one");
    if (this.#serving) return;
    const { loop, backlog } = this.#plan;
    for (const socket of this.#sockets) socket.listen(backlog);
    this.#serving = true;
    // The handler belongs to the loop that is current where it is added.
    if (IOLoop.current(false) === loop) this.#accept();
    else loop.addCallback(() => this.#accept());
  }

  #accept(): void {
    if (this.#closed) return;
    for (const socket of this.#sockets) {
      this.#removers.push(addAcceptHandler(socket, (connection, address) => this.#connected(connection, address)));
    }
  }

  #connected(connection: Socket, address: Address): void {
    const { loop, makeProtocol, tls } = this.#plan;
    const protocol = makeProtocol();
    if (tls === undefined) {
      new SocketTransport(loop, connection, protocol, this, address)._start();
      return;
    }
    const { context, handshakeTimeout, shutdownTimeout } = tls;
    const wrapped = sslWrapSocket(connection, context, { serverSide: true });
    const transport = new TlsTransport(
      loop,
      wrapped,
      protocol,
      { handshakeTimeout, shutdownTimeout, ownContext: undefined },
      this,
      address,
    );
    const handshake = new Future<void>();
    transport._shakeHands(handshake, true);
    // A handshake that fails is the client's affair; the transport has said so at debug level.
    handshake._markRead();
    handshake._addListener(IGNORED);
  }

  /** Serves until it is cancelled or closed; then closes the clients too, waits for them, and rejects with CancelledError. asyncio 3.7. */
  serveForever(): Future<never> {
    const future = new ServeForever(this);
    future._scheduler = this.#plan.loop;
    try {
      if (this.#forever !== undefined) throw new Error("serveForever() is running already: await the first one");
      this._serve();
      this.#forever = future;
    } catch (error) {
      future._settleFailed(error, false);
    }
    return future;
  }

  /** Stops listening, at once. Clients are left alone. Calling it again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#serving = false;
    for (const remove of this.#removers) remove();
    this.#removers = [];
    this.#removeFile();
    for (const socket of this.#sockets) socket.close();
    this.#sockets = this.#faces = [];
    this.#forever?.cancel();
    this.#forever = undefined;
    this.#wake();
  }

  #removeFile(): void {
    const { file } = this.#plan;
    if (file === undefined) return;
    try {
      const found = statSync(file.path, { throwIfNoEntry: false });
      // Somebody else's by now, or gone.
      if (found?.ino !== file.inode || found.dev !== file.device) return;
      unlinkSync(file.path);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      generalLog.error(`The socket file ${file.path} could not be removed`, error);
    }
  }

  /** Waits until it is closed **and** no client is left. asyncio: as of 3.12; before, it did not wait for clients. */
  waitClosed(): Future<void> {
    const future = new Future<void>();
    future._scheduler = this.#plan.loop;
    if (this.#over()) future.setResult(undefined);
    else this.#waiting.push(future);
    return future;
  }

  /** Closes the clients' connections, after what waits has been written. asyncio 3.13. */
  closeClients(): void {
    for (const transport of [...this.#clients]) transport.close();
  }

  /** Closes the clients' connections at once. asyncio 3.13. */
  abortClients(): void {
    for (const transport of [...this.#clients]) transport.abort();
  }

  /** `close()` and `waitClosed()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.waitClosed();
  }

  /** @internal */
  _attach(transport: SocketTransport): void {
    this.#clients.add(transport);
  }

  /** @internal */
  _detach(transport: SocketTransport): void {
    this.#clients.delete(transport);
    this.#wake();
  }

  #over(): boolean {
    return this.#closed && this.#clients.size === 0;
  }

  #wake(): void {
    if (!this.#over()) return;
    this.#plan.ownContext?.close();
    for (const future of this.#waiting.splice(0)) if (!future.done()) future.setResult(undefined);
  }

  /** `<Server sockets=127.0.0.1:8888>` */
  toString(): string {
    const names = this.#sockets.map((socket) => {
      const name = socket.getsockname();
      return Array.isArray(name) ? name.slice(0, 2).join(":") : String(name);
    });
    return `<${this.constructor.name} sockets=${names.join(",") || "none"}>`;
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString();
  }
}

const IGNORED = {
  _futureSettled(future: Future<unknown>): void {
    future._markRead();
  },
};

/** What `serveForever` gives. As with a task in Python, `cancel()` asks, and the outcome is there when the server is closed. */
class ServeForever extends Future<never> {
  readonly #server: Server;
  #ending = false;

  constructor(server: Server) {
    super();
    this.#server = server;
  }

  override cancel(message?: string): boolean {
    if (this.done()) return super.cancel(message);
    if (this.#ending) return true;
    this.#ending = true;
    this.#server.close();
    this.#server.closeClients();
    const closed = this.#server.waitClosed();
    const end = (): void => this._settleCancelled(new CancelledError(message));
    if (closed.done()) end();
    else closed._addListener({ _futureSettled: end });
    return true;
  }
}
