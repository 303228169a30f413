/**
 * Makes system calls fail on purpose, through the seam of `src/platform`.
 *
 *     using fault = injectFault("recv", { errno: "ECONNRESET", at: 3 });   // the third recv from now on fails, the others are real
 *     using fault = replaceCall("send", (real) => (fd, buf, n, flags) => real(fd, buf, Math.min(n, 1), flags));   // one byte at a time
 *
 * Each ends with its block, or by `restore()`; several on one call end in the opposite order.
 */
import { errno as errnoNumber, sys } from "../../src/platform/index.js";
import type { SystemCalls } from "../../src/platform/index.js";

/** A changed system call. */
export interface Fault extends Disposable {
  /** How often the call was made since, failures included. */
  readonly calls: number;
  /** How many of these calls failed on purpose. */
  readonly injected: number;
  /** Puts the call back; idempotent. */
  restore(): void;
}

/** Which calls fail, and how. */
export interface FaultOptions {
  /** The name or number that `sys.errno()` answers. */
  readonly errno: string | number;
  /** The first call to fail, counted from 1 among those that `when` lets through. */
  readonly at?: number;
  /** How many calls fail from there on: 1 by default, Infinity for all. */
  readonly times?: number;
  /** Only calls with these arguments count; a descriptor is the first of most. */
  readonly when?: (...args: never[]) => boolean;
  /** What the failing call answers: -1 unless it is one with another convention. */
  readonly result?: number;
  /** Makes the real call too before it fails: a close that reports EINTR has closed all the same. */
  readonly afterRealCall?: boolean;
}

let pending: number | undefined;
let realErrno: SystemCalls["errno"] | undefined;
let active = 0;

/** The errno of an injected failure is there for the first who asks, as after the real call. */
function takeOverErrno(): void {
  if (active++ > 0) return;
  const real = sys.errno;
  realErrno = real;
  sys.errno = () => {
    const number = pending;
    pending = undefined;
    return number ?? real();
  };
}

function giveErrnoBack(): void {
  if (--active > 0 || realErrno === undefined) return;
  sys.errno = realErrno;
  realErrno = undefined;
  pending = undefined;
}

function change<K extends keyof SystemCalls>(
  name: K,
  make: (real: SystemCalls[K], count: () => void) => SystemCalls[K],
): Fault & { injected: number } {
  const real = sys[name];
  let calls = 0;
  let live = true;
  const ours = make(real, () => calls++);
  sys[name] = ours;
  const restore = (): void => {
    if (!live) return;
    live = false;
    if (sys[name] !== ours) throw new Error(`sys.${name} was replaced once more and not put back before this`);
    sys[name] = real;
  };
  return {
    get calls() {
      return calls;
    },
    injected: 0,
    restore,
    [Symbol.dispose]: restore,
  };
}

/** Replaces a system call by what `make` gives for the real one. */
export function replaceCall<K extends keyof SystemCalls>(name: K, make: (real: SystemCalls[K]) => SystemCalls[K]): Fault {
  return change(name, (real, count) => {
    const call = make(real) as (...args: unknown[]) => unknown;
    return ((...args: unknown[]) => {
      count();
      return call(...args);
    }) as unknown as SystemCalls[K];
  });
}

/** Only counts the calls: a wrapper that must not make a system call leaves `calls` at 0. */
export function countCalls(name: keyof SystemCalls): Fault {
  return replaceCall(name, (real) => real);
}

/** Makes a system call fail. The real one is not made where it fails, unless `afterRealCall` says so. */
export function injectFault(name: keyof SystemCalls, options: FaultOptions): Fault {
  const { at = 1, times = 1, result = -1 } = options;
  const number = typeof options.errno === "number" ? options.errno : errnoNumber(options.errno);
  const when = options.when as ((...args: unknown[]) => boolean) | undefined;
  let counted = 0;
  takeOverErrno();
  const fault = change(name, (real, count) => {
    const call = real as (...args: unknown[]) => unknown;
    return (...args: unknown[]) => {
      count();
      if (when !== undefined && !when(...args)) return call(...args);
      counted++;
      if (counted < at || counted >= at + times) return call(...args);
      if (options.afterRealCall === true) call(...args);
      fault.injected++;
      pending = number;
      return result;
    };
  });
  const { restore } = fault;
  let live = true;
  fault.restore = fault[Symbol.dispose] = () => {
    if (!live) return;
    live = false;
    restore();
    giveErrnoBack();
  };
  return fault;
}
