/**
 * `IOLoop`: the face of the event loop. What an implementation must provide stands here as methods that throw, as in Tornado's base class;
 * what can be said in terms of those (`callLater`, `addFuture`, `runSync` ...) is said here once. `poll-ioloop.ts` is the implementation.
 *
 * Facts are those of Tornado 4.5 corrected by 5.0 to 6.5; `docs/spec/ioloop.md` has each behaviour under a number.
 */
import { inspect } from "node:util";
import { applicationLog, generalLog } from "../log.js";
import { type Executor, Future, isCancellation, isFuture, setCurrentScheduler, ThreadPoolExecutor } from "../concurrent/index.js";
import { constructing } from "../names.js";
import * as platform from "../platform/index.js";
import { checkCallback, isSystemError, isThenable } from "./checks.js";
import { type BlockAction, BlockingWatch, type BlockInfo } from "./blocking.js";
import { type ConfigurableClass, configureFamily, familyOf, implementationNamed, type SavedConfiguration } from "./configurable.js";
import type { Callback, QueuedCallback, Runnable } from "./context.js";
import { currentLoop, getSingleton, setMark, setSingleton } from "./current.js";
import { checkSeconds, type Deadline, deadlineToSeconds } from "./deadline.js";
import { type EventCallback, type FileDescriptor, splitFd } from "./handler-table.js";
import type { HostName } from "./host/host.js";
import * as masks from "./masks.js";
import type { LoopObserver, LoopStatistics } from "./observer.js";
import { runSync } from "./run-sync.js";
import type { TimeoutHandle } from "./timeouts.js";
import type { WakeHandle } from "./wake-handle.js";

/** Options of every loop. */
export interface IOLoopOptions {
  /**
   * Whether the new loop becomes the current one. `undefined`: if there is none; `true`: the same, but an Error if there is one; `false`:
   * no. Tornado 4.2 to 6.2.
   */
  makeCurrent?: boolean;
  /** Replaces the clock: seconds, on any origin. Tornado 3.0. */
  timeFunc?: () => number;
  /** Forces a poller, in place of the platform's best and of the environment variable `IOLOOP_POLLER`. */
  poller?: "epoll" | "poll";
  /** Forces the way a wait is spent inside Node, in place of what suits the thread and of `IOLOOP_HOST`. */
  host?: HostName;
}

/** A class that `IOLoop.configure` takes. */
export type IOLoopClass = ConfigurableClass<IOLoop>;

/** What `current` takes: `false`, or the same in an object, asks without making a loop. */
export type CurrentOptions = boolean | { instance?: boolean };

/**
 * An event loop on file descriptors.
 *
 * `new IOLoop()` makes an instance of the configured class, by default `EPollIOLoop` on Linux. All methods belong to the thread that made
 * the loop; other threads come in through `createWakeHandle`.
 *
 * @example
 * const loop = IOLoop.current();
 * loop.callLater(1, () => { loop.stop(); });
 * loop.start();
 */
export class IOLoop {
  static readonly NONE: number = masks.NONE;
  static readonly READ: number = masks.READ;
  static readonly WRITE: number = masks.WRITE;
  static readonly ERROR: number = masks.ERROR;
  static readonly _EPOLLIN: number = platform.EPOLLIN;
  static readonly _EPOLLPRI: number = platform.EPOLLPRI;
  static readonly _EPOLLOUT: number = platform.EPOLLOUT;
  static readonly _EPOLLERR: number = platform.EPOLLERR;
  static readonly _EPOLLHUP: number = platform.EPOLLHUP;
  static readonly _EPOLLRDHUP: number = platform.EPOLLRDHUP;
  static readonly _EPOLLONESHOT: number = platform.EPOLLONESHOT;
  static readonly _EPOLLET: number = platform.EPOLLET;

  // The constructor calls initialize(), which runs before a subclass's field initialisers would: hence no fields with initialisers here or
  // in the implementations, only declarations.
  /** The clock in place of the default one. */
  declare timeFunc: (() => number) | undefined;
  /** Called at each step of an iteration; `undefined` for none, which costs one comparison a step. */
  declare observer: LoopObserver | undefined;
  /** Between `start()` and the resolution of its promise. */
  declare _running: boolean;
  /** A `stop()` that no run has consumed yet. */
  declare _stopped: boolean;
  /** Closed. */
  declare _closing: boolean;
  /** Seconds; `undefined` while no threshold is set. */
  declare _blockingSignalThreshold: number | undefined;
  declare protected _blocking: BlockingWatch | undefined;
  declare private _defaultExecutor: Executor | undefined;

  /**
   * Makes an instance of the configured class (or of the class named, if it is one). Options given here come before those given to
   * `configure`.
   *
   * @throws Error with `makeCurrent: true` when there is a current loop, and where the platform has no poller
   */
  constructor(options: IOLoopOptions = {}) {
    if (new.target === IOLoop) {
      const { implementation, defaults } = familyOf(IOLoop);
      const Class = (implementation as IOLoopClass | undefined) ?? defaultClass(options.poller);
      return new Class({ ...defaults, ...options });
    }
    constructing(new.target);
    checkOptions(options);
    const { makeCurrent } = options;
    if (makeCurrent === true && currentLoop() !== undefined) {
      throw new Error("makeCurrent is true but there is a current IOLoop already: leave it out, or call IOLoop.clearCurrent() first");
    }
    this._running = this._stopped = this._closing = false;
    this.timeFunc = options.timeFunc;
    this.observer = this._blocking = this._blockingSignalThreshold = this._defaultExecutor = undefined;
    this.stop = this.stop.bind(this);
    this.initialize(options);
    if (makeCurrent !== false && currentLoop() === undefined) this.makeCurrent();
  }

  // ---- Configuration ----

  /**
   * Chooses the class that `new IOLoop()` makes, with default options for it; `undefined` restores the platform's. Existing loops keep
   * what they are.
   *
   * @throws RangeError for a class that is no IOLoop, or a name that is not exported
   */
  static configure(impl: IOLoopClass | string | undefined, options: object = {}): void {
    configureFamily(IOLoop, impl, options);
  }

  /** The class that `new IOLoop()` would make now. */
  static configuredClass(): IOLoopClass {
    return (familyOf(IOLoop).implementation as IOLoopClass | undefined) ?? defaultClass(undefined);
  }

  /** The root of the family. */
  static configurableBase(): typeof IOLoop {
    return IOLoop;
  }

  /** The platform's class when nothing is configured: `EPollIOLoop` on Linux. */
  static configurableDefault(): IOLoopClass {
    return defaultClass(undefined);
  }

  /** For tests: what is configured now. */
  static _saveConfiguration(): SavedConfiguration {
    const { implementation, defaults } = familyOf(IOLoop);
    return { implementation, defaults };
  }

  /** For tests: configures what was saved. */
  static _restoreConfiguration(saved: SavedConfiguration): void {
    configureFamily(IOLoop, saved.implementation, saved.defaults);
  }

  // ---- The singleton and the current loop ----

  /** The thread's singleton, made on first use. As in Tornado 4.5. */
  static instance(): IOLoop {
    let loop = getSingleton();
    if (loop === undefined) {
      loop = new IOLoop();
      setSingleton(loop);
    }
    return loop;
  }

  /** Whether the singleton exists. Tornado until 4.5. */
  static initialized(): boolean {
    return getSingleton() !== undefined;
  }

  /** Forgets the singleton without closing it. Tornado 4.0. */
  static clearInstance(): void {
    setSingleton(undefined);
  }

  /**
   * The loop this code belongs to: the one whose callback, timeout or handler is on the stack, else the one started last that still
   * runs (so also after an `await`), else the marked one, else `instance()`; with `{ instance: false }` or `false`, `undefined` instead of
   * making one.
   */
  static current(options?: true | { instance?: true }): IOLoop;
  static current(options: CurrentOptions): IOLoop | undefined;
  static current(options: CurrentOptions = true): IOLoop | undefined {
    const instance = typeof options === "boolean" ? options : (options.instance ?? true);
    return currentLoop() ?? (instance ? IOLoop.instance() : undefined);
  }

  /** Removes the mark that `makeCurrent` set; nothing happens when there is none. */
  static clearCurrent(): void {
    setMark(undefined);
  }

  /**
   * Makes this loop the singleton.
   *
   * @throws Error when there is one
   */
  install(): void {
    this._checkOpen("install");
    if (IOLoop.initialized()) throw new Error("The IOLoop singleton exists already: call IOLoop.clearInstance() before install()");
    setSingleton(this);
  }

  /** Marks this loop as the current one of the thread. */
  makeCurrent(): void {
    this._checkOpen("makeCurrent");
    setMark(this);
  }

  // ---- What an implementation provides ----

  /** Subclass hook, called by the constructor before any field initialiser of a subclass runs; call `super.initialize(options)`. */
  protected initialize(_options: IOLoopOptions): void {
    // The base class has nothing to set up.
  }

  /** Frees what the loop owns; with `allFds` (or `true`) also closes every descriptor and object that is registered. */
  close(_options?: boolean | { allFds?: boolean }): void {
    throw notProvided(this, "close");
  }

  /** Starts watching a descriptor; see `PollIOLoop.addHandler`. */
  addHandler<F extends FileDescriptor>(_fd: F, _handler: EventCallback<F>, _events: number): void {
    throw notProvided(this, "addHandler");
  }

  /** `addHandler` for handlers of the library itself, which run with no async context. @internal */
  _addBareHandler<F extends FileDescriptor>(fd: F, handler: EventCallback<F>, events: number): void {
    this.addHandler(fd, handler, events);
  }

  /** Replaces the events watched for. */
  updateHandler(_fd: FileDescriptor, _events: number): void {
    throw notProvided(this, "updateHandler");
  }

  /** Stops watching. */
  removeHandler(_fd: FileDescriptor): void {
    throw notProvided(this, "removeHandler");
  }

  /** Runs the loop until it is stopped; see `PollIOLoop.start`. */
  start(): Promise<void> {
    throw notProvided(this, "start");
  }

  /** Asks the loop to leave after the current iteration. */
  stop(): void {
    throw notProvided(this, "stop");
  }

  /** Calls `callback` at an absolute time; see `PollIOLoop.callAt`. */
  callAt<A extends unknown[]>(_when: number, _callback: Callback<A>, ..._args: A): TimeoutHandle {
    throw notProvided(this, "callAt");
  }

  /** Cancels a timeout. */
  removeTimeout(_timeout: TimeoutHandle): void {
    throw notProvided(this, "removeTimeout");
  }

  /** Calls `callback` once, in the next iteration; see `PollIOLoop.addCallback`. */
  addCallback<A extends unknown[]>(_callback: Callback<A>, ..._args: A): void {
    throw notProvided(this, "addCallback");
  }

  /** `addCallback` from a signal listener; see `PollIOLoop.addCallbackFromSignal`. */
  addCallbackFromSignal<A extends unknown[]>(_callback: Callback<A>, ..._args: A): void {
    throw notProvided(this, "addCallbackFromSignal");
  }

  /** `addCallback` without the caller's async context. */
  spawnCallback<A extends unknown[]>(callback: Callback<A>, ...args: A): void {
    this.addCallbackFromSignal(callback, ...args);
  }

  /** `spawnCallback` for what the library itself schedules, which brings its own async context. @internal */
  _spawnRunnable(runnable: QueuedCallback): void {
    this.spawnCallback(() => runnable.run());
  }

  /** The way in from other threads; see `PollIOLoop.createWakeHandle`. */
  createWakeHandle(_callback: () => unknown): WakeHandle {
    throw notProvided(this, "createWakeHandle");
  }

  /** Runs one iteration by hand; see `PollIOLoop.runIteration`. */
  runIteration(): void {
    throw notProvided(this, "runIteration");
  }

  /** The state of the loop in numbers. */
  statistics(): LoopStatistics {
    throw notProvided(this, "statistics");
  }

  /** Ends the run; with a failure, `start()` rejects with it. */
  protected _leave(..._failure: [] | [error: unknown]): void {
    throw notProvided(this, "_leave");
  }

  // ---- What can be said in terms of those ----

  /**
   * The loop's clock: seconds since the epoch, fractional, never decreasing, and following the time that really passes rather than later
   * changes of the system clock. Deadlines are times on this clock. Override it, or pass `timeFunc`, for another.
   */
  time(): number {
    return this.timeFunc === undefined ? (performance.timeOrigin + performance.now()) / 1000 : this.timeFunc();
  }

  /**
   * Calls `callback(...args)` once `deadline` has come: an absolute number on `time()`'s clock, or a `Duration` from now. The order is that of
   * `callAt`.
   *
   * @throws TypeError for anything else as a deadline, NaN included, and when `callback` is no function
   * @throws Error on a closed loop
   */
  addTimeout<A extends unknown[]>(deadline: Deadline, callback: Callback<A>, ...args: A): TimeoutHandle {
    return this.callAt(
      deadlineToSeconds(deadline, () => this.time()),
      callback,
      ...args,
    );
  }

  /** `callAt(time() + delay, ...)`: `delay` is in seconds and may be negative. Tornado 4.0. */
  callLater<A extends unknown[]>(delay: number, callback: Callback<A>, ...args: A): TimeoutHandle {
    checkSeconds(delay, "delay");
    return this.callAt(this.time() + delay, callback, ...args);
  }

  /**
   * Calls `callback(future)` once, in the iteration after the Future is done and in its place in the queue: result, exception or
   * cancellation, which are the callback's business. Never inside this call.
   *
   * @throws TypeError when `future` is no Future of this library; convert a promise first
   */
  addFuture<T>(future: Future<T>, callback: (future: Future<T>) => unknown): void {
    if (!isFuture(future)) {
      throw new TypeError(`future is ${inspect(future, { depth: 0 })}: pass a Future; convertYielded() makes one of any promise`);
    }
    checkCallback(callback, "callback");
    future._addDoneCallbackOn(this, callback);
  }

  /**
   * Runs `func(...args)` in an executor and returns a Future of its outcome, settled from an iteration of this loop. With `undefined` the
   * default executor is used. What functions an executor accepts is its own business: a thread pool runs their source text elsewhere, so
   * they see nothing of this program but their arguments. Tornado 5.0.
   *
   * @throws what `executor.submit` throws, TypeError when `executor` has no `submit`, Error on a closed loop
   */
  runInExecutor<A extends unknown[], T>(executor: Executor | undefined, func: (...args: A) => T, ...args: A): Future<Awaited<T>> {
    this._checkOpen("runInExecutor");
    checkCallback(func, "func");
    let target = executor;
    if (target === undefined) {
      this._defaultExecutor ??= new ThreadPoolExecutor();
      target = this._defaultExecutor;
    }
    checkExecutor(target);
    const future = new Future<Awaited<T>>({ loop: this });
    const settle = (outcome: () => void): void => {
      const unlessDone = (): void => {
        if (!future.done()) outcome();
      };
      // A loop that was closed meanwhile runs nothing any more, and whoever awaits the Future must not wait for ever.
      if (this._closing) unlessDone();
      else this.addCallback(unlessDone);
    };
    target.submit(func, ...args).then(
      (value) => {
        settle(() => {
          future.setResult(value);
        });
      },
      (error: unknown) => {
        settle(() => {
          future._settleFailed(error, false);
        });
      },
    );
    return future;
  }

  /** The executor that `runInExecutor(undefined, ...)` uses from now on. Closing the loop shuts it down. Tornado 5.0. */
  setDefaultExecutor(executor: Executor): void {
    checkExecutor(executor);
    this._defaultExecutor = executor;
  }

  /** For `close`. */
  protected _shutDownExecutor(): void {
    const executor = this._defaultExecutor;
    this._defaultExecutor = undefined;
    if (executor === undefined) return;
    try {
      const ended = executor.shutdown?.(false);
      if (isThenable(ended)) ended.then(undefined, logShutdownFailure);
    } catch (error) {
      logShutdownFailure(error);
    }
  }

  /**
   * Starts the loop, runs `func` in it to its end, stops the loop. The promise has the value of the awaitable that `func` returned, or
   * undefined if it returned undefined or null. With `timeout` (seconds, also as a bare number) it rejects with `TimeoutError`
   * when the time is over; a Future is cancelled then and waited for, a plain promise is left alone.
   *
   * It rejects with `func`'s own error, with a TypeError when `func` returns something that cannot be awaited, and with an Error when the
   * loop is running or closed or something else stops it first.
   */
  runSync<T>(func: () => PromiseLike<T> | undefined, options: number | { timeout?: number } = {}): Promise<T> {
    return runSync(this, func, options, {
      isRunning: () => this._running,
      isClosed: () => this._closing,
      isStopPending: () => this._stopped,
    });
  }

  /**
   * Calls `action` when the loop's own work between two polls takes longer than `seconds`, when that work is over at the latest; at most once
   * for each such span. With `action` undefined the process gets SIGALRM; `seconds` undefined switches off. Tornado until 5.1.
   */
  setBlockingSignalThreshold(seconds: number | undefined, action: BlockAction | undefined): void {
    if (seconds !== undefined) checkSeconds(seconds, "seconds");
    if (action !== undefined) checkCallback(action, "action");
    this._blockingSignalThreshold = seconds;
    this._blocking =
      seconds === undefined ? undefined : new BlockingWatch(seconds, action ?? (() => void process.kill(process.pid, "SIGALRM")));
  }

  /** Turns a blocking log on (`seconds`) or off (`undefined`): a warning when one iteration's work takes longer. Tornado until 5.1. */
  setBlockingLogThreshold(seconds: number | undefined): void {
    this.setBlockingSignalThreshold(seconds, (info) => {
      this.logStack(info);
    });
  }

  /** The action of `setBlockingLogThreshold`: logs a warning on `general`. Tornado until 5.1. */
  logStack(info: BlockInfo): void {
    const name = info.callback.name || "<anonymous>";
    generalLog.warn(`IOLoop blocked for ${info.seconds.toFixed(3)} seconds (threshold ${info.threshold}) in ${name}`, info.stack);
  }

  /** Runs one callback, looks at what it returns, routes errors. */
  _runCallback(runnable: Runnable): void {
    // Asked for first: a timeout lets go of its function when it runs.
    const { callback } = runnable;
    if (callback === undefined) return;
    try {
      const result = runnable.run();
      if (isThenable(result)) this._discardFutureResult(result, callback);
    } catch (error) {
      this._failed(callback, error);
    }
    this._blocking?.ran(callback);
  }

  /** Observes an awaitable that `callback` returned, without waiting for it, so that its failure is seen (L64). */
  _discardFutureResult(future: PromiseLike<unknown>, callback: Callback<never>, inHandler = false): void {
    // A thenable of somebody else's may call back at once, or twice; a promise around it does neither.
    const observed = isFuture(future) ? future : Promise.resolve(future);
    observed.then(undefined, (error: unknown) => {
      try {
        this._failed(callback, error, inHandler);
      } catch (unexpected) {
        // An override that throws ends the run also where no turn is there to catch it (L63).
        this._leave(unexpected);
      }
    });
  }

  protected _failed(callback: Callback<never>, error: unknown, inHandler = false): void {
    if (isCancellation(error)) return;
    // The peer has gone, which a handler that writes learns this way; the next read or the hang-up tells the same (L61).
    if (inHandler && (error as NodeJS.ErrnoException | null | undefined)?.code === "EPIPE") return;
    this.handleCallbackException(callback, error);
  }

  /**
   * Called with what a callback, timeout or handler threw, or the promise it returned rejected with. Logs "Exception in callback" on
   * `application`. Override it, in a subclass or on one loop, for another treatment; if the override throws, `start()` rejects with that.
   */
  handleCallbackException(callback: unknown, error: unknown): void {
    applicationLog.error(`Exception in callback ${functionName(callback)}`, error);
  }

  /** The number of a descriptor, and the value as given. For subclasses. Tornado 4.0. */
  splitFd(fd: FileDescriptor): [number, FileDescriptor] {
    return splitFd(fd);
  }

  /** Closes an object by its `close()`, a number by close(2); system errors are ignored. For subclasses. Tornado 4.0. */
  closeFd(fd: FileDescriptor): void {
    try {
      if (typeof fd === "number") platform.closeDescriptor(fd);
      else if (typeof fd.close === "function") fd.close();
      else platform.closeDescriptor(fd.fileno());
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  /** `closeFd` for `close({ allFds: true })`: an object that cannot be closed must not keep the rest open (L92). */
  protected _closeRegistered(fd: FileDescriptor): void {
    try {
      this.closeFd(fd);
    } catch (error) {
      applicationLog.error("A registered object could not be closed with its IOLoop", error);
    }
  }

  /** `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @throws Error on a closed loop, naming the method */
  protected _checkOpen(method: string): void {
    if (this._closing) throw new Error(`${method}() on a closed IOLoop: make a new one`);
  }
}

/** The class for a forced poller, else for the environment's, else for the platform. */
function defaultClass(forced: string | undefined): IOLoopClass {
  const poller = forced ?? process.env["IOLOOP_POLLER"] ?? "";
  const name = { "": "EPollIOLoop", epoll: "EPollIOLoop", poll: "PosixPollIOLoop" }[poller];
  if (name === undefined) throw new RangeError(`poller is ${inspect(poller)}: use "epoll" or "poll"`);
  if (process.platform !== "linux") {
    throw new Error(`No poller for the platform ${process.platform}: ioloop runs on Linux (x64 and arm64)`);
  }
  const implementation = implementationNamed<IOLoop>(IOLoop, name);
  if (implementation === undefined) throw new Error(`${name} has not been loaded: import "ioloop", not a part of it`);
  return implementation;
}

const OPTION_TYPES: Readonly<Record<string, string>> = { makeCurrent: "boolean", timeFunc: "function" };

function checkOptions(options: object): void {
  for (const [name, type] of Object.entries(OPTION_TYPES)) {
    const value = (options as Record<string, unknown>)[name];
    if (value !== undefined && typeof value !== type) {
      throw new TypeError(`${name} is ${inspect(value, { depth: 0 })}: pass a ${type}, or leave it out`);
    }
  }
}

function checkExecutor(executor: Executor): void {
  if (typeof (executor as Partial<Executor> | null)?.submit !== "function") {
    throw new TypeError(`executor is ${inspect(executor, { depth: 0 })}: pass an Executor, an object with submit(fn, ...args)`);
  }
}

function functionName(callback: unknown): string {
  return typeof callback === "function" ? callback.name || "<anonymous>" : inspect(callback, { depth: 0 });
}

function logShutdownFailure(error: unknown): void {
  applicationLog.error("The default executor of an IOLoop failed to shut down", error);
}

function notProvided(loop: IOLoop, method: string): Error {
  return new Error(`${loop.constructor.name} does not provide ${method}(): override it, or extend PollIOLoop`);
}

// Done callbacks of Futures go to the loop that is current where they are added (P32).
setCurrentScheduler(() => IOLoop.current());
