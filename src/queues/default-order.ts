/**
 * The order of a `PriorityQueue` that was given no `compare` (P99): Python's, as far as JavaScript's values have one. Depends on nothing.
 */
import { inspect, types } from "node:util";

/** Nesting deeper than this is taken for an array that contains itself. */
const DEEPEST = 1000;

type Kind = "number" | "string" | "boolean" | "date" | "bytes" | "array" | "other";

function kindOf(value: unknown): Kind {
  switch (typeof value) {
    case "number":
    case "bigint":
      return "number";
    case "string":
      return "string";
    case "boolean":
      return "boolean";
    case "object":
      if (Array.isArray(value)) return "array";
      if (value instanceof Uint8Array) return "bytes";
      return types.isDate(value) ? "date" : "other";
    default:
      return "other";
  }
}

function ascending(a: number | bigint | string | boolean, b: number | bigint | string | boolean): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 40, customInspect: false });
}

function unordered(a: unknown, b: unknown): TypeError {
  return new TypeError(
    `No default order between ${show(a)} and ${show(b)}: pass a compare function, new PriorityQueue(maxsize, { compare }), ` +
      "or put arrays [priority, item]",
  );
}

function compareArrays(a: readonly unknown[], b: readonly unknown[], payload: boolean, depth: number): number {
  if (depth > DEEPEST) throw new TypeError("No default order between arrays nested this deep: pass a compare function");
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareValues(a[i], b[i], payload || i > 0, depth + 1);
    if (order !== 0) return order;
  }
  return ascending(a.length, b.length);
}

function compareValues(a: unknown, b: unknown, payload: boolean, depth: number): number {
  const kind = kindOf(a);
  if (kind !== kindOf(b)) throw unordered(a, b);
  switch (kind) {
    case "number":
      if (Number.isNaN(a) || Number.isNaN(b)) throw unordered(a, b);
      return ascending(a as number, b as number);
    case "string":
    case "boolean":
      return ascending(a as string, b as string);
    case "date": {
      const [first, second] = [Date.prototype.getTime.call(a), Date.prototype.getTime.call(b)];
      if (Number.isNaN(first) || Number.isNaN(second)) throw unordered(a, b);
      return ascending(first, second);
    }
    case "bytes":
      return Buffer.compare(a as Uint8Array, b as Uint8Array);
    case "array":
      return compareArrays(a as unknown[], b as unknown[], payload, depth);
    case "other":
      // What is carried along behind a priority is not compared: equal, so the entries keep their order.
      if (payload) return 0;
      throw unordered(a, b);
  }
}

/**
 * Numbers and bigints numerically, strings by code unit, false before true, Dates by time, bytes bytewise, arrays element by element with a
 * prefix first. Values of any other kind are equal to each other when they stand in an array at position 1 or later, as a payload.
 *
 * @throws TypeError for any other pair, for NaN and for an invalid Date
 */
export function defaultOrder(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") {
    if (a < b) return -1;
    if (a > b) return 1;
    if (a === b) return 0;
    throw unordered(a, b);
  }
  return compareValues(a, b, false, 0);
}
