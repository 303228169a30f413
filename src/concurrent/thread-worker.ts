/**
 * What a thread of `ThreadPoolExecutor` runs: it gets a function's text and arguments and answers with how the call ended. Loaded by the
 * thread pool library in each thread, never imported. Depends on the two `travelling-*` files.
 */
import { checkTravels, packError } from "./travelling-error.js";
import type { TravellingError } from "./travelling-error.js";
import { unpackFunction } from "./travelling-function.js";
import type { TravellingFunction } from "./travelling-function.js";

/** One submitted call. */
export interface Task {
  readonly fn: TravellingFunction;
  readonly args: readonly unknown[];
}

/** How it ended. A failure travels as a value, because structured clone would strip the error of its name and code. */
export type Reply = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: TravellingError };

type Unpacked = (...args: readonly unknown[]) => unknown;

/** A function submitted again and again is compiled once; the bound is for programs that make up new ones for ever. */
const MOST_COMPILED = 1000;
const compiled = new Map<string, Unpacked>();

function compile(fn: TravellingFunction): Unpacked {
  let ready = compiled.get(fn.source);
  if (ready === undefined) {
    if (compiled.size >= MOST_COMPILED) compiled.clear();
    ready = unpackFunction(fn);
    compiled.set(fn.source, ready);
  }
  return ready;
}

export default async function runTask({ fn, args }: Task): Promise<Reply> {
  try {
    const value = await compile(fn)(...args);
    // A value that cannot travel would end this thread when the library posts it.
    checkTravels(value);
    return { ok: true, value };
  } catch (error) {
    return { ok: false, error: packError(error) };
  }
}
