/**
 * The heart of the loop: one iteration, top to bottom (`docs/guide/iteration.md` draws it).
 *
 *     (1) n = callbacks queued now           (5) how long to wait
 *     (2) timeouts that are due now          (6) leave, if asked to
 *     (3) run the n callbacks                (7) poll for at most that long
 *     (4) run the due timeouts               (8) dispatch what is ready
 *
 * A *turn* is what Node runs of this between two rounds of its own. It begins when a wait has ended, with (8), and goes on with (1) to the next
 * wait. Where something is queued after (8), the turn ends there and the next begins with (1): promise reactions of what was
 * dispatched come first (H8), and Node gets a round (H4).
 */
import { applicationLog, generalLog } from "../log.js";
import { CallbackQueue } from "./callbacks.js";
import { checkCallback, checkKeys, isThenable } from "./checks.js";
import { bindCallback, type Callback, Context, ContextCallback, FreeCallback, type QueuedCallback, withoutContext } from "./context.js";
import * as current from "./current.js";
import { checkSeconds } from "./deadline.js";
import { type EventCallback, type FileDescriptor, HandlerTable, Registration } from "./handler-table.js";
import { type Host, makeHost } from "./host/index.js";
import { IOLoop, type IOLoopOptions } from "./ioloop.js";
import { checkMask, ERROR, READ } from "./masks.js";
import type { LoopStatistics, LoopStep } from "./observer.js";
import type { Poller } from "./pollers/poller.js";
import { type _Timeout, checkTimeout, type TimeoutHandle, TimeoutHeap } from "./timeouts.js";
import { type WakeHandle, WakeHandles } from "./wake-handle.js";
import { Waker } from "./waker.js";

/** The longest single wait, in seconds. */
const _POLL_TIMEOUT = 3600;

/** Options of a loop around a poller of one's own. */
export interface PollIOLoopOptions extends IOLoopOptions {
  /** The poller. It belongs to the loop from here on, which closes it. */
  impl: Poller;
}

/** Tornado's `PollIOLoop`: the algorithm, around any `Poller`. */
export class PollIOLoop extends IOLoop {
  // Set in initialize(); see the note on fields in IOLoop.
  declare _impl: Poller;
  declare _handlers: HandlerTable;
  declare _events: Map<number, number>;
  declare _callbacks: CallbackQueue;
  declare _timeouts: TimeoutHeap;
  declare _waker: Waker;
  declare private _host: Host;
  declare private _waiting: boolean;
  declare private _stopPending: boolean;
  /** In an iteration run by hand. */
  declare private _stepping: boolean;
  declare private _bare: boolean;
  declare private _iterations: number;
  declare private _flushQueued: boolean;
  declare private _wakeHandles: WakeHandles;
  declare private _started: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it narrows the type: `impl` is required
  constructor(options: PollIOLoopOptions) {
    super(options);
  }

  protected override initialize(options: PollIOLoopOptions): void {
    super.initialize(options);
    this._impl = options.impl;
    this._handlers = new HandlerTable(options.impl, (fd) => this._observe({ type: "handler-removed", fd }));
    this._events = new Map();
    this._callbacks = new CallbackQueue();
    this._timeouts = new TimeoutHeap();
    this._iterations = 0;
    this._waiting = this._stopPending = this._stepping = this._bare = this._flushQueued = false;
    this._started = undefined;
    try {
      const turn = (): void => this._turn();
      this._waker = new Waker();
      this._wakeHandles = new WakeHandles(this._waker);
      this._host = makeHost(this._impl, options.host, turn, this._waker, this._events);
      this._addBareHandler(this._waker, () => this._woken(), READ);
    } catch (error) {
      (this._waker as Waker | undefined)?.close();
      this._impl.close();
      throw error;
    }
  }

  // ---- Starting and stopping ----

  /**
   * Runs the loop until `stop()`. Returns a promise that resolves when the loop has left its last iteration; nothing of the loop runs inside
   * this call. A running loop keeps the process alive, so as the last line of a script it needs no `await`.
   *
   * The promise rejects, and the loop can be started again, when the poller fails or an overridden `handleCallbackException` throws.
   *
   * @throws Error when the loop is closed, or running: also between `stop()` and the resolution of the promise
   */
  override start(): Promise<void> {
    this._checkOpen("start");
    if (this._running) throw new Error("start() on an IOLoop that is already running: await the promise of the first start()");
    this._host.start();
    this._running = true;
    // A stop() made before this start() is consumed by it: no iteration runs (L70).
    this._stopPending = this._stopped;
    current.started(this);
    return new Promise((resolve, reject) => {
      this._started = { resolve, reject };
    });
  }

  /**
   * Asks the loop to leave: the callbacks and timeouts of the present iteration run, or if it is dispatching, the rest of the batch and one
   * more round of callbacks and timeouts. What those add waits for the next `start()`. Before a `start()`, makes that one return at
   * once. Bound, so `addCallback(loop.stop)` works.
   */
  override stop(): void {
    if (this._closing) return;
    this._stopped = true;
    if (this._waiting) this._host.wake();
  }

  /** What Node calls: when a wait has ended, and when something was left to do. */
  private _turn(): void {
    if (this._started === undefined) return;
    const outer = current.setExecuting(this);
    this._blocking?.resume();
    try {
      if (this._stopPending) this._leave();
      else if (!this._waiting) this._iterate();
      else this._endWait();
    } catch (error) {
      this._leave(error);
    } finally {
      this._blocking?.pause();
      current.setExecuting(outer);
    }
  }

  private _endWait(): void {
    this._waiting = false;
    const dispatched = this._dispatch();
    const now = this._timeouts.length > 0 ? this.time() : -Infinity;
    if (dispatched && this._hasWork(now)) this._host.again();
    // After a dispatch nothing will run before the next wait, so `now` still holds; by a second reading a timeout could be due meanwhile, and
    // its wait of 0 would bring a second dispatch into this turn (H4).
    else this._iterate(now, dispatched);
  }

  /** Whether (1) to (6) would do anything. */
  private _hasWork(now: number): boolean {
    if (this._stopped || this._callbacks.length > 0) return true;
    const head = this._timeouts.head();
    return head !== undefined && head.deadline <= now;
  }

  // ---- One iteration ----

  /**
   * (1) to (7); and (8), where the answer of the poll is there at once. `now` is what the clock showed, if it was just read, and `holds` that
   * it need not be read again, for nothing is going to run.
   */
  private _iterate(now?: number, holds = false): void {
    const stopped = this._runQueued(now);
    const wait = this._waitLength(holds ? now : undefined); // (5)
    if (stopped) {
      this._leave(); // (6)
      return;
    }
    this._handlers.flush(wait === 0);
    if (this.observer !== undefined) this._observe({ type: "wait", seconds: wait });
    this._waiting = !this._host.wait(wait); // (7)
    if (this._waiting) return;
    this._dispatch();
    this._host.again();
  }

  /** (1) to (4). Returns whether the loop has been asked to stop. */
  private _runQueued(now?: number): boolean {
    this._iterations++;
    if (this.observer !== undefined) this._observe({ type: "iteration-start", iteration: this._iterations });
    const count = this._callbacks.length; // (1)
    // Fixed before anything runs, so that a zero-delay chain starves nobody (L5, L32).
    const due = this._timeouts.length > 0 ? this._timeouts.takeDue(now ?? this.time()) : []; // (2)
    try {
      for (let ran = 0; ran < count; ran++) {
        const callback = this._callbacks.shift() as QueuedCallback;
        if (this.observer !== undefined) this._observe({ type: "callback-run", callback: callback.callback });
        this._runCallback(callback); // (3)
      }
      for (const timeout of due) {
        const { callback } = timeout;
        if (callback === undefined) continue; // Removed by a callback or timeout of this iteration (L30).
        if (this.observer !== undefined) this._observe({ type: "timeout-run", timeout, callback });
        this._runCallback(timeout); // (4)
      }
    } catch (error) {
      // The loop leaves; the due timeouts that have not run are as good as those that were not due yet.
      for (const timeout of due) if (timeout.callback !== undefined) this._timeouts.push(timeout);
      throw error;
    }
    if (this._stopped && this.observer !== undefined) this._observe({ type: "iteration-end", iteration: this._iterations });
    return this._stopped;
  }

  /** (5): with the time that (3) and (4) took. */
  private _waitLength(now?: number): number {
    if (this._callbacks.length > 0) return 0;
    const head = this._timeouts.head();
    if (head === undefined) return _POLL_TIMEOUT;
    return Math.min(Math.max(head.deadline - (now ?? this.time()), 0), _POLL_TIMEOUT);
  }

  /** (8): whether anything was ready. */
  private _dispatch(): boolean {
    const events = this._events;
    this._collect(events);
    this._blocking?.polled();
    const ready = events.size > 0;
    if (ready && this.observer !== undefined) this._observe({ type: "ready", ready: [...events] });
    for (const [fd, mask] of events) {
      // Out before its handler runs, which may add, update, remove or close anything (L9). What is removed meanwhile leaves the map (L46).
      events.delete(fd);
      const registration = this._handlers.get(fd);
      if (registration !== undefined) this._runHandler(registration, mask);
    }
    if (this.observer !== undefined) this._observe({ type: "iteration-end", iteration: this._iterations });
    return ready;
  }

  private _collect(events: Map<number, number>): void {
    try {
      for (const fd of this._host.collect(events)) this._handlers.forget(fd, "was closed while it was registered");
      this._handlers.withdraw(events);
    } catch (error) {
      if ((error as NodeJS.ErrnoException | undefined)?.code !== "EINTR") throw error;
    }
  }

  private _runHandler(registration: Registration, events: number): void {
    const { handler } = registration;
    if (this.observer !== undefined) this._observe({ type: "handler-run", fd: registration.fd, events, handler });
    try {
      const result = registration.run(events);
      if (isThenable(result)) this._discardFutureResult(result, handler, true);
    } catch (error) {
      this._failed(handler, error, true);
    }
    this._blocking?.ran(handler);
  }

  /** (6), or a failure: the run is over. */
  protected override _leave(...failure: [] | [error: unknown]): void {
    const started = this._started;
    if (started === undefined) {
      if (failure.length > 0) applicationLog.error("handleCallbackException() failed while the IOLoop was not running", failure[0]);
      return;
    }
    this._started = undefined;
    this._waiting = this._stopPending = false;
    this._events.clear();
    this._blocking?.left();
    this._host.stop(() => {
      this._running = this._stopped = false;
      current.left(this);
      if (failure.length > 0) started.reject(failure[0]);
      else started.resolve();
    });
  }

  /**
   * Runs one iteration by hand, synchronously, with a wait of 0: for tests and for teaching. Promise reactions run when the caller's own turn
   * ends. What an overridden `handleCallbackException` throws is thrown.
   *
   * @throws Error on a running or closed loop, and when the poller answers with a promise
   */
  override runIteration(): void {
    this._checkOpen("runIteration");
    if (this._running || this._stepping) throw new Error("runIteration() on a running IOLoop: stop() it first, or let it run");
    withoutContext(() => {
      const outer = current.setExecuting(this);
      const stopPending = this._stopped;
      this._stopped = false;
      this._stepping = true;
      try {
        if (this._runQueued()) return;
        this._handlers.flush();
        if (this.observer !== undefined) this._observe({ type: "wait", seconds: 0 });
        if (!this._host.wait(0)) throw new Error("runIteration() needs a poller that answers at once, this one returned a promise");
        this._dispatch();
      } finally {
        this._stepping = false;
        this._stopped = stopPending;
        this._blocking?.left();
        this._events.clear();
        current.setExecuting(outer);
      }
    });
  }

  // ---- Callbacks and timeouts ----

  /**
   * Calls `callback(...args)` once, in the next iteration, after what is queued already, in the async context of this call. Never inside
   * this call. On a closed loop nothing happens.
   *
   * @throws TypeError when `callback` is no function
   */
  override addCallback<A extends unknown[]>(callback: Callback<A>, ...args: A): void {
    checkCallback(callback, "callback");
    if (!this._closing) this._enqueue(bindCallback(callback, args));
  }

  /** `addCallback` from a signal listener, without the async context of the caller. The callback runs as any other. Tornado 3.0. */
  override addCallbackFromSignal<A extends unknown[]>(callback: Callback<A>, ...args: A): void {
    checkCallback(callback, "callback");
    if (!this._closing) this._enqueue(new FreeCallback(callback, args));
  }

  override _spawnRunnable(runnable: QueuedCallback): void {
    if (!this._closing) this._enqueue(runnable);
  }

  private _enqueue(callback: QueuedCallback): void {
    this._callbacks.push(callback);
    if (this.observer !== undefined) this._observe({ type: "callback-added", callback: callback.callback });
    if (this._waiting) this._host.wake();
  }

  /**
   * Calls `callback(...args)` at `when`, in seconds on `time()`'s clock, in the async context of this call: never early, by deadline and then in
   * the order in which they were added, after the callbacks of the same iteration. A time in the past is due in the next iteration;
   * `Infinity` never is. Tornado 4.0.
   *
   * @throws TypeError when `when` is no number or NaN, or `callback` no function
   * @throws Error on a closed loop
   */
  override callAt<A extends unknown[]>(when: number, callback: Callback<A>, ...args: A): TimeoutHandle {
    this._checkOpen("callAt");
    checkSeconds(when, "when");
    checkCallback(callback, "callback");
    const timeout = this._timeouts.add(when, callback, args);
    if (this.observer !== undefined) this._observe({ type: "timeout-added", timeout, deadline: when });
    if (this._waiting && this._timeouts.head() === timeout) this._host.shorten(this._waitLength());
    return timeout;
  }

  /**
   * Cancels a timeout, in constant time. One that has run, is running or was removed already is left alone, also on a closed loop.
   *
   * @throws TypeError for what no timeout method returned
   */
  override removeTimeout(timeout: TimeoutHandle): void {
    checkTimeout(timeout);
    if (!this._timeouts.cancel(timeout)) return;
    if (this.observer !== undefined) this._observe({ type: "timeout-cancelled", timeout });
  }

  // ---- Handlers ----

  /**
   * Calls `handler(fd, events)`, with the very value registered, while the descriptor is ready for something in `events` (or has hung up or
   * failed, which cannot be masked out): level-triggered, once in each iteration, in the async context of this call.
   *
   * @throws RangeError or TypeError for what can be no descriptor, handler or mask
   * @throws SystemError EEXIST when it is registered already, EBADF when it is closed, EPERM when it is a regular file
   */
  override addHandler<F extends FileDescriptor>(fd: F, handler: EventCallback<F>, events: number): void {
    this._checkOpen("addHandler");
    const number = this._numberOf(fd);
    checkCallback(handler, "handler");
    const mask = (checkMask(events) | ERROR) >>> 0;
    this._handlers.register(new Registration(number, fd, handler, mask, this._bare ? undefined : new Context()));
    this._events.delete(number);
    if (this.observer !== undefined) this._observe({ type: "handler-added", fd, events: mask });
    if (this._waiting) this._host.changed();
  }

  /** `addHandler` for handlers of the library itself: run with no async context, so none passes from one read of a stream to the next. @internal */
  override _addBareHandler<F extends FileDescriptor>(fd: F, handler: EventCallback<F>, events: number): void {
    this._bare = true;
    try {
      this.addHandler(fd, handler, events); // By its name, so that an override sees it (L21).
    } finally {
      this._bare = false;
    }
  }

  /**
   * Replaces the events a registered descriptor is watched for; handler and object stay. An event of the present batch is not withdrawn.
   * The poller is told once, before the next wait, and only what has really changed.
   *
   * @throws SystemError ENOENT when the descriptor is not registered, EBADF when it is not even open
   */
  override updateHandler(fd: FileDescriptor, events: number): void {
    this._checkOpen("updateHandler");
    const number = this._numberOf(fd);
    const mask = (checkMask(events) | ERROR) >>> 0;
    const from = this._handlers.get(number)?.events ?? 0;
    this._handlers.update(number, mask);
    if (this.observer !== undefined) this._observe({ type: "interest-changed", fd, from, to: mask });
    if (this._waiting) this._flushSoon();
  }

  /** Stops watching a descriptor. One that is unknown, or closed already, is logged at debug level and nothing else. */
  override removeHandler(fd: FileDescriptor): void {
    const number = this._numberOf(fd);
    if (this._handlers.unregister(number) === undefined) {
      generalLog.debug(`removeHandler() of descriptor ${number}, which is not registered`);
      return;
    }
    this._events.delete(number);
    if (this.observer !== undefined) this._observe({ type: "handler-removed", fd });
    if (this._waiting) this._host.changed();
  }

  /** The number of a descriptor; for an object that has closed its own, the number it was registered with. */
  private _numberOf(fd: FileDescriptor): number {
    const [number] = this.splitFd(fd);
    return number >= 0 ? number : this._handlers.numberOf(fd);
  }

  /** A change during a wait: the poller hears of it when the code that makes it has finished, which may change its mind once more. */
  private _flushSoon(): void {
    if (this._flushQueued) return;
    this._flushQueued = true;
    queueMicrotask(() => {
      this._flushQueued = false;
      if (!this._waiting) return;
      this._handlers.flush();
      this._host.changed();
    });
  }

  // ---- Waking, watching, closing ----

  /**
   * A handle by whose token other threads have `callback` run here, as a callback in the async context of this call.
   *
   * @throws TypeError when `callback` is no function
   * @throws Error on a closed loop
   */
  override createWakeHandle(callback: () => unknown): WakeHandle {
    this._checkOpen("createWakeHandle");
    checkCallback(callback, "callback");
    const context = new Context();
    return this._wakeHandles.add(() => new ContextCallback(callback, context));
  }

  private _woken(): void {
    for (const callback of this._wakeHandles.take()) this._enqueue(callback);
  }

  override statistics(): LoopStatistics {
    return {
      callbacks: this._callbacks.length,
      timeouts: this._timeouts.length - this._timeouts.cancellations,
      cancelledTimeouts: this._timeouts.cancellations,
      handlers: this._handlers.size - (this._closing ? 0 : 1),
      iterations: this._iterations,
      running: this._running,
      waiting: this._waiting,
      closed: this._closing,
    };
  }

  private _observe(step: LoopStep): void {
    try {
      this.observer?.(step, this);
    } catch (error) {
      this.observer = undefined;
      applicationLog.error("The observer of an IOLoop failed and was taken off", error);
    }
  }

  /**
   * Frees what the loop owns: poller, waker, wake handles, default executor. Queued callbacks and timeouts are dropped. With `allFds` (or
   * `true`) every registered object's `close()` is called and every registered number closed. Closing again does nothing.
   *
   * @throws Error while the loop is running, also between `stop()` and the resolution of `start()`'s promise; nothing is closed then
   */
  override close(options: boolean | { allFds?: boolean } = false): void {
    if (this._closing) return;
    if (this._running || this._stepping) throw new Error("close() on a running IOLoop: stop() it and await the promise of start() first");
    checkKeys(options, ["allFds"], "close()");
    const allFds = typeof options === "boolean" ? options : (options.allFds ?? false);
    this._closing = true;
    this._wakeHandles.close();
    this._handlers.delete(this._waker.fileno());
    const registrations = [...this._handlers.values()];
    this._handlers.clear();
    this._callbacks.clear();
    this._timeouts.clear();
    this._host.close();
    this._impl.close();
    this._waker.close();
    if (allFds) for (const { fd } of registrations) this._closeRegistered(fd);
    this._shutDownExecutor();
    current.forget(this);
  }
}
