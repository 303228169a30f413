/**
 * The arguments of stream operations: checked before anything changes, with errors that name them (conventions.md, "Errors").
 * Depends on `gen` for what an abort signal is.
 */
import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { isAbortSignal } from "../gen/index.js";

/** What every read takes. */
export interface ReadOptions {
  /** Withdraws the read when it aborts: the Future fails with `signal.reason`, what has been received stays for the next read. */
  signal?: AbortSignal | undefined;
}

/** What {@link BaseIOStream.readBytes} takes. */
export interface ReadBytesOptions extends ReadOptions {
  /** Complete as soon as at least one byte is there. */
  partial?: boolean | undefined;
  /** Gets the data in chunks as they come; the final result is empty then. */
  streamingCallback?: ((data: Buffer) => unknown) | undefined;
}

/** What {@link BaseIOStream.readInto} takes. */
export interface ReadIntoOptions extends ReadOptions {
  /** Complete as soon as at least one byte is there. */
  partial?: boolean | undefined;
}

/** What {@link BaseIOStream.readUntil} and {@link BaseIOStream.readUntilRegex} take. */
export interface ReadUntilOptions extends ReadOptions {
  /** The stream closes with an `UnsatisfiableReadError` when more bytes than this have come without a match. */
  maxBytes?: number | undefined;
}

/** What {@link BaseIOStream.readUntilClose} takes. */
export interface ReadUntilCloseOptions extends ReadOptions {
  /** Gets the data in chunks as they come; the final result is empty then. */
  streamingCallback?: ((data: Buffer) => unknown) | undefined;
}

/** All options of all reads. */
type AnyReadOptions = ReadBytesOptions & ReadUntilOptions;

/** A number, or any value, as a message shows it. */
export function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}

const NONE: AnyReadOptions = {};

/**
 * The options of a read, given last or in the callback's place.
 *
 * @throws TypeError for what is no object, an unknown key, a value of a wrong type
 * @throws RangeError for a `maxBytes` that is no count
 */
export function readOptions(method: string, keys: readonly string[], callback: unknown, options: unknown): AnyReadOptions {
  let given = options;
  if (typeof callback === "object" && callback !== null) {
    if (options !== undefined) throw new TypeError(`The callback of ${method}() is ${show(callback)}: pass a function, undefined or null`);
    given = callback;
  }
  if (given === undefined) return NONE;
  checkKeys(method, keys, given);
  const { signal, partial, streamingCallback, maxBytes } = given as AnyReadOptions;
  if (signal !== undefined && !isAbortSignal(signal)) throw new TypeError(`signal is ${show(signal)}: pass an AbortSignal`);
  if (partial !== undefined && typeof partial !== "boolean") throw new TypeError(`partial is ${show(partial)}: pass true or false`);
  if (streamingCallback !== undefined && typeof streamingCallback !== "function") {
    throw new TypeError(`streamingCallback is ${show(streamingCallback)}: pass a function`);
  }
  if (maxBytes !== undefined) checkCount("maxBytes", maxBytes);
  return given;
}

/**
 * Checks that `options` is an object with no other keys than `keys`.
 *
 * @throws TypeError
 */
export function checkKeys(method: string, keys: readonly string[], options: unknown): asserts options is object {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`The options of ${method} are ${show(options)}: pass an object with some of ${keys.join(", ")}`);
  }
  for (const key in options) {
    if (!keys.includes(key)) throw new TypeError(`Unknown option ${show(key)} of ${method}: the options are ${keys.join(", ")}`);
  }
}

/** Whether the callback's place holds none, or the options. */
export function withoutCallback(callback: unknown): boolean {
  return callback === undefined || callback === null || typeof callback === "object";
}

/**
 * Checks that `value` can count bytes.
 *
 * @throws TypeError when it is no number
 * @throws RangeError when it is negative, fractional, NaN or beyond `Number.MAX_SAFE_INTEGER`
 */
export function checkCount(name: string, value: unknown): asserts value is number {
  if (typeof value !== "number") throw new TypeError(`${name} is ${show(value)}: pass a number of bytes`);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} is ${value}: pass a whole number of bytes, not negative`);
}

/**
 * String delimiters seen before, as bytes: `Buffer.from("\n")` costs 0.15 µs and a program uses a handful of them in all its reads. The
 * number is bounded, for a delimiter may be made up at run time.
 */
const knownDelimiters = new Map<string, Buffer>();
const KNOWN_DELIMITERS = 64;

/**
 * A delimiter as bytes of our own: the caller may change his during the read.
 *
 * @throws TypeError when it is neither string nor Uint8Array
 * @throws RangeError when it is empty
 */
export function delimiterBytes(delimiter: unknown): Buffer {
  if (typeof delimiter === "string") {
    const known = knownDelimiters.get(delimiter);
    if (known !== undefined) return known;
  } else if (!(delimiter instanceof Uint8Array)) {
    throw new TypeError(`delimiter is ${show(delimiter)}: pass a string or a Uint8Array`);
  }
  const bytes = Buffer.from(delimiter);
  if (bytes.length === 0) throw new RangeError("delimiter is empty: pass at least one byte, or use readBytes()");
  if (typeof delimiter === "string" && knownDelimiters.size < KNOWN_DELIMITERS) knownDelimiters.set(delimiter, bytes);
  return bytes;
}

/**
 * A pattern of our own: the flags g and y would make it start where its last match ended (S39).
 *
 * @throws TypeError when it is neither RegExp nor string
 * @throws SyntaxError when a string is no pattern
 */
export function ownPattern(regex: unknown): RegExp {
  if (typeof regex === "string") return new RegExp(regex);
  if (!(regex instanceof RegExp)) throw new TypeError(`regex is ${show(regex)}: pass a RegExp or the source of one`);
  return new RegExp(regex.source, regex.flags.replace(/[gy]/g, ""));
}

/**
 * The bytes of what may be written. They are the caller's memory unless it was a string.
 *
 * @throws TypeError for anything that is not a string, an ArrayBufferView or an ArrayBuffer
 */
export function bytesOf(data: unknown): Buffer {
  if (typeof data === "string") return Buffer.from(data);
  if (Buffer.isBuffer(data)) return data;
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return Buffer.from(data);
  throw new TypeError(`data is ${show(data)}: pass a string, an ArrayBufferView (such as a Uint8Array) or an ArrayBuffer`);
}
