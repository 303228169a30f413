/** `StreamWriter`: a transport's sending side for coroutines. Depends on transports, and on `start-tls.ts`. */
import { inspect } from "node:util";
import { Future } from "../concurrent/index.js";
import type { IOLoop } from "../ioloop/index.js";
import { constructing } from "../names.js";
import type { Data } from "../platform/index.js";
import { checkOptions, show } from "../process/index.js";
import type { SSLContext, SSLOptions } from "../ssl/index.js";
import { ioLoopOf, type LoopArgument } from "./loop-argument.js";
import type { FlowControl, Protocol } from "./protocol.js";
import { checkTlsTimeouts, upgrade } from "./start-tls.js";
import type { StreamReader } from "./stream-reader.js";
import { Task } from "./task.js";
import { BaseTransport, type Transport } from "./transport.js";

/** What {@link StreamWriter.startTls} takes. */
export interface WriterTlsOptions {
  /** On the client side: the name to ask for, and to check the certificate for. */
  serverHostname?: string | undefined;
  /** Seconds; 60 without it. */
  sslHandshakeTimeout?: number | undefined;
  /** Seconds; 30 without it. */
  sslShutdownTimeout?: number | undefined;
}

/**
 * Writes to a transport. Made by the functions that connect and serve, seldom by hand.
 *
 * asyncio: `StreamWriter`, as of 3.13.
 *
 * @example
 * writer.write("hello\n");
 * await writer.drain();
 * writer.close();
 * await writer.waitClosed();
 */
export class StreamWriter implements AsyncDisposable {
  /** The transport; after {@link startTls} the one that speaks TLS. */
  transport: Transport;
  readonly #protocol: Protocol;
  readonly #reader: StreamReader | undefined;
  readonly #loop: IOLoop;
  /** What `drain` answers when there is nothing to wait for: the same each time. */
  #drained: Future<void> | undefined = undefined;

  /**
   * @param protocol - the transport's; `drain` and `waitClosed` need a `StreamReaderProtocol`
   * @param reader - whose failure is `drain`'s too
   */
  constructor(transport: Transport, protocol: Protocol, reader: StreamReader | undefined, loop: LoopArgument) {
    constructing(new.target);
    if (!(transport instanceof BaseTransport)) throw new TypeError(`transport is ${show(transport)}: pass a Transport`);
    this.transport = transport;
    this.#protocol = protocol;
    this.#reader = reader;
    this.#loop = ioLoopOf(loop);
  }

  /**
   * Sends bytes, at once as far as that is possible; the rest is queued (and copied). Never waits: `await drain()` now and then. After `close()`, or when
   * the connection is lost, it is dropped.
   *
   * @throws TypeError for what are no bytes; Error after {@link writeEof}
   */
  write(data: Data): void {
    this.transport.write(data);
  }

  /**
   * Sends several in order, with one system call where possible.
   *
   * @throws TypeError for what is no list; Error after {@link writeEof}
   */
  writelines(data: Iterable<Data>): void {
    this.transport.writelines(data);
  }

  /** Whether {@link writeEof} is possible: not over TLS. */
  canWriteEof(): boolean {
    return this.transport.canWriteEof();
  }

  /**
   * Ends the sending side once what is queued is out; reading goes on.
   *
   * @throws Error over TLS
   */
  writeEof(): void {
    this.transport.writeEof();
  }

  /** `peername`, `sockname`, `socket`; over TLS also `sslcontext`, `ssl_object`, `peercert`, `cipher`, `compression`. `fallback` for others. */
  getExtraInfo(name: string, fallback?: unknown): unknown {
    return this.transport.getExtraInfo(name, fallback);
  }

  /** Closes the connection once what is queued is out. */
  close(): void {
    this.transport.close();
  }

  /** Whether it is closed, or on its way there. asyncio 3.7. */
  isClosing(): boolean {
    return this.transport.isClosing();
  }

  /** Waits until the connection is over and the descriptor closed; rejects with the error that ended it. asyncio 3.7. */
  waitClosed(): Future<void> {
    const future = this.#future();
    const protocol = this.#flow("waitClosed", future);
    protocol?._whenClosed(future);
    return future;
  }

  /**
   * Waits while too much is queued: from more than the high-water mark until the low-water mark is reached.
   *
   * Rejects with what {@link StreamReader.setException} was given, and with ECONNRESET when the connection is over. On a connection that is closing one
   * iteration of the loop passes first, so that a loop of write and drain notices.
   */
  drain(): Future<void> {
    const error = this.#reader?.exception();
    if (error === undefined && !this.transport.isClosing() && (this.#protocol as Partial<FlowControl>)._writable === true) {
      if (this.#drained === undefined) {
        this.#drained = this.#future();
        this.#drained.setResult(undefined);
      }
      return this.#drained;
    }
    const future = this.#future();
    if (error !== undefined) {
      future._fail(error);
      return future;
    }
    const protocol = this.#flow("drain", future);
    if (protocol === undefined) return future;
    if (this.transport.isClosing()) this.#loop.addCallback(() => protocol._drain(future));
    else protocol._drain(future);
    return future;
  }

  /**
   * Goes on over TLS: waits until everything is sent, shakes hands, and puts the TLS transport in the place of the present one. The same reader goes on.
   * What has been received and not read is the beginning of the other end's TLS. It is the server's end if the protocol has a callback for clients.
   *
   * Rejects with TypeError and RangeError for wrong arguments, Error on a TLS or closed connection; the connection goes on then. What the handshake
   * fails with closes it.
   *
   * asyncio: `start_tls` (3.11).
   */
  startTls(context: SSLContext | SSLOptions, options: WriterTlsOptions = {}): Future<void> {
    return new Task<void>(this.#loop).run(async (task) => {
      checkOptions("startTls()", ["serverHostname", "sslHandshakeTimeout", "sslShutdownTimeout"], options);
      const protocol = this.#protocol as FlowControl;
      if (typeof (this.#protocol as Partial<FlowControl>)._replaceTransport !== "function") throw foreignProtocol("startTls", protocol);
      await upgrade(task, this.transport, protocol, context, {
        serverSide: protocol._serverSide,
        serverHostname: options.serverHostname,
        ...checkTlsTimeouts(options),
        prefix: () => this.#reader?._buffered(),
        begun: (transport) => {
          this.transport = transport;
          protocol._replaceTransport(transport);
          this.#reader?._upgrade(transport);
        },
      });
    });
  }

  /** {@link close} and {@link waitClosed}; an error that ended the connection is none here. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.waitClosed().catch(() => undefined);
  }

  #future(): Future<void> {
    const future = new Future<void>();
    future._scheduler = this.#loop;
    return future;
  }

  /** The protocol, if it is one that knows of flow control; else `future` fails. */
  #flow(method: string, future: Future<void>): FlowControl | undefined {
    const protocol = this.#protocol as Partial<FlowControl>;
    if (typeof protocol._drain === "function") return protocol as FlowControl;
    future._settleFailed(foreignProtocol(method, this.#protocol), false);
    return undefined;
  }

  /** `<StreamWriter transport=... reader=...>` */
  toString(): string {
    const reader = this.#reader === undefined ? "" : ` reader=${String(this.#reader)}`;
    return `<${this.constructor.name} transport=${inspect(this.transport, { depth: 0 })}${reader}>`;
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString();
  }
}

function foreignProtocol(method: string, protocol: Protocol): Error {
  return new Error(`${method}() needs the protocol to be a StreamReaderProtocol, this one is a ${protocol.constructor.name}`);
}
