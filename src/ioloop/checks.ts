/** Questions about arguments and results that several parts of the loop ask. */
import { inspect } from "node:util";

/** @throws TypeError when it is no function (L20) */
export function checkCallback(callback: unknown, name: string): void {
  if (typeof callback !== "function") throw new TypeError(`${name} is ${inspect(callback, { depth: 0 })}: pass a function`);
}

/** @throws TypeError for a key of an options object that `of` does not know; what is no object has no keys */
export function checkKeys(options: unknown, known: readonly string[], of: string): void {
  if (typeof options !== "object" || options === null) return;
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw new TypeError(`Unknown option ${inspect(key)} of ${of}: use ${known.join(" or ")}`);
  }
}

/** Whether a value can be awaited. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === "object" || typeof value === "function") && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}

/** Whether an error came from the operating system. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}
