/**
 * `Future`: one outcome, set once, that can be awaited, asked and called back from.
 *
 * It is a thenable of its own, not a subclass of Promise, because it offers what a promise refuses: setting the outcome from outside, asking
 * whether it is there, cancelling. A stream makes one for every read and write, so it is a plain object of five fields; a native promise
 * is made only when somebody awaits. Depends on the loop through `scheduler.ts` alone, and on the log for failures nobody has read.
 */
import { AsyncResource } from "node:async_hooks";
import { inspect } from "node:util";
import type { InspectOptions } from "node:util";
import { applicationLog } from "../log.js";
import { CancelledError, InvalidStateError, isCancellation } from "./errors.js";
import { currentScheduler } from "./scheduler.js";
import type { CallbackScheduler } from "./scheduler.js";

/** What `new Future()` takes. */
export interface FutureOptions {
  /** The loop that runs the done callbacks; without it, the loop that is current when the first callback is added. */
  loop?: CallbackScheduler | undefined;
}

/**
 * A part of the library that follows a Future without being user code. It is told synchronously, once, while the Future settles, and
 * listening does not count as reading the failure. It must not call user code and must not throw; it may settle other Futures, however
 * long the chain: their listeners are told one after the other, not one inside the other (P39).
 *
 * @internal
 */
export interface FutureListener {
  _futureSettled(future: Future<unknown>): void;
}

const PENDING = 0;
const FULFILLED = 1;
const CANCELLED = 2;
/** Failed, and somebody has read the failure or never needs to. */
const FAILED = 3;
/** Failed and not read; in the list of this turn's failures. */
const UNREAD = 4;
/** Failed and not read; the garbage collector has been asked to tell. */
const WATCHED = 5;

type State = typeof PENDING | typeof FULFILLED | typeof CANCELLED | typeof FAILED | typeof UNREAD | typeof WATCHED;

const BRAND = Symbol.for("ioloop.Future");

/**
 * A native promise with its handles, made when a pending Future is first awaited. Not generic, so that Future stays covariant in T.
 *
 * Awaiting a pending Future this way costs 2.0 times what a native promise costs (`npm run bench -- --only=futures`, Node 20 and 24 alike). Keeping the
 * reactions ourselves and running them by queueMicrotask cost 2.7 and 2.3 times, by a resolved promise's then 2.2, and the async context would
 * be ours to carry as well.
 */
class Deferred {
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;

  constructor() {
    this.promise = new Promise(capture);
    this.resolve = capturedResolve;
    this.reject = capturedReject;
  }
}

// One executor function for all, instead of a closure for each.
let capturedResolve: (value: unknown) => void;
let capturedReject: (reason: unknown) => void;
function capture(resolve: (value: unknown) => void, reject: (reason: unknown) => void): void {
  capturedResolve = resolve;
  capturedReject = reject;
}

/** One `addDoneCallback`: hands the function to the loop when the Future settles, in the async context of the place that added it. */
class DoneCallback implements FutureListener {
  readonly callback: (future: never) => unknown;
  readonly #scheduler: CallbackScheduler;
  // AsyncResource, not AsyncLocalStorage.snapshot: 50 ns against 7 µs on Node 20 (design.md).
  readonly #context = new AsyncResource("Future.addDoneCallback");

  constructor(callback: (future: never) => unknown, scheduler: CallbackScheduler) {
    this.callback = callback;
    this.#scheduler = scheduler;
  }

  _futureSettled(future: Future<unknown>): void {
    this.#context.runInAsyncScope(addCallback, undefined, this.#scheduler, this.callback, future);
  }
}

function addCallback(scheduler: CallbackScheduler, callback: (future: never) => unknown, future: Future<unknown>): void {
  scheduler.addCallback(callback as (future: Future<unknown>) => unknown, future);
}

type Listeners = FutureListener | Set<FutureListener>;

/**
 * One outcome, set once: a value, a failure or a cancellation. `await` and `then` go on in microtasks and need no loop; done callbacks run
 * in the loop iteration after settling. Settling runs no user code before it returns.
 *
 * Tornado: `tornado.concurrent.Future`, with the behaviour of 5.0 and later. Not a native promise (`instanceof Promise` is false), but
 * usable wherever one is expected.
 *
 * A failure that nobody has read when the Future is garbage-collected is logged ("Future exception was never retrieved"); it never
 * raises `unhandledRejection` by itself.
 *
 * @example
 * const future = new Future<number>();
 * setTimeout(() => future.setResult(42), 10);
 * console.log(await future);
 */
export class Future<T> implements Promise<T> {
  /** @internal */
  _state: State = PENDING;
  /** The result, the failure, the CancelledError, or the message of a CancelledError that nobody has asked for yet. @internal */
  _value: unknown = undefined;
  /** @internal */
  _deferred: Deferred | undefined = undefined;
  /** @internal */
  _listeners: Listeners | undefined = undefined;
  /** Who runs the done callbacks; a subclass may set it in its constructor, which is cheaper than an options object. @internal */
  _scheduler: CallbackScheduler | undefined = undefined;

  /**
   * @throws TypeError when `options` has an unknown key, or `options.loop` no `addCallback`
   */
  constructor(options?: FutureOptions) {
    if (options !== undefined) this._scheduler = checkOptions(options);
  }

  /** Whether it is settled at all: value, failure or cancelled. */
  done(): boolean {
    return this._state !== PENDING;
  }

  /** Whether it was settled by {@link cancel}. */
  cancelled(): boolean {
    return this._state === CANCELLED;
  }

  /**
   * The value, at once.
   *
   * @throws the failure, if it has failed (which counts as reading it)
   * @throws CancelledError if it was cancelled: the same object every time
   * @throws InvalidStateError while it is pending
   */
  result(): T {
    if (this._state === FULFILLED) return this._value as T;
    throw this.#failure();
  }

  /**
   * The failure, or `undefined` if there is a value. Counts as reading the failure.
   *
   * @throws CancelledError if it was cancelled
   * @throws InvalidStateError while it is pending
   */
  exception(): unknown {
    if (this._state === FULFILLED) return undefined;
    const failure = this.#failure();
    if (this._state !== FAILED) throw failure;
    return failure;
  }

  /**
   * Finishes with a value, whatever it is: an Error is a value too, and a promise is stored as it is (`await` flattens it).
   *
   * @throws InvalidStateError if it is settled already; nothing changes
   */
  setResult(value: T): void {
    if (this._state !== PENDING) throw settledAlready(this, "setResult");
    this._state = FULFILLED;
    this._value = value;
    if (this._deferred !== undefined) this._deferred.resolve(value);
    if (this._listeners !== undefined) this.#tellListeners();
  }

  /**
   * Finishes with a failure of any type; a class derived from Error is instantiated.
   *
   * @throws TypeError if `error` is `undefined` or `null`, which could not be told from "no failure"; it stays pending
   * @throws InvalidStateError if it is settled already; nothing changes
   */
  setException(error: unknown): void {
    const failure = toException(error);
    if (this._state !== PENDING) throw settledAlready(this, "setException");
    this._settleFailed(failure, false);
  }

  /**
   * Cancels it if it is pending: it settles with one `CancelledError`, and whoever waits for an operation through it gives up the place in
   * line before this returns. Work that has been submitted elsewhere is not stopped. On a failed Future it counts as reading the failure.
   *
   * @param message - the message of the CancelledError
   * @returns whether this call cancelled it
   */
  cancel(message?: string): boolean {
    if (message !== undefined && typeof message !== "string") {
      throw new TypeError(`The message of cancel() is ${inspect(message, { depth: 0 })}: it must be a string`);
    }
    if (this._state !== PENDING) {
      this._markRead();
      return false;
    }
    // The error is made when somebody looks. Making it captures a stack, 1.7 to 3.5 µs on Node 20 to 26, where the rest of a cancel takes
    // less than 0.1 µs; a hundred thousand waiters cancelled together is an ordinary shutdown.
    this._settleCancelled(message);
    return true;
  }

  /**
   * Runs `fn(this)` once, in the loop iteration after settling and in the order of adding; on a settled Future too it waits for the next
   * iteration. The loop is `options.loop`, else the one current when the first callback is added. `fn` sees the `AsyncLocalStorage` stores of
   * this call. What it throws is reported by the loop (`handleCallbackException`); later callbacks still run. Adding a callback does not
   * count as reading the failure.
   *
   * @throws TypeError if `fn` is not a function
   */
  addDoneCallback(fn: (future: this) => void): void {
    if (typeof fn !== "function") throw notAFunction("addDoneCallback", fn);
    this._addDoneCallbackOn((this._scheduler ??= currentScheduler()), fn);
  }

  /**
   * Removes every registration of `fn` made by {@link addDoneCallback}.
   *
   * @returns how many there were; 0 once the Future is settled
   */
  removeDoneCallback(fn: (future: this) => void): number {
    if (typeof fn !== "function") throw notAFunction("removeDoneCallback", fn);
    const listeners = this._listeners;
    if (listeners === undefined) return 0;
    if (!(listeners instanceof Set)) {
      if (!(listeners instanceof DoneCallback && listeners.callback === fn)) return 0;
      this._listeners = undefined;
      return 1;
    }
    let removed = 0;
    for (const listener of listeners) {
      if (listener instanceof DoneCallback && listener.callback === fn) {
        listeners.delete(listener);
        removed += 1;
      }
    }
    return removed;
  }

  /**
   * As `Promise.prototype.then`: reactions are microtasks after settling, in the order of registration, and run before the done callbacks.
   * Counts as reading the failure. A derived promise without a rejection handler raises `unhandledRejection` as any promise does.
   */
  then<R1 = T, R2 = never>(
    onFulfilled?: ((value: T) => R1 | PromiseLike<R1>) | null,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- Promise's own signature, so that handlers written for it fit
    onRejected?: ((reason: any) => R2 | PromiseLike<R2>) | null,
  ): Promise<R1 | R2> {
    return this.#promise().then(onFulfilled, onRejected);
  }

  /** As `Promise.prototype.catch`. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as in then()
  catch<R = never>(onRejected?: ((reason: any) => R | PromiseLike<R>) | null): Promise<T | R> {
    return this.#promise().catch(onRejected);
  }

  /** As `Promise.prototype.finally`. */
  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.#promise().finally(onFinally);
  }

  /** `<Future pending>`, `<Future finished result=1>`, `<Future finished exception=...>` or `<Future cancelled>`; values are abridged. */
  toString(): string {
    return describe(this, { depth: 0, breakLength: Infinity, maxArrayLength: 3, maxStringLength: 60 });
  }

  // eslint-disable-next-line @typescript-eslint/class-literal-property-style -- a field would be one more in every Future
  get [Symbol.toStringTag](): string {
    return "Future";
  }

  /** @internal */
  // eslint-disable-next-line @typescript-eslint/class-literal-property-style -- as above
  get [BRAND](): true {
    return true;
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    return describe(this, options);
  }

  /**
   * Called by {@link cancel} when it has cancelled this Future, before it returns: a subclass whose Future stands for a place in a line or
   * a read of a stream withdraws it here. The Future is already cancelled, so settling it again would throw. Must not throw and must not run
   * user code. A method of the class and not a field: most Futures have no hook and should not pay for one, and those that have need no closure.
   *
   * @internal
   */
  _onCancel(): void {
    // Nothing stands behind a plain Future.
  }

  /**
   * Fails it with `error`, which counts as read: for parts that report their failures themselves (streams, S187), so that the "never
   * retrieved" line does not come. `error` is taken as it is, `undefined` included. The Future must be pending.
   *
   * @internal
   */
  _fail(error: unknown): void {
    if (this._state !== PENDING) throw settledAlready(this, "_fail");
    this._settleFailed(error, true);
  }

  /** The failure, if any, need not be logged. @internal */
  _markRead(): void {
    if (this._state < UNREAD) return;
    if (this._state === WATCHED) unreadFailures.unregister(this);
    this._state = FAILED;
  }

  /**
   * `addDoneCallback` on a loop of the caller's choice, whatever the Future's own loop is (`IOLoop.addFuture`): calls
   * `scheduler.addCallback(fn, this)` during settling, or at once if it is settled.
   *
   * @internal
   */
  _addDoneCallbackOn(scheduler: CallbackScheduler, fn: (future: this) => unknown): void {
    if (this._state === PENDING) this._addListener(new DoneCallback(fn, scheduler));
    else scheduler.addCallback(fn, this);
  }

  /** Adds a listener to a pending Future; the same object twice is told once. O(1). @internal */
  _addListener(listener: FutureListener): void {
    const listeners = this._listeners;
    if (listeners === undefined) this._listeners = listener;
    else if (listeners instanceof Set) listeners.add(listener);
    else this._listeners = new Set([listeners, listener]);
  }

  /** Removes what `_addListener` added; nothing happens if it is not there. O(1). @internal */
  _removeListener(listener: FutureListener): void {
    if (this._listeners === listener) this._listeners = undefined;
    else if (this._listeners instanceof Set) this._listeners.delete(listener);
  }

  /** Fails a pending Future with exactly `failure`. @internal */
  _settleFailed(failure: unknown, read: boolean): void {
    this._value = failure;
    if (read || this._deferred !== undefined || isCancellation(failure)) {
      this._state = FAILED;
      this._deferred?.reject(failure);
    } else {
      this._state = UNREAD;
      watch(this);
    }
    if (this._listeners !== undefined) this.#tellListeners();
  }

  /**
   * Cancels a pending Future with a given CancelledError (that of another Future, also of another copy of the package), or with one to be
   * made from a message.
   *
   * @internal
   */
  _settleCancelled(cause: Error | string | undefined): void {
    this._state = CANCELLED;
    this._value = cause;
    if (this._deferred !== undefined) this._deferred.reject(this.#failure());
    if (this._listeners !== undefined) this.#tellListeners();
    this._onCancel();
  }

  /** What `result()` throws when there is no value; reading it is reading the failure. */
  #failure(): unknown {
    switch (this._state) {
      case PENDING:
      case FULFILLED:
        return new InvalidStateError(`${String(this)} has no outcome yet: await it, or ask done() first`);
      case CANCELLED:
        if (typeof this._value !== "object") this._value = new CancelledError(this._value as string | undefined);
        return this._value;
      default:
        this._markRead();
        return this._value;
    }
  }

  /**
   * A native promise of the outcome, to call `then` on at once: never to be handed out or left alone, for a rejected one would raise
   * `unhandledRejection`. Calling its `then` in ours is what makes order and async context those of any promise.
   */
  #promise(): Promise<T> {
    // Kept after settling, so that reactions registered before and after it stay in order also where the value is a promise (P30).
    if (this._deferred !== undefined) return this._deferred.promise as Promise<T>;
    if (this._state === PENDING) return (this._deferred = new Deferred()).promise as Promise<T>;
    if (this._state === FULFILLED) return Promise.resolve(this._value as T);
    return Promise.reject<T>(this.#failure());
  }

  #tellListeners(): void {
    const listeners = this._listeners;
    this._listeners = undefined;
    if (listeners === undefined) return;
    told.push(this, listeners);
    if (told.length > 2) return;
    // Settling inside a listener ends up in the list and is told by this loop: a chain of any length needs no stack (P39).
    for (let i = 0; i < told.length; i += 2) {
      const future = told[i] as Future<unknown>;
      const each = told[i + 1] as Listeners;
      if (each instanceof Set) for (const listener of each) tell(listener, future);
      else tell(each, future);
    }
    told.length = 0;
  }
}

/** Futures that have settled and their listeners, alternately; not empty while listeners are being told. */
const told: (Future<unknown> | Listeners)[] = [];

function tell(listener: FutureListener, future: Future<unknown>): void {
  try {
    listener._futureSettled(future);
  } catch (error) {
    // A loop that refuses a callback (an `addCallback` of a subclass may throw) must not keep the others from hearing.
    applicationLog.error("A callback could not be scheduled when a Future settled", error);
  }
}

// ---- Failures that nobody reads (P28) ----

/** The futures that failed unread in this turn. */
let failedThisTurn: Future<unknown>[] = [];
// Taken at load, so that a test's fake timers do not hold it up.
const afterTurn = setImmediate;

/**
 * Asking the collector to tell costs 0.4 to 0.8 µs, taking it back 0.1 to 0.4 µs (Node 20 to 26), and most failures are read in the very turn
 * they happen in: `await` does it a microtask later. So the collector is asked only about what is unread when the turn is over.
 */
function watch(future: Future<unknown>): void {
  if (failedThisTurn.push(future) === 1) afterTurn(watchUnread).unref();
}

function watchUnread(): void {
  const futures = failedThisTurn;
  failedThisTurn = [];
  for (const future of futures) {
    if (future._state !== UNREAD) continue;
    future._state = WATCHED;
    // A text and not the error: until its stack is formatted, an error keeps alive the objects whose methods were running when it was made
    // (checked on Node 20 to 26), and one of them may be the Future itself.
    unreadFailures.register(future, describeFailure(future._value), future);
  }
}

const unreadFailures = new FinalizationRegistry<string>((failure) => {
  applicationLog.error("Future exception was never retrieved", failure);
});

function describeFailure(failure: unknown): string {
  try {
    return inspect(failure, { depth: 1 });
  } catch {
    return "an error that could not be shown";
  }
}

// ---- Small parts ----

/** Whether `x` is a Future of this library: of any subclass, also of another copy of the package. A native promise is not one. */
export function isFuture(x: unknown): x is Future<unknown> {
  return typeof x === "object" && x !== null && (x as { [BRAND]?: unknown })[BRAND] === true;
}

/**
 * What `setException` stores: `error` itself, or an instance if it is a class derived from Error.
 *
 * @throws TypeError for `undefined` and `null`
 * @internal
 */
export function toException(error: unknown): unknown {
  if (error === undefined || error === null) {
    throw new TypeError(`The exception of a Future is ${String(error)}: pass an Error, a class derived from it, or any other value`);
  }
  if (typeof error === "function" && (error === Error || error.prototype instanceof Error)) return new (error as ErrorConstructor)();
  return error;
}

function checkOptions(options: FutureOptions): CallbackScheduler | undefined {
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new TypeError(`The options of Future are ${inspect(options, { depth: 0 })}: pass an object such as { loop }`);
  }
  for (const key of Object.keys(options)) {
    if (key !== "loop") throw new TypeError(`Unknown option ${inspect(key)} of Future: the only one is loop`);
  }
  const { loop } = options;
  if (loop !== undefined && typeof (loop as Partial<CallbackScheduler> | null)?.addCallback !== "function") {
    throw new TypeError(`The loop of a Future is ${inspect(loop, { depth: 0 })}: it must be an IOLoop`);
  }
  return loop;
}

function settledAlready(future: Future<unknown>, method: string): InvalidStateError {
  return new InvalidStateError(`${method}() on ${String(future)}: a Future is settled once, ask done() first`);
}

/** @internal */
export function notAFunction(method: string, value: unknown): TypeError {
  return new TypeError(`The callback of ${method}() is ${inspect(value, { depth: 0 })}: it must be a function`);
}

function describe(future: Future<unknown>, options: InspectOptions): string {
  const name = future.constructor.name;
  switch (future._state) {
    case PENDING:
      return `<${name} pending>`;
    case CANCELLED:
      return `<${name} cancelled>`;
    case FULFILLED:
      return `<${name} finished result=${inspect(future._value, options)}>`;
    default:
      return `<${name} finished exception=${future._value instanceof Error ? String(future._value) : inspect(future._value, options)}>`;
  }
}
