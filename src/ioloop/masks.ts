/** Event masks: epoll's own bits, which poll(2) shares as far as it has them (epoll_ctl(2), poll(2), Linux). */
import { inspect } from "node:util";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from "../platform/index.js";

/** No interest; hang-up and error are reported all the same. */
export const NONE = 0;
/** Readable: data, end of file, or a waiting connection. */
export const READ = EPOLLIN;
/** Writable; also a connect that has finished or failed. */
export const WRITE = EPOLLOUT;
/**
 * Error or hang-up: two bits, so test with `events & ERROR`. Tornado's value since 2.1.1 (EPOLLERR | EPOLLHUP); some lists of its API give
 * 0x008, which this contains.
 */
export const ERROR = EPOLLERR | EPOLLHUP;

// RDNORM, RDBAND, WRNORM, WRBAND and MSG (0x040 to 0x400), EXCLUSIVE and WAKEUP (bits 28 and 29): <sys/epoll.h> defines them as well.
const DEFINED = (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP | 0x7c0 | 0x30000000 | EPOLLONESHOT | EPOLLET) >>> 0;

/**
 * A mask as the number the kernel is given. `READ | IOLoop._EPOLLET` is negative in JavaScript, whose `|` is signed, so the sum is taken
 * `>>> 0`.
 *
 * @throws TypeError when it is no number
 * @throws RangeError when it has a bit that epoll does not define, or is no 32-bit integer
 */
export function checkMask(events: unknown, name = "events"): number {
  if (typeof events !== "number") {
    throw new TypeError(`${name} is ${inspect(events, { depth: 0 })}: pass a mask such as IOLoop.READ | IOLoop.WRITE`);
  }
  const mask = events >>> 0;
  if ((mask !== events && (events | 0) !== events) || (mask & ~DEFINED) !== 0) {
    throw new RangeError(`${name} is ${inspect(events)}: pass a mask of bits that epoll defines, such as IOLoop.READ | IOLoop.WRITE`);
  }
  return mask;
}

const BIT_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [EPOLLIN, "READ"],
  [EPOLLOUT, "WRITE"],
  [EPOLLERR, "ERR"],
  [EPOLLHUP, "HUP"],
  [EPOLLPRI, "PRI"],
  [EPOLLRDHUP, "RDHUP"],
  [EPOLLONESHOT, "ONESHOT"],
  [EPOLLET, "ET"],
];

/** A mask in words, for those who watch a loop: `describeMask(0x19)` is "READ|ERR|HUP". */
export function describeMask(events: number): string {
  const names = BIT_NAMES.filter(([bit]) => (events & bit) !== 0).map(([, name]) => name);
  return names.length > 0 ? names.join("|") : "NONE";
}
