/**
 * What can be waited for: the type `Yieldable`, and the one place that tells (`isYieldable`). Depends on `concurrent` and `moment`.
 */
import { inspect } from "node:util";

import { isThenable } from "../ioloop/index.js";

/** What `multi`, `withTimeout` and `coroutine` accept: a PromiseLike, `undefined`, or an array, plain object or Map of such. */
export type Yieldable<T = unknown> =
  undefined | PromiseLike<T> | readonly Yieldable[] | { readonly [key: string]: Yieldable } | ReadonlyMap<unknown, Yieldable>;

/** What waiting for `Y` gives: the value of a PromiseLike, and for a collection one of the same shape. */
export type Yielded<Y> = Yieldable extends Y
  ? unknown
  : Y extends undefined
    ? undefined
    : Y extends PromiseLike<unknown>
      ? Awaited<Y>
      : Y extends ReadonlyMap<infer K, infer V>
        ? Map<K, Yielded<V>>
        : Y extends object
          ? { -readonly [K in keyof Y]: Yielded<Y[K]> }
          : unknown;

/** A class of failures, for `instanceof`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any constructor at all
export type ErrorClass = abstract new (...args: any[]) => object;

/** Failures that are not to be logged. */
export type QuietExceptions = ErrorClass | readonly ErrorClass[];

/** Something was yielded or passed that cannot be waited for (`tornado.gen.BadYieldError`). */
export class BadYieldError extends TypeError {
  static {
    this.prototype.name = "BadYieldError";
  }
}

/** Nesting deeper than this is taken for a collection that contains itself. */
const DEEPEST = 1000;

/** Whether `value` is a plain object: its prototype is `Object.prototype`, of whatever realm, or `null`. @internal */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** @internal */
export function badYield(value: unknown, place = ""): BadYieldError {
  return new BadYieldError(
    `Cannot wait for ${inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60 })}${place}: ` +
      "pass a Future, a promise, undefined, or an array, plain object or Map of these",
  );
}

/**
 * Throws unless `value` and everything in it can be waited for; runs no `then` and touches nothing (P113).
 *
 * @throws BadYieldError
 * @internal
 */
export function checkYieldable(value: unknown, depth = 0): void {
  if (value === undefined || isThenable(value)) return;
  if (depth > DEEPEST) throw new BadYieldError("Cannot wait for a collection nested this deep: it may contain itself");
  if (Array.isArray(value)) {
    for (const child of value as unknown[]) checkYieldable(child, depth + 1);
  } else if (value instanceof Map) {
    for (const child of value.values()) checkYieldable(child, depth + 1);
  } else if (isPlainObject(value)) {
    for (const key of Object.keys(value)) checkYieldable(value[key], depth + 1);
  } else {
    throw badYield(value, depth > 0 ? " inside a collection" : "");
  }
}

/**
 * Checks `quietExceptions`.
 *
 * @throws TypeError unless it is a class or an array of classes
 * @internal
 */
export function readQuiet(quiet: QuietExceptions | undefined): readonly ErrorClass[] {
  if (quiet === undefined) return [];
  const classes: readonly unknown[] = Array.isArray(quiet) ? (quiet as readonly unknown[]) : [quiet];
  for (const each of classes) {
    if (typeof each !== "function") {
      throw new TypeError(`quietExceptions is ${inspect(quiet, { depth: 1 })}: pass an error class, or an array of them`);
    }
  }
  return classes as readonly ErrorClass[];
}

/** Options with none but the known keys. @internal */
export function checkKeys(options: unknown, keys: readonly string[]): void {
  if (options === undefined) return;
  if (!isPlainObject(options))
    throw new TypeError(`options is ${inspect(options, { depth: 0 })}: pass an object with some of ${keys.join(", ")}`);
  for (const key of Object.keys(options)) {
    if (!keys.includes(key)) throw new TypeError(`Unknown option ${inspect(key)}: the options are ${keys.join(", ")}`);
  }
}

/** @internal */
export function isQuiet(error: unknown, quiet: readonly ErrorClass[]): boolean {
  return quiet.some((each) => error instanceof each);
}
