/**
 * Errors that go from one thread to another. Structured clone keeps an Error's message and stack, but not its `code` nor a name of its own.
 * Depends on `errors.ts`.
 */
import { inspect } from "node:util";
import { CancelledError, InvalidStateError, TimeoutError } from "./errors.js";

/** What was thrown, in a form that structured clone takes. */
export interface TravellingError {
  /** Whether it was an Error; else `value` is what was thrown. */
  readonly isError: boolean;
  readonly value?: unknown;
  /** The key of its class in `CLASSES`, if it is an instance of one. */
  readonly kind?: string | undefined;
  readonly name?: string;
  readonly message?: string;
  readonly stack?: string | undefined;
  /** Its own further properties that can travel (`code`, `errno`, `syscall`, `path`). */
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly cause?: TravellingError;
}

/** A cause that is its own cause must not keep us here. */
const DEEPEST_CAUSE = 8;

/** What `instanceof` tells on the other side too. */
const CLASSES: Readonly<Record<string, new (message: string) => Error>> = {
  CancelledError,
  EvalError,
  InvalidStateError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TimeoutError,
  TypeError,
  URIError,
};

export function packError(thrown: unknown, depth = 0): TravellingError {
  if (!(thrown instanceof Error)) return { isError: false, value: canTravel(thrown) ? thrown : inspect(thrown) };
  const properties: Record<string, unknown> = {};
  for (const key of ["code", ...Object.keys(thrown)]) {
    const value = (thrown as unknown as Record<string, unknown>)[key];
    if (value !== undefined && key !== "cause" && canTravel(value)) properties[key] = value;
  }
  const { name, message, stack } = thrown;
  const kind = Object.keys(CLASSES).find((each) => thrown instanceof (CLASSES[each] ?? Error));
  const packed = { isError: true, kind, name, message, stack, properties };
  return thrown.cause === undefined || depth === DEEPEST_CAUSE ? packed : { ...packed, cause: packError(thrown.cause, depth + 1) };
}

/** What was thrown: an Error of the same class if that is one of JavaScript's or ours, else a plain Error with the same name. */
export function unpackError(packed: TravellingError): unknown {
  const { isError, value, kind = "", name = "Error", message = "", stack, properties = {}, cause } = packed;
  if (!isError) return value;
  const error = new (CLASSES[kind] ?? Error)(message);
  const put = (key: string, what: unknown, enumerable: boolean): void => {
    Object.defineProperty(error, key, { value: what, enumerable, writable: true, configurable: true });
  };
  if (error.name !== name) put("name", name, false);
  if (stack !== undefined) put("stack", stack, false);
  for (const [key, each] of Object.entries(properties)) if (key !== "name") put(key, each, true);
  if (cause !== undefined) put("cause", unpackError(cause), false);
  return error;
}

/**
 * @throws DOMException (DataCloneError) if structured clone does not take `value`
 */
export function checkTravels(value: unknown): void {
  // Bytes are not copied to find out that they can be.
  const plain = (typeof value !== "object" && typeof value !== "function" && typeof value !== "symbol") || value === null;
  if (!plain && !(value instanceof ArrayBuffer) && !ArrayBuffer.isView(value)) structuredClone(value);
}

function canTravel(value: unknown): boolean {
  try {
    checkTravels(value);
    return true;
  } catch {
    return false;
  }
}
