/**
 * `StreamReaderProtocol`: from a transport's calls to a `StreamReader`, and the flow control that `StreamWriter.drain` waits on. Depends on the
 * reader and the writer.
 */
import type { Future } from "../concurrent/index.js";
import { isCancellation } from "../concurrent/index.js";
import { type IOLoop, isThenable } from "../ioloop/index.js";
import { errno, systemError } from "../platform/index.js";
import { checkOptions, show } from "../process/index.js";
import type { Both } from "./both.js";
import { callExceptionHandler, ioLoopOf, type LoopArgument } from "./loop-argument.js";
import { type Borrower, type FlowControl, Protocol } from "./protocol.js";
import { StreamReader } from "./stream-reader.js";
import { StreamWriter } from "./stream-writer.js";
import type { Transport } from "./transport.js";

/** What {@link StreamReaderProtocol} calls with each connection: a plain function or an async one. */
export type ClientConnectedCb = (reader: Both<StreamReader>, writer: Both<StreamWriter>) => unknown;

/**
 * Feeds a reader with what a transport receives. With a callback it also makes the writer, and calls it with both when the connection is there; what
 * it throws, or rejects with, is reported as "Unhandled exception in client_connected_cb" and closes the connection.
 *
 * asyncio: `StreamReaderProtocol`.
 */
export class StreamReaderProtocol extends Protocol implements Borrower, FlowControl {
  readonly #reader: StreamReader;
  readonly #clientConnectedCb: ClientConnectedCb | undefined;
  /** @internal */
  readonly _loop: IOLoop;
  #transport: Transport | undefined = undefined;
  #overSsl = false;
  #paused = false;
  #lost = false;
  #error: Error | undefined = undefined;
  #drains: Future<void>[] = [];
  #closings: Future<void>[] = [];

  /**
   * @throws TypeError for what is no reader, no function, no loop, or an unknown option
   */
  constructor(streamReader: StreamReader, clientConnectedCb?: ClientConnectedCb, options: { loop?: LoopArgument | undefined } = {}) {
    super();
    if (!(streamReader instanceof StreamReader)) throw new TypeError(`streamReader is ${show(streamReader)}: pass a StreamReader`);
    if (clientConnectedCb !== undefined) checkClientConnectedCb(clientConnectedCb);
    checkOptions("new StreamReaderProtocol()", ["loop"], options);
    this.#reader = streamReader;
    this.#clientConnectedCb = clientConnectedCb;
    this._loop = ioLoopOf(options.loop ?? streamReader._loop);
  }

  // ---- What the transport calls ----

  override connectionMade(transport: Transport): void {
    this.#transport = transport;
    this.#overSsl = transport.getExtraInfo("sslcontext") !== undefined;
    this.#reader.setTransport(transport);
    const callback = this.#clientConnectedCb;
    if (callback === undefined) return;
    const failed = (error: unknown): void => {
      if (!isCancellation(error)) {
        callExceptionHandler(this._loop, { message: "Unhandled exception in client_connected_cb", exception: error, transport });
      }
      // TLS may have taken the place of the transport that the connection began with.
      (this.#transport ?? transport).close();
    };
    try {
      const writer = new StreamWriter(transport, this, this.#reader, this._loop);
      const result = callback(this.#reader as Both<StreamReader>, writer as Both<StreamWriter>);
      if (isThenable(result)) result.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  override dataReceived(data: Buffer): void {
    this.#reader.feedData(data);
  }

  override eofReceived(): boolean {
    this.#reader.feedEof();
    // TLS has no half-closed connections: what follows close_notify is nobody's (A42).
    return !this.#overSsl;
  }

  override connectionLost(error?: Error): void {
    this.#lost = true;
    this.#error = error;
    if (error === undefined) this.#reader.feedEof();
    else this.#reader.setException(error);
    for (const future of this.#drains.splice(0)) end(future, error);
    for (const future of this.#closings.splice(0)) end(future, error);
    this.#transport = undefined;
  }

  override pauseWriting(): void {
    if (this.#paused) throw new Error("pauseWriting() while paused: a transport calls it once, then resumeWriting()");
    this.#paused = true;
  }

  override resumeWriting(): void {
    if (!this.#paused) throw new Error("resumeWriting() while not paused: a transport calls pauseWriting() first");
    this.#paused = false;
    for (const future of this.#drains.splice(0)) end(future, undefined);
  }

  /** @internal */
  get _borrows(): boolean {
    return this.dataReceived === StreamReaderProtocol.prototype.dataReceived && this.#reader.feedData === StreamReader.prototype.feedData;
  }

  /** @internal */
  _borrowed(memory: Buffer, count: number): void {
    this.#reader._append(memory, count);
  }

  // ---- What the writer asks ----

  /** Whether `drain` need not wait. @internal */
  get _writable(): boolean {
    return !this.#paused && !this.#lost;
  }

  /** Settles `future` when the transport takes more. Its failure needs no reader. @internal */
  _drain(future: Future<void>): void {
    if (future.done()) return;
    if (this.#lost) future._fail(connectionLost());
    else if (this.#paused) this.#drains.push(future);
    else future.setResult(undefined);
  }

  /** Settles `future` when the connection is over. @internal */
  _whenClosed(future: Future<void>): void {
    if (this.#lost) end(future, this.#error);
    else this.#closings.push(future);
  }

  /** Whether it is a server's end, which TLS has to know. @internal */
  get _serverSide(): boolean {
    return this.#clientConnectedCb !== undefined;
  }

  /** TLS begins on the connection. @internal */
  _replaceTransport(transport: Transport): void {
    this.#transport = transport;
    this.#overSsl = true;
  }
}

/** @throws TypeError when it is no function */
export function checkClientConnectedCb(callback: unknown): void {
  if (typeof callback !== "function") throw new TypeError(`clientConnectedCb is ${show(callback)}: pass a function`);
}

function end(future: Future<void>, error: Error | undefined): void {
  if (future.done()) return;
  if (error === undefined) future.setResult(undefined);
  else future._fail(error);
}

function connectionLost(): Error {
  return systemError(errno("ECONNRESET"), "drain", { reason: "Connection lost" });
}
