/** Checks of arguments that `process`, `net` and `testing` share: the errors name the argument, quote the value and say what would be right. */
import { inspect } from "node:util";

/** A value as a message shows it. */
export function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}

/**
 * Checks that `options` is an object with no other keys than `keys`.
 *
 * @throws TypeError
 */
export function checkOptions(where: string, keys: readonly string[], options: unknown): asserts options is object {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`The options of ${where} are ${show(options)}: pass an object with some of ${keys.join(", ")}`);
  }
  for (const key of Object.keys(options)) {
    if (keys.includes(key)) continue;
    const known = keys.length === 0 ? "there are none" : `the options are ${keys.join(", ")}`;
    throw new TypeError(`Unknown option ${show(key)} of ${where}: ${known}`);
  }
}

/**
 * Checks a whole number from `low` to `high`.
 *
 * @throws TypeError when it is no number
 * @throws RangeError when it is out of range or fractional
 */
export function checkWhole(name: string, value: unknown, low: number, high: number): asserts value is number {
  if (typeof value !== "number") throw new TypeError(`${name} is ${show(value)}: pass a number`);
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${name} is ${value}: pass a whole number from ${low} to ${high}`);
  }
}

/** @throws TypeError when `value` is neither `undefined` nor a boolean */
export function checkFlag(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") throw new TypeError(`${name} is ${show(value)}: pass true or false`);
}
