/** `PeriodicCallback`: a function called again and again, from start to start. */
import { inspect } from "node:util";
import { isCancellation } from "../concurrent/index.js";
import { checkCallback, checkKeys, isThenable } from "./checks.js";
import { Context } from "./context.js";
import { type Duration, durationToSeconds } from "./deadline.js";
import { IOLoop } from "./ioloop.js";
import type { TimeoutHandle } from "./timeouts.js";

/** Options of a `PeriodicCallback`. */
export interface PeriodicCallbackOptions {
  /** Spreads each call by up to this fraction of the period, half of it before and half after: 0.1 is ±5 %. Tornado 5.1. */
  jitter?: number;
  /** The loop, in place of the one current at `start()`. Tornado until 4.5. */
  ioLoop?: IOLoop;
}

/**
 * Calls `callback()` every `callbackTime` **milliseconds** (or a `Duration`), from `start()` on: the first call comes one period later.
 *
 * A period runs from start to start. Calls that take longer than it skip the slots they miss; a promise that the callback returns is waited
 * for, so calls never overlap. Errors are logged as those of any callback, and the schedule goes on.
 *
 * @example
 * const clock = new PeriodicCallback(() => { console.log(new Date()); }, 1000);
 * clock.start();
 */
export class PeriodicCallback {
  readonly callback: () => unknown;
  /** The period in milliseconds. A change holds from the next scheduling. */
  callbackTime: number;
  jitter: number;
  /** Set by `start()`. */
  ioLoop: IOLoop | undefined;
  _running = false;
  _timeout: TimeoutHandle | undefined = undefined;
  /** When the next call is due, in seconds on the loop's clock. */
  _nextTimeout = 0;
  readonly #givenLoop: IOLoop | undefined;
  /** During a call, until its promise has settled: its end schedules the next one, whoever has started and stopped meanwhile (L120). */
  #inCall = false;
  /** The async context of the last `start()`. */
  #context: Context | undefined = undefined;

  /**
   * @throws TypeError when `callback` is no function, `callbackTime` neither number nor Duration, or NaN
   * @throws RangeError when `callbackTime` is not positive
   */
  constructor(callback: () => unknown, callbackTime: number | Duration, options: PeriodicCallbackOptions = {}) {
    checkCallback(callback, "callback");
    // To the nanosecond: 1001 / 1000 * 1000 is not 1001, and a period that is off by a rounding drifts across its slots.
    const period =
      typeof callbackTime === "number" ? callbackTime : Math.round(durationToSeconds(callbackTime, "callbackTime") * 1e9) / 1e6;
    if (Number.isNaN(period)) throw new TypeError("callbackTime is NaN: pass a number of milliseconds, or a Duration");
    if (period <= 0)
      throw new RangeError(`callbackTime is ${inspect(callbackTime)}: pass a positive number of milliseconds, or a Duration`);
    checkKeys(options, ["jitter", "ioLoop"], "PeriodicCallback");
    const { jitter = 0, ioLoop } = options;
    if (typeof jitter !== "number" || Number.isNaN(jitter)) throw new TypeError(`jitter is ${inspect(jitter)}: pass a number such as 0.1`);
    if (ioLoop !== undefined && !(ioLoop instanceof IOLoop)) {
      throw new TypeError(`ioLoop is ${inspect(ioLoop, { depth: 0 })}: pass an IOLoop, or leave it out`);
    }
    this.callback = callback;
    this.callbackTime = period;
    this.jitter = jitter;
    this.ioLoop = this.#givenLoop = ioLoop;
  }

  /**
   * Begins the schedule, or begins it anew. The calls run in the async context of this call.
   *
   * @throws Error when the loop is closed
   */
  start(): void {
    this.#withdraw();
    this.ioLoop = this.#givenLoop ?? IOLoop.current();
    this._nextTimeout = this.ioLoop.time();
    this._running = true;
    this.#context = new Context();
    try {
      this._scheduleNext();
    } catch (error) {
      this._running = false;
      throw error;
    }
  }

  /** Ends the schedule. A call whose promise is pending is left to finish. */
  stop(): void {
    this._running = false;
    this.#withdraw();
  }

  /** Started and not stopped; also during a call. */
  isRunning(): boolean {
    return this._running;
  }

  /** Calls once, and schedules the next call when this one is over. */
  _run(): void {
    this._timeout = undefined;
    if (!this._running) return;
    const { ioLoop } = this;
    // Also during a call that returns nothing to wait for: a start() inside it must not make a schedule beside the one that follows (L117).
    this.#inCall = true;
    const over = (): void => {
      this.#inCall = false;
      // A loop that was closed while the promise was pending calls nothing any more.
      if (this.ioLoop?.statistics().closed !== true) this._scheduleNext();
    };
    let pending: Promise<unknown> | undefined;
    try {
      const result = this.callback();
      if (isThenable(result)) {
        // A promise around somebody else's thenable settles once, and never inside this call.
        pending = Promise.resolve(result);
        ioLoop?._discardFutureResult(pending, this.callback);
      }
    } catch (error) {
      if (!isCancellation(error)) ioLoop?.handleCallbackException(this.callback, error);
    } finally {
      if (pending === undefined) over();
      else void pending.then(over, over);
    }
  }

  /** Asks the loop for the next call, unless the schedule has ended or a call is still going on. */
  _scheduleNext(): void {
    if (!this._running || this.#inCall || this.ioLoop === undefined) return;
    this._updateNext(this.ioLoop.time());
    const loop = this.ioLoop;
    // In the context of `start()`, not in that of the call which is just over: what it may have entered is its own (H12).
    this.#context?.runInAsyncScope(() => {
      this._timeout = loop.callAt(this._nextTimeout, () => {
        this._run();
      });
    });
  }

  /**
   * When the next call is due, given the time now: the first slot in the future. A clock that was set forward is caught up with by arithmetic,
   * and one that was set back makes no slot come twice. Jitter moves a call relative to the one before, so its errors add up as in
   * a random walk.
   */
  _updateNext(currentTime: number): void {
    let period = this.callbackTime / 1000;
    if (this.jitter !== 0) period *= 1 + this.jitter * (Math.random() - 0.5);
    if (this._nextTimeout <= currentTime) {
      this._nextTimeout += (Math.floor((currentTime - this._nextTimeout) / period) + 1) * period;
    } else {
      this._nextTimeout += period;
    }
  }

  #withdraw(): void {
    if (this._timeout !== undefined) this.ioLoop?.removeTimeout(this._timeout);
    this._timeout = undefined;
  }
}
