/**
 * Checks of arguments that several parts of `platform` share. A wrong type is a TypeError, a number out of range a RangeError, and the
 * message quotes the value and says what would be right.
 */

/** A value in an error message: short, and never its whole contents. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "object":
      if (value === null) return "null";
      return `of type ${Array.isArray(value) ? "array" : (value.constructor as { name?: string } | undefined)?.name || "object"}`;
    default:
      return `of type ${typeof value}`;
  }
}

/**
 * Checks a number that must be an integer from `low` to `high`.
 *
 * @param what the argument's name in the message
 */
export function checkInteger(value: unknown, what: string, low: number, high: number): asserts value is number {
  if (typeof value !== "number") throw new TypeError(`Invalid ${what} ${describeValue(value)}: use a number`);
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`Invalid ${what} ${value}: use an integer from ${low} to ${high}`);
  }
}

/** Checks a port of an address. */
export function checkPort(port: unknown): asserts port is number {
  checkInteger(port, "port", 0, 65535);
}

/** Checks a number that goes to the kernel as a C int. */
export function checkInt(value: unknown, what: string): asserts value is number {
  checkInteger(value, what, -0x80000000, 0x7fffffff);
}
