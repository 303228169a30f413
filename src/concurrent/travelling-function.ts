/**
 * Functions that go to another thread as their source text. Threads of JavaScript share no objects, so a function can be taken along only as
 * what stands between its first and last character: its closure, its `this` and its properties stay behind. Depends on Node's `vm` alone.
 */
import { Script } from "node:vm";
import { inspect } from "node:util";

/** A function on its way. */
export interface TravellingFunction {
  readonly source: string;
  /** `name(x) { ... }`, as in an object literal or a class, which is no expression by itself. */
  readonly shorthand: boolean;
}

const packed = new WeakMap<object, TravellingFunction>();

/**
 * The form in which `fn` travels.
 *
 * @throws TypeError if it cannot: a class, a native or bound function, an accessor or a private method
 */
export function packFunction(fn: (...args: never) => unknown): TravellingFunction {
  let travelling = packed.get(fn);
  if (travelling === undefined) {
    travelling = pack(fn);
    packed.set(fn, travelling);
  }
  return travelling;
}

function pack(fn: (...args: never) => unknown): TravellingFunction {
  const source = Function.prototype.toString.call(fn);
  const name = inspect(fn, { depth: 0 });
  if (/^class[\s{]/.test(source)) throw new TypeError(`${name} cannot travel to another thread: pass a function, not a class`);
  if (/^(?:get|set)\s+[^\s(]/.test(source))
    throw new TypeError(`${name} is an accessor and cannot travel to another thread: pass a function`);
  if (/\{\s*\[native code\]\s*\}$/.test(source)) {
    throw new TypeError(
      `${name} is native or bound and cannot travel to another thread: pass a function written out, with what it needs as arguments`,
    );
  }
  for (const shorthand of [false, true]) {
    if (parses(asScript({ source, shorthand }))) return { source, shorthand };
  }
  throw new TypeError(`${name} cannot travel to another thread: pass a function, an arrow function or a method, not a private method`);
}

function parses(script: string): boolean {
  try {
    return new Script(script) instanceof Script;
  } catch {
    return false;
  }
}

/**
 * `__name` is what esbuild (and tsx, which uses it) calls inside a function to keep the names of the functions in it, with the option
 * keepNames; it is not in the text of the function that uses it.
 */
function asScript({ source, shorthand }: TravellingFunction): string {
  return `(__name) => { "use strict"; return (${shorthand ? `{${source}\n}` : `${source}\n`}); }`;
}

/** The function again, in the thread it has come to. */
export function unpackFunction(travelling: TravellingFunction): (...args: readonly unknown[]) => unknown {
  // Not vm.Script, in which import() needs an option that Node warns is experimental. Called by another name, eval compiles in the global scope;
  // the text is that of a function the program itself has submitted.
  const compile = globalThis.eval;
  const make = compile(`${asScript(travelling)}\n//# sourceURL=${SOURCE_NAME}`) as (nameKeeper: (fn: unknown) => unknown) => unknown;
  const made = make((fn) => fn);
  return (travelling.shorthand ? Object.values(made as object)[0] : made) as (...args: readonly unknown[]) => unknown;
}

/** What stacks show as the file of a function that was submitted. */
const SOURCE_NAME = "submitted-function";
