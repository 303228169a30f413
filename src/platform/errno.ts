/**
 * errno numbers, their names, and errors in the form that Node's own system errors have.
 *
 * Depends on `node:os` for the numbers Node knows; the Linux ones it leaves out are listed here (include/uapi/asm-generic/errno.h).
 */
import { constants } from "node:os";

/** What a system error may tell besides its code. */
export interface SystemErrorDetails {
  /** The address that was to be bound, connected or sent to. */
  readonly address?: string | undefined;
  /** Its port. */
  readonly port?: number | undefined;
  /** The path of a unix socket or a file; a string, or bytes where it is not UTF-8. */
  readonly path?: string | Uint8Array | undefined;
  /** The name that was looked up. */
  readonly hostname?: string | undefined;
  /** A sentence without final period that says more than the code does; it goes into the message. */
  readonly reason?: string | undefined;
}

/** An error of the operating system, as Node throws them: `code` is the name ("ECONNREFUSED"), `errno` the number, negative. */
export interface SystemError extends Error {
  code: string;
  errno: number;
  syscall: string;
  address?: string;
  port?: number;
  path?: string | Uint8Array;
  hostname?: string;
}

/** Linux errors that a descriptor may meet and `os.constants.errno` does not list. */
const LINUX_ONLY: Readonly<Record<string, number>> = {
  ENOTBLK: 15,
  ECHRNG: 44,
  EL2NSYNC: 45,
  EBADE: 52,
  EBADFD: 77,
  ENONET: 64,
  EREMOTE: 66,
  ECOMM: 70,
  ENOTUNIQ: 76,
  EREMCHG: 78,
  ERESTART: 85,
  EUSERS: 87,
  ESOCKTNOSUPPORT: 94,
  EPFNOSUPPORT: 96,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  EHOSTDOWN: 112,
  EREMOTEIO: 121,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
  ERFKILL: 132,
  EHWPOISON: 133,
};

const numbers = new Map<string, number>(Object.entries(LINUX_ONLY));
for (const [name, number] of Object.entries(constants.errno)) numbers.set(name, number);

const names = new Map<number, string>();
for (const [name, number] of numbers) {
  // Two names for one number on Linux; Node's errors say EAGAIN and ENOTSUP.
  if (name !== "EWOULDBLOCK" && name !== "EOPNOTSUPP") names.set(number, name);
}

/**
 * The positive errno number of a name: `errno("EBADF")` is 9.
 *
 * @throws Error for a name that this platform does not have
 */
export function errno(name: string): number {
  const number = numbers.get(name);
  if (number === undefined) throw new Error(`This platform has no errno ${name}`);
  return number;
}

/** Interrupted by a signal. */
export const EINTR: number = errno("EINTR");
/** Not enough memory. */
export const ENOMEM: number = errno("ENOMEM");
/** It would block. */
export const EAGAIN: number = errno("EAGAIN");
/** Not an open descriptor. */
export const EBADF: number = errno("EBADF");
/** Not permitted: also epoll's answer for a file that cannot be polled. */
export const EPERM: number = errno("EPERM");
/** No such file, or no such registration. */
export const ENOENT: number = errno("ENOENT");
/** It exists already. */
export const EEXIST: number = errno("EEXIST");
/** An argument that the kernel does not take. */
export const EINVAL: number = errno("EINVAL");
/** The connection goes on in the background. */
export const EINPROGRESS: number = errno("EINPROGRESS");
/** A connection is under way already. */
export const EALREADY: number = errno("EALREADY");
/** Connected already. */
export const EISCONN: number = errno("EISCONN");
/** The address family is not supported, or not this one. */
export const EAFNOSUPPORT: number = errno("EAFNOSUPPORT");
/** A name or path that is too long. */
export const ENAMETOOLONG: number = errno("ENAMETOOLONG");

/** The name of an errno number, positive or negative ("ECONNREFUSED" for 111 on Linux); "E" and the number for one without a name. */
export function errnoCode(number: number): string {
  const positive = Math.abs(number);
  return names.get(positive) ?? `E${positive}`;
}

/** A NUL or another control character in a path must not end up raw in a message. */
function printable(path: string | Uint8Array): string {
  const text = typeof path === "string" ? path : Buffer.from(path).toString("latin1");
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  return text.replace(/[\0-\x1f\x7f]/g, (char) => (char === "\0" ? "\\0" : `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`));
}

/**
 * Builds the error for any code, getaddrinfo's too; `number` is what `errno` will be.
 *
 * @internal
 */
export function namedSystemError(code: string, number: number, syscall: string, details: SystemErrorDetails = {}): SystemError {
  const { address, port, path, hostname, reason } = details;
  let message = `${syscall} ${code}`;
  if (reason !== undefined) message += `: ${reason}`;
  if (path !== undefined) message += ` ${printable(path)}`;
  else if (address !== undefined) message += port === undefined ? ` ${address}` : ` ${address}:${port}`;
  else if (hostname !== undefined) message += ` ${printable(hostname)}`;
  const error = new Error(message) as SystemError;
  error.errno = number;
  error.code = code;
  error.syscall = syscall;
  if (address !== undefined) error.address = address;
  if (port !== undefined) error.port = port;
  if (path !== undefined) error.path = path;
  if (hostname !== undefined) error.hostname = hostname;
  return error;
}

/**
 * Makes the error for a failed system call in the form Node's own have: message `connect ECONNREFUSED 127.0.0.1:80`, `code`, `errno`
 * (negative, as Node has it), `syscall`, and what `details` gives.
 *
 * @param number the errno number, positive as the kernel's, or negative as Node's
 * @param syscall the name of the call that failed
 */
export function systemError(number: number, syscall: string, details?: SystemErrorDetails): SystemError {
  return namedSystemError(errnoCode(number), -Math.abs(number), syscall, details);
}

/** Whether `error` is an error of the operating system, ours or Node's; with `code`, whether it is that one. */
export function isSystemError(error: unknown, code?: string): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code: own, errno, syscall } = error as Partial<SystemError>;
  return typeof own === "string" && typeof errno === "number" && typeof syscall === "string" && (code === undefined || own === code);
}
