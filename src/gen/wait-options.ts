/**
 * The trailing arguments of every call that waits: `(timeout?, options?)` or `(options?)` with the timeout inside (primitives.md 3.1).
 *
 * Reading them throws on anything wrong and changes nothing, so a call reads them before it looks at its own state. Depends on `ioloop`.
 */
import { inspect } from "node:util";

import { type Deadline, durationToSeconds, IOLoop, isDuration } from "../ioloop/index.js";
import { generalLog } from "../log.js";
import { isAbortSignal } from "./abort-watch.js";
import { isPlainObject } from "./yieldable.js";

/** Trailing options of every waiting call. */
export interface WaitOptions {
  /** A number is absolute on `loop.time()`, a `Duration` counts from now; `undefined` waits for ever. */
  timeout?: Deadline | undefined;
  /** Withdraws the wait when it aborts; the Future then fails with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** What `Event.wait` and `Condition.wait` take: also what a deadline does, fail with `TimeoutError` or resolve `false`. */
export interface EventWaitOptions extends WaitOptions {
  onTimeout?: "throw" | "false" | undefined;
}

/** Checked arguments. @internal */
export interface WaitPlan {
  /** Seconds, absolute or from now; `undefined` for no deadline (also for one that is infinitely far, P4). */
  readonly seconds: number | undefined;
  readonly relative: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onTimeout: "throw" | "false" | undefined;
}

const WAIT_KEYS: readonly string[] = ["timeout", "signal"];
const EVENT_KEYS: readonly string[] = ["timeout", "signal", "onTimeout"];

/** A year: a deadline further back than this was meant to be relative (P10). */
const LONG_AGO = 31_536_000;

/** Whether the one warning of P10 was given. An object, so that tests may set it. @internal */
export const relativeDeadlineWarning = { given: false };

function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}

/** The loop is asked for its time only to warn, so none is made for it: without a loop nobody can have meant its clock yet. */
function warnIfLongAgo(deadline: number): void {
  if (relativeDeadlineWarning.given) return;
  const loop = IOLoop.current({ instance: false });
  if (loop === undefined || deadline >= loop.time() - LONG_AGO) return;
  relativeDeadlineWarning.given = true;
  generalLog.warn(
    `The deadline ${String(deadline)} lies more than a year in the past: a number is an absolute time on loop.time(). ` +
      `For a time from now write seconds(${String(deadline)})`,
  );
}

function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || isAbortSignal(signal)) return signal;
  throw new TypeError(`signal is ${show(signal)}: pass an AbortSignal`);
}

/** Checks the deadline part alone. @internal */
export function readDeadline(timeout: unknown, signal?: AbortSignal, onTimeout?: "throw" | "false"): WaitPlan {
  let seconds: number | undefined;
  let relative = false;
  if (typeof timeout === "number") {
    if (Number.isNaN(timeout))
      throw new TypeError("timeout is NaN: pass seconds on the loop's clock, or a Duration such as { seconds: 5 }");
    warnIfLongAgo(timeout);
    seconds = timeout;
  } else if (isDuration(timeout)) {
    seconds = durationToSeconds(timeout, "timeout");
    relative = true;
  } else if (timeout !== undefined) {
    throw new TypeError(`timeout is ${show(timeout)}: pass seconds on the loop's clock, or a Duration such as { seconds: 5 }`);
  }
  return { seconds: seconds === Infinity ? undefined : seconds, relative, signal, onTimeout };
}

/** Checks the keys of an options object and returns it. */
function checkOptions(options: unknown, keys: readonly string[]): EventWaitOptions {
  if (!isPlainObject(options)) throw new TypeError(`options is ${show(options)}: pass an object with some of ${keys.join(", ")}`);
  for (const key of Object.keys(options)) {
    if (!keys.includes(key)) {
      throw new TypeError(`Unknown option ${show(key)} in ${show(options)}: the options are ${keys.join(", ")}`);
    }
  }
  return options;
}

/**
 * Reads `(timeout?, options?)` and `(options?)`. An object in the first place is options if it is the only argument and is empty or has a
 * key of theirs; otherwise it is a Duration.
 *
 * @throws TypeError for a deadline that is neither number nor Duration, an unknown key, a signal that is none
 * @internal
 */
export function readWaitArguments(timeout: unknown, options: unknown, forEvent = false): WaitPlan {
  const keys = forEvent ? EVENT_KEYS : WAIT_KEYS;
  if (options === undefined && isPlainObject(timeout)) {
    const given = Object.keys(timeout);
    if (given.length === 0 || given.some((key) => EVENT_KEYS.includes(key))) {
      options = timeout;
      timeout = undefined;
    }
  }
  if (options === undefined) return readDeadline(timeout);
  const checked = checkOptions(options, keys);
  const signal = checkSignal(checked.signal);
  const onTimeout: unknown = checked.onTimeout;
  if (onTimeout !== undefined && onTimeout !== "throw" && onTimeout !== "false") {
    throw new TypeError(`onTimeout is ${show(onTimeout)}: pass "throw" or "false"`);
  }
  if (timeout !== undefined && checked.timeout !== undefined) {
    throw new TypeError(`The timeout is given twice, as ${show(timeout)} and in the options as ${show(checked.timeout)}: give it once`);
  }
  return readDeadline(timeout === undefined ? checked.timeout : timeout, signal, onTimeout);
}
