/**
 * What can be done with a bare descriptor number: pipes, reading and writing, flags, closing, counting.
 *
 * "Would block" is the value `undefined`; every other failure throws a system error. Depends on the system-call seam.
 */
import { readdirSync } from "node:fs";
import { checkInteger } from "./arguments.js";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  F_GETFD,
  F_GETFL,
  F_GETPIPE_SZ,
  F_SETFD,
  F_SETFL,
  F_SETPIPE_SZ,
  FD_CLOEXEC,
  O_CLOEXEC,
  O_NONBLOCK,
} from "./constants.js";
import { EAGAIN, EINTR, ENOMEM, EPERM, systemError } from "./errno.js";
import { sys } from "./system-calls.js";

/**
 * Checks that `fd` can be a descriptor number.
 *
 * @throws TypeError when it is not a number
 * @throws RangeError when it is negative, fractional or too large
 */
export function checkDescriptor(fd: unknown): asserts fd is number {
  checkInteger(fd, "descriptor", 0, 0x7fffffff);
}

/** fcntl(2), repeated after a signal; throws what else fails. */
function control(fd: number, command: number, argument: number): number {
  for (;;) {
    const result = sys.fcntl(fd, command, argument);
    if (result !== -1) return result;
    const errno = sys.errno();
    if (errno !== EINTR) throw systemError(errno, "fcntl");
  }
}

/**
 * Closes a descriptor. An EINTR is no failure and is not retried: on Linux the number is free either way, and by the second call it may
 * belong to somebody else (close(2), "Dealing with error returns from close()").
 *
 * @throws SystemError EBADF and whatever else close(2) reports
 */
export function closeDescriptor(fd: number): void {
  checkDescriptor(fd);
  if (sys.close(fd) === -1) {
    const errno = sys.errno();
    if (errno !== EINTR) throw systemError(errno, "close");
  }
}

/**
 * Turns non-blocking mode of the open file on (or off): all duplicates of the descriptor share it.
 *
 * @throws SystemError EBADF for a number that is not open
 */
export function setNonblocking(fd: number, on = true): void {
  checkDescriptor(fd);
  const flags = control(fd, F_GETFL, 0);
  const wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted !== flags) control(fd, F_SETFL, wanted);
}

/** Whether a program started by this process would get the descriptor. */
export function isInheritable(fd: number): boolean {
  checkDescriptor(fd);
  return (control(fd, F_GETFD, 0) & FD_CLOEXEC) === 0;
}

/** Lets programs started by this process have the descriptor, or not (close-on-exec). */
export function setInheritable(fd: number, on: boolean): void {
  checkDescriptor(fd);
  const flags = control(fd, F_GETFD, 0);
  const wanted = on ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC;
  if (wanted !== flags) control(fd, F_SETFD, wanted);
}

/** Whether the number belongs to an open descriptor of this process. */
export function isOpen(fd: number): boolean {
  checkDescriptor(fd);
  for (;;) {
    if (sys.fcntl(fd, F_GETFD, 0) !== -1) return true;
    if (sys.errno() !== EINTR) return false;
  }
}

/** The descriptors this process has open, ascending: for leak tests. It reads /proc and leaves out the descriptor needed for that. */
export function openDescriptors(): number[] {
  // The directory's own descriptor is in the list and closed by now.
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => isOpen(fd))
    .sort((a, b) => a - b);
}

/** A pipe, `[read end, write end]`, non-blocking and close-on-exec. */
export function pipe(): [number, number] {
  const pair = new Int32Array(2);
  for (;;) {
    if (sys.pipe2(new Uint8Array(pair.buffer), O_NONBLOCK | O_CLOEXEC) !== -1) return [pair[0] ?? -1, pair[1] ?? -1];
    const errno = sys.errno();
    if (errno !== EINTR) throw systemError(errno, "pipe2");
  }
}

/**
 * Has a pipe hold at least `size` bytes, if the system lets it: what one user's pipes may hold together is bounded (pipe(7), "/proc files").
 *
 * @returns how many it holds now
 * @throws SystemError EBADF for what is no pipe
 */
export function enlargePipe(fd: number, size: number): number {
  checkDescriptor(fd);
  checkInteger(size, "size", 0, 0x7fffffff);
  const held = control(fd, F_GETPIPE_SZ, 0);
  if (held >= size) return held;
  const set = sys.fcntl(fd, F_SETPIPE_SZ, size);
  if (set !== -1) return set;
  const errno = sys.errno();
  if (errno === EPERM || errno === ENOMEM) return held;
  throw systemError(errno, "fcntl");
}

/**
 * read(2) into `buf`: how many bytes came, 0 at end of file, `undefined` when it would block.
 *
 * @throws RangeError when `buf` has no room: the answer 0 would look like end of file
 */
export function readDescriptor(fd: number, buf: Uint8Array): number | undefined {
  const length = buf.length;
  if (length === 0) throw new RangeError("Invalid buffer of 0 bytes to read into: it needs room for at least one byte");
  for (;;) {
    const count = sys.read(fd, buf, length);
    if (count >= 0) return count;
    const errno = sys.errno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw systemError(errno, "read");
  }
}

/**
 * write(2) of `buf`: how many bytes the kernel took, `undefined` when it would block. A pipe whose reader is gone throws EPIPE; the signal
 * SIGPIPE that goes with it does nothing, for Node ignores it in the whole process from its start. (A socket has MSG_NOSIGNAL for this;
 * write(2) has nothing of the kind.)
 */
export function writeDescriptor(fd: number, buf: Uint8Array): number | undefined {
  for (;;) {
    const count = sys.write(fd, buf, buf.length);
    if (count >= 0) return count;
    const errno = sys.errno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw systemError(errno, "write");
  }
}

/** The counter's step, 1 as a native 64-bit integer (both supported architectures are little-endian). */
const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
const counter = new Uint8Array(8);

/** An eventfd(2) with counter 0, non-blocking and close-on-exec: a descriptor that wakes whoever polls it. */
export function createEventFd(): number {
  for (;;) {
    const fd = sys.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd !== -1) return fd;
    const errno = sys.errno();
    if (errno !== EINTR) throw systemError(errno, "eventfd");
  }
}

/** Makes an eventfd readable. A full counter is no failure: it is readable already. */
export function signalEventFd(fd: number): void {
  writeDescriptor(fd, ONE);
}

/** Makes an eventfd unreadable again, however often it was signalled. */
export function drainEventFd(fd: number): void {
  readDescriptor(fd, counter);
}
