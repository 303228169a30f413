/**
 * Which loop code belongs to. Since `start()` does not block, several loops of one thread may run interleaved, so this is more than
 * Tornado's one variable; still plain variables, because an active AsyncLocalStorage store makes every `await` in the process about
 * three times as dear on Node 20 (L103).
 */
import type { IOLoop } from "./ioloop.js";

/** The loop whose callback, timeout or handler is on the stack now. */
let executing: IOLoop | undefined;
/** The started loops in the order in which they were started. */
const running: IOLoop[] = [];
/** The loop that `makeCurrent()` named. */
let mark: IOLoop | undefined;
/** The thread's singleton. */
let singleton: IOLoop | undefined;

/** The current loop, as far as there is one: on the stack, else most recently started, else marked. */
export function currentLoop(): IOLoop | undefined {
  return executing ?? running.at(-1) ?? mark;
}

/** A turn of `loop` begins (or ends, with what this returned): returns what was executing before. */
export function setExecuting(loop: IOLoop | undefined): IOLoop | undefined {
  const before = executing;
  executing = loop;
  return before;
}

export function started(loop: IOLoop): void {
  running.push(loop);
}

export function left(loop: IOLoop): void {
  const index = running.lastIndexOf(loop);
  if (index >= 0) running.splice(index, 1);
}

export function getMark(): IOLoop | undefined {
  return mark;
}

export function setMark(loop: IOLoop | undefined): void {
  mark = loop;
}

export function getSingleton(): IOLoop | undefined {
  return singleton;
}

export function setSingleton(loop: IOLoop | undefined): void {
  singleton = loop;
}

/** A closed loop is never current again (L96). */
export function forget(loop: IOLoop): void {
  if (mark === loop) mark = undefined;
  if (singleton === loop) singleton = undefined;
}
