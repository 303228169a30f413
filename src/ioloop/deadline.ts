/**
 * Times as arguments: `Duration` (Python's `timedelta`), `Deadline` (either form), and the checks that every method taking one shares.
 */
import { inspect } from "node:util";

/**
 * A relative time: the sum of its fields, each of which may be negative or fractional. `{}` is 0. Stands in for Python's
 * `datetime.timedelta`.
 */
export interface Duration {
  days?: number;
  hours?: number;
  minutes?: number;
  seconds?: number;
  milliseconds?: number;
}

/** A point in time: a number is absolute, in seconds on `loop.time()`'s clock; a `Duration` counts from now. */
export type Deadline = number | Duration;

const SECONDS_PER: Readonly<Record<keyof Duration, number>> = { days: 86_400, hours: 3_600, minutes: 60, seconds: 1, milliseconds: 0.001 };

/** The short way to write a relative time: `acquire(seconds(5))`. */
export function seconds(n: number): Duration {
  if (typeof n !== "number" || Number.isNaN(n)) throw new TypeError(`seconds() takes a number of seconds, got ${inspect(n)}`);
  return { seconds: n };
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A plain object of another realm has that realm's Object.prototype, whose own prototype is null as well.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Whether `value` has the shape of a `Duration`: a plain object with no keys but a Duration's. Its values are not looked at. */
export function isDuration(value: unknown): value is Duration {
  return isPlainObject(value) && Object.keys(value).every((key) => Object.hasOwn(SECONDS_PER, key));
}

/**
 * The length of a `Duration` in seconds. `name` is the argument's name, for the error.
 *
 * @throws TypeError for anything that is no Duration, and for a field that is no number or NaN
 */
export function durationToSeconds(duration: Duration, name = "duration"): number {
  if (!isDuration(duration)) {
    throw new TypeError(
      `${name} is ${inspect(duration, { depth: 0 })}: pass a Duration, an object with some of ${Object.keys(SECONDS_PER).join(", ")}`,
    );
  }
  let total = 0;
  for (const [key, value] of Object.entries(duration) as [keyof Duration, unknown][]) {
    if (value === undefined) continue;
    if (typeof value !== "number" || Number.isNaN(value)) {
      throw new TypeError(`${name}.${key} is ${inspect(value)}: pass a number`);
    }
    // Milliseconds divide instead of multiplying by 0.001, which would turn 50 ms into 0.050000000000000003 s.
    total += key === "milliseconds" ? value / 1000 : value * SECONDS_PER[key];
  }
  if (Number.isNaN(total)) throw new TypeError(`${name} adds Infinity and -Infinity: pass a Duration whose sum is a number`);
  return total;
}

/**
 * A number of seconds, absolute or relative as the caller means it.
 *
 * @throws TypeError for what is no number, and for NaN, which is no time
 */
export function checkSeconds(value: unknown, name: string): number {
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(`${name} is ${inspect(value, { depth: 0 })}: pass a number of seconds`);
  }
  return value;
}

/**
 * A `Deadline` as absolute seconds, given what the clock shows (read only if the deadline is relative).
 *
 * @throws TypeError for what is neither a number nor a Duration
 */
export function deadlineToSeconds(deadline: Deadline, now: () => number, name = "deadline"): number {
  if (typeof deadline === "number") return checkSeconds(deadline, name);
  if (!isDuration(deadline)) {
    throw new TypeError(
      `${name} is ${inspect(deadline, { depth: 0 })}: pass seconds on the loop's clock, or a Duration such as { seconds: 5 }`,
    );
  }
  const length = durationToSeconds(deadline, name);
  return now() + length;
}
