/** `EventLoop`: asyncio's face of an `IOLoop`. Depends on the loop and on the functions that connect and serve. */
import { AsyncResource } from "node:async_hooks";
import { inspect } from "node:util";
import { Future } from "../concurrent/index.js";
import { type Callback, checkCallback, checkSeconds, type FileDescriptor, IOLoop, type TimeoutHandle } from "../ioloop/index.js";
import { checkOptions, show } from "../process/index.js";
import type { SSLContext, SSLOptions } from "../ssl/index.js";
import type { Both } from "./both.js";
import {
  type ConnectionOptions,
  createConnection,
  createUnixConnection,
  type ProtocolFactory,
  type UnixConnectionOptions,
} from "./create-connection.js";
import { createServer, type CreateServerOptions, createUnixServer, type CreateUnixServerOptions } from "./create-server.js";
import { ensureFuture } from "./ensure-future.js";
import { callExceptionHandler, type ExceptionContext, logException, setExceptionHandler } from "./loop-argument.js";
import type { Protocol } from "./protocol.js";
import type { Server } from "./server.js";
import { transportOf } from "./socket-transport.js";
import { checkTlsTimeouts, type TlsTimeouts, upgrade } from "./start-tls.js";
import { Task } from "./task.js";
import type { Transport } from "./transport.js";

/** A callback that is to be called. asyncio: `Handle`, `TimerHandle`. */
export class Handle {
  #call: (() => unknown) | undefined;
  #timeout: TimeoutHandle | undefined = undefined;
  readonly #loop: IOLoop;

  /** @internal */
  constructor(loop: IOLoop, call: () => unknown) {
    this.#loop = loop;
    this.#call = call;
  }

  /** It will not be called. */
  cancel(): void {
    this.#call = undefined;
    if (this.#timeout !== undefined) this.#loop.removeTimeout(this.#timeout);
    this.#timeout = undefined;
  }

  /** Whether it was cancelled. asyncio 3.7. */
  cancelled(): boolean {
    return this.#call === undefined;
  }

  /** @internal */
  _at(when: number): this {
    this.#timeout = this.#loop.callAt(when, () => this._run());
    return this;
  }

  /** @internal */
  _run(): unknown {
    return this.#call?.();
  }
}

/** What watches one descriptor: two callbacks on one handler of the loop. */
class Watch {
  readonly fd: FileDescriptor;
  reader: (() => unknown) | undefined = undefined;
  writer: (() => unknown) | undefined = undefined;

  constructor(fd: FileDescriptor) {
    this.fd = fd;
  }

  get events(): number {
    return (this.reader === undefined ? IOLoop.NONE : IOLoop.READ) | (this.writer === undefined ? IOLoop.NONE : IOLoop.WRITE);
  }
}

/** An exception handler; with no `undefined` it replaces the log. */
export type LoopExceptionHandler = (loop: Both<EventLoop>, context: ExceptionContext) => void;

const faces = new WeakMap<IOLoop, EventLoop>();

/** asyncio's face of the current `IOLoop`: the same object each time. asyncio: `get_event_loop`. */
export function getEventLoop(): Both<EventLoop> {
  const loop = IOLoop.current();
  let face = faces.get(loop);
  if (face === undefined) faces.set(loop, (face = new EventLoop(loop)));
  return face as Both<EventLoop>;
}

/**
 * An `IOLoop` with asyncio's methods. Thin: everything happens on the `IOLoop`, which may be used beside it.
 *
 * asyncio: `AbstractEventLoop`.
 *
 * @example
 * const loop = getEventLoop();
 * await loop.runUntilComplete(main());
 * loop.close();
 */
export class EventLoop {
  /** @internal */
  readonly _ioLoop: IOLoop;
  readonly #watches = new Map<number, Watch>();

  /** @internal */
  constructor(loop: IOLoop) {
    this._ioLoop = loop;
  }

  // ---- Running ----

  /**
   * Runs until `x` is done and gives its result. Rejects with its failure; with an Error when the loop runs already, is closed, or is stopped before.
   *
   * @param x - as for {@link ensureFuture}
   */
  runUntilComplete<T>(x: PromiseLike<T> | (() => PromiseLike<T>)): Promise<T> {
    const refused = this.#refusal("runUntilComplete");
    if (refused !== undefined) {
      // It will not be waited for, so its failure is nobody's.
      if (typeof x !== "function") x.then(undefined, () => undefined);
      return Promise.reject(refused);
    }
    if (typeof x === "function") return this._ioLoop.runSync<T>(() => ensureFuture(x, { loop: this }));
    try {
      // Followed from here on: it may fail before the loop has its first turn, and must not be an unhandled rejection then.
      const future = ensureFuture(x, { loop: this });
      return this._ioLoop.runSync<T>(() => future);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Runs until {@link stop}. */
  runForever(): Promise<void> {
    const refused = this.#refusal("runForever");
    return refused === undefined ? this._ioLoop.start() : Promise.reject(refused);
  }

  #refusal(method: string): Error | undefined {
    if (this.isClosed()) return new Error(`${method}() on a closed EventLoop: make a new IOLoop`);
    if (this.isRunning()) return new Error(`${method}() on an EventLoop that is running: await what is to be waited for`);
    return undefined;
  }

  /** Ends {@link runForever} after the present iteration. */
  stop(): void {
    this._ioLoop.stop();
  }

  /**
   * Closes the loop.
   *
   * @throws Error while it is running
   */
  close(): void {
    if (this.isRunning()) throw new Error("close() on a running EventLoop: stop() it and await the promise of its run first");
    this._ioLoop.close();
  }

  /** Whether it is running. */
  isRunning(): boolean {
    return this._ioLoop._running;
  }

  /** Whether it is closed. */
  isClosed(): boolean {
    return this._ioLoop._closing;
  }

  /** The loop's clock, in seconds. */
  time(): number {
    return this._ioLoop.time();
  }

  // ---- Callbacks ----

  /**
   * Calls `callback(...args)` in the next iteration, after what is queued already.
   *
   * @throws TypeError when it is no function; Error on a closed loop
   */
  callSoon<A extends unknown[]>(callback: Callback<A>, ...args: A): Handle {
    const handle = this.#handle("callSoon", callback, args);
    this._ioLoop.addCallback(() => handle._run());
    return handle;
  }

  /** {@link callSoon}: an object belongs to its thread, and other threads come in through a wake handle of the `IOLoop`. */
  callSoonThreadsafe<A extends unknown[]>(callback: Callback<A>, ...args: A): Handle {
    return this.callSoon(callback, ...args);
  }

  /** Calls `callback(...args)` in `delay` seconds. */
  callLater<A extends unknown[]>(delay: number, callback: Callback<A>, ...args: A): Handle {
    checkSeconds(delay, "delay");
    return this.#handle("callLater", callback, args)._at(this.time() + delay);
  }

  /** Calls `callback(...args)` at `when`, on the clock of {@link time}. */
  callAt<A extends unknown[]>(when: number, callback: Callback<A>, ...args: A): Handle {
    checkSeconds(when, "when");
    return this.#handle("callAt", callback, args)._at(when);
  }

  #handle<A extends unknown[]>(method: string, callback: Callback<A>, args: A): Handle {
    checkCallback(callback, "callback");
    if (this.isClosed()) throw new Error(`${method}() on a closed EventLoop: make a new IOLoop`);
    return new Handle(this._ioLoop, () => callback(...args));
  }

  /** A Future whose done callbacks run on this loop. asyncio 3.5.2. */
  createFuture<T>(): Future<T> {
    return new Future<T>({ loop: this._ioLoop });
  }

  /** {@link ensureFuture} on this loop. */
  createTask<T>(x: PromiseLike<T> | (() => PromiseLike<T>)): Future<T> {
    return ensureFuture(x, { loop: this });
  }

  // ---- Descriptors ----

  /**
   * Calls `callback(...args)` whenever the descriptor is readable. It replaces the one given before.
   *
   * @throws Error when a transport uses the descriptor
   */
  addReader<A extends unknown[]>(fd: FileDescriptor, callback: Callback<A>, ...args: A): void {
    const bound = this.#bound(callback, args);
    this.#watch(fd, (watch) => (watch.reader = bound));
  }

  /** {@link addReader} for writability. */
  addWriter<A extends unknown[]>(fd: FileDescriptor, callback: Callback<A>, ...args: A): void {
    const bound = this.#bound(callback, args);
    this.#watch(fd, (watch) => (watch.writer = bound));
  }

  /** Takes the reader off; whether there was one. */
  removeReader(fd: FileDescriptor): boolean {
    return this.#unwatch(fd, "reader");
  }

  /** Takes the writer off; whether there was one. */
  removeWriter(fd: FileDescriptor): boolean {
    return this.#unwatch(fd, "writer");
  }

  /** In the context of the call, as both share a handler that has but one. */
  #bound<A extends unknown[]>(callback: Callback<A>, args: A): () => unknown {
    checkCallback(callback, "callback");
    const context = new AsyncResource("EventLoop.watch", { requireManualDestroy: true });
    return () => context.runInAsyncScope(callback, undefined, ...args);
  }

  #watch(fd: FileDescriptor, set: (watch: Watch) => void): void {
    const [number] = this._ioLoop.splitFd(fd);
    if (number >= 0 && transportOf(this._ioLoop, number) !== undefined) {
      throw new Error(`Descriptor ${number} is used by a transport: use that, or a dup() of its socket`);
    }
    const known = this.#watches.get(number);
    const watch = known ?? new Watch(fd);
    const before = { reader: watch.reader, writer: watch.writer };
    set(watch);
    try {
      if (known === undefined) this._ioLoop.addHandler(fd, (_fd, events) => this.#ready(watch, events), watch.events);
      else this._ioLoop.updateHandler(number, watch.events);
    } catch (error) {
      Object.assign(watch, before);
      throw error;
    }
    this.#watches.set(number, watch);
  }

  #unwatch(fd: FileDescriptor, side: "reader" | "writer"): boolean {
    const [number] = this._ioLoop.splitFd(fd);
    // One that has closed its descriptor is known by itself.
    const [key, watch] = [...this.#watches].find(([each, { fd: own }]) => (number >= 0 ? each === number : own === fd)) ?? [];
    if (key === undefined || watch?.[side] === undefined) return false;
    watch[side] = undefined;
    if (watch.events === IOLoop.NONE) {
      this.#watches.delete(key);
      if (!this.isClosed()) this._ioLoop.removeHandler(key);
    } else {
      this._ioLoop.updateHandler(key, watch.events);
    }
    return true;
  }

  /** A hang-up or an error is news for both. */
  #ready(watch: Watch, events: number): void {
    const failed = (events & IOLoop.ERROR) !== 0;
    const { reader, writer } = watch;
    const run = (callback: () => unknown): void => {
      try {
        callback();
      } catch (error) {
        this._ioLoop.handleCallbackException(callback, error);
      }
    };
    if (reader !== undefined && (failed || (events & IOLoop.READ) !== 0)) run(reader);
    // The reader may have taken it off.
    if (writer !== undefined && watch.writer === writer && (failed || (events & IOLoop.WRITE) !== 0)) run(writer);
  }

  // ---- Connections ----

  /** {@link createConnection} on this loop. */
  createConnection<P extends Protocol>(
    protocolFactory: ProtocolFactory<P>,
    host?: string | ConnectionOptions,
    port?: number,
    options?: ConnectionOptions,
  ): Future<[Both<Transport>, P]> {
    if (typeof host === "object") return createConnection(protocolFactory, { ...host, loop: this });
    return createConnection(protocolFactory, host, port, { ...options, loop: this });
  }

  /** {@link createUnixConnection} on this loop. */
  createUnixConnection<P extends Protocol>(
    protocolFactory: ProtocolFactory<P>,
    path?: string | UnixConnectionOptions,
    options?: UnixConnectionOptions,
  ): Future<[Both<Transport>, P]> {
    if (typeof path === "object") return createUnixConnection(protocolFactory, { ...path, loop: this });
    return createUnixConnection(protocolFactory, path, { ...options, loop: this });
  }

  /** {@link createServer} on this loop. */
  createServer(
    protocolFactory: ProtocolFactory,
    host?: string | readonly string[] | CreateServerOptions,
    port?: number,
    options?: CreateServerOptions,
  ): Future<Both<Server>> {
    if (typeof host === "object" && !Array.isArray(host))
      return createServer(protocolFactory, { ...(host as CreateServerOptions), loop: this });
    return createServer(protocolFactory, host as string | readonly string[] | undefined, port, { ...options, loop: this });
  }

  /** {@link createUnixServer} on this loop. */
  createUnixServer(
    protocolFactory: ProtocolFactory,
    path?: string | CreateUnixServerOptions,
    options?: CreateUnixServerOptions,
  ): Future<Both<Server>> {
    if (typeof path === "object") return createUnixServer(protocolFactory, { ...path, loop: this });
    return createUnixServer(protocolFactory, path, { ...options, loop: this });
  }

  /**
   * Puts TLS on a connection that is in use, and gives the transport that speaks it; the present one must not be used any more. All errors are
   * rejections; a handshake that fails closes the connection.
   *
   * asyncio: `start_tls` (3.7).
   */
  startTls(
    transport: Transport,
    protocol: Protocol,
    context: SSLContext | SSLOptions,
    options: { serverSide?: boolean | undefined; serverHostname?: string | undefined } & TlsTimeouts = {},
  ): Future<Both<Transport>> {
    return new Task<Both<Transport>>(this._ioLoop).run(async (task) => {
      checkOptions("startTls()", ["serverSide", "serverHostname", "sslHandshakeTimeout", "sslShutdownTimeout"], options);
      const { serverSide = false, serverHostname } = options;
      if (typeof serverSide !== "boolean") throw new TypeError(`serverSide is ${show(serverSide)}: use true or false`);
      const secured: Transport = await upgrade(task, transport, protocol, context, {
        serverSide,
        serverHostname,
        ...checkTlsTimeouts(options),
      });
      return secured as Both<Transport>;
    });
  }

  // ---- Failures ----

  /**
   * Sets who hears of failures that no caller can be told of; `undefined` restores the log.
   *
   * @throws TypeError for what is no function
   */
  setExceptionHandler(handler: LoopExceptionHandler | undefined): void {
    if (handler === undefined) {
      setExceptionHandler(this._ioLoop, undefined);
      return;
    }
    checkCallback(handler, "handler");
    setExceptionHandler(this._ioLoop, (context) => handler(this as EventLoop as Both<EventLoop>, context));
  }

  /** Tells of a failure: the handler that was set, else the log `application`. */
  callExceptionHandler(context: ExceptionContext): void {
    if (typeof (context as Partial<ExceptionContext> | null)?.message !== "string") {
      throw new TypeError(`context is ${show(context)}: pass an object with a message`);
    }
    callExceptionHandler(this._ioLoop, context);
  }

  /** What happens without a handler: a line in the log `application`. */
  defaultExceptionHandler(context: ExceptionContext): void {
    logException(context);
  }

  /** `<EventLoop running>` */
  toString(): string {
    return `<EventLoop ${this.isClosed() ? "closed" : this.isRunning() ? "running" : "stopped"}>`;
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString();
  }
}
