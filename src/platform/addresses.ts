/**
 * From an address of the API to the bytes that `bind`, `connect` and `sendto` take: all checks, and the lookup of a name.
 *
 * Every check is made before the first system call (N7). Depends on `sockaddr.ts` for the layouts, `getaddrinfo.ts` for names.
 */
import { isIPv4, isIPv6 } from "node:net";
import { checkInteger, checkPort, describeValue } from "./arguments.js";
import { AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM } from "./constants.js";
import { EAFNOSUPPORT, EINTR, ENAMETOOLONG, type SystemErrorDetails, systemError } from "./errno.js";
import { getaddrinfo, notFound } from "./getaddrinfo.js";
import { type Address, decodeAddress, encodeInet, encodeInet6, encodeUnix, parseIpv4, parseIpv6, UNIX_PATH_SIZE } from "./sockaddr.js";
import { sys } from "./system-calls.js";

const MAX_FLOWINFO = 0xfffff;
const MAX_SCOPE_ID = 0xffffffff;

/** The number of a zone, which is an interface's name or number. */
function zoneNumber(zone: string, host: string): number {
  if (/^[0-9]+$/.test(zone)) {
    const number = Number(zone);
    if (number <= MAX_SCOPE_ID) return number;
    throw notFound(host);
  }
  for (;;) {
    const index = sys.if_nametoindex(zone);
    if (index !== 0) return index;
    if (sys.errno() !== EINTR) throw notFound(host);
  }
}

function encodeIpv6(literal: string, port: number, flowinfo: number, scopeId: number): Uint8Array {
  const [ip = "", zone] = literal.split("%");
  const written = zone === undefined ? 0 : zoneNumber(zone, literal);
  if (written !== 0 && scopeId !== 0 && written !== scopeId) {
    throw new RangeError(
      `Invalid scope id ${scopeId} beside the zone of ${describeValue(literal)}, which is number ${written}: give one of them`,
    );
  }
  return encodeInet6(parseIpv6(ip), port, flowinfo, written || scopeId);
}

function wrongFamily(family: number, host: string, port: number, syscall: string): Error {
  const wanted = family === AF_INET ? "an IPv4" : "an IPv6";
  return systemError(EAFNOSUPPORT, syscall, { address: host, port, reason: `${wanted} socket takes ${wanted} address` });
}

function encodeInetAddress(family: number, address: Address, syscall: string): Uint8Array {
  if (!Array.isArray(address)) {
    throw new TypeError(`Invalid address ${describeValue(address)} for ${syscall} of an inet socket: use [host, port]`);
  }
  const fields: readonly unknown[] = address;
  const [host, port, flowinfo = 0, scopeId = 0] = fields;
  if (fields.length < 2 || fields.length > (family === AF_INET ? 2 : 4)) {
    const right = family === AF_INET ? "[host, port]" : "[host, port] or [host, port, flowinfo, scopeId]";
    throw new TypeError(`Invalid address of ${fields.length} fields for ${syscall}: use ${right}`);
  }
  if (typeof host !== "string") throw new TypeError(`Invalid host ${describeValue(host)} for ${syscall}: use a string`);
  checkPort(port);
  checkInteger(flowinfo, "flow information", 0, MAX_FLOWINFO);
  checkInteger(scopeId, "scope id", 0, MAX_SCOPE_ID);
  const v4 = host === "<broadcast>" || isIPv4(host);
  const v6 = isIPv6(host);
  if (family === AF_INET) {
    if (v6) throw wrongFamily(family, host, port, syscall);
    if (host === "") return encodeInet([0, 0, 0, 0], port);
    if (host === "<broadcast>") return encodeInet([255, 255, 255, 255], port);
    if (v4) return encodeInet(parseIpv4(host), port);
  } else {
    if (v4) throw wrongFamily(family, host, port, syscall);
    if (host === "") return encodeInet6([], port, flowinfo, scopeId);
    if (v6) return encodeIpv6(host, port, flowinfo, scopeId);
  }
  const found = getaddrinfo(host, port, family, SOCK_STREAM)[0]?.[4];
  if (found === undefined) throw notFound(host);
  if (family === AF_INET) return encodeInet(parseIpv4(found[0]), port);
  return encodeInet6(parseIpv6(found[0]), port, flowinfo, scopeId || (found[3] ?? 0));
}

function encodeUnixAddress(address: Address, syscall: string): Uint8Array {
  if (typeof address !== "string" && !(address instanceof Uint8Array)) {
    throw new TypeError(`Invalid address ${describeValue(address)} for ${syscall} of a unix socket: use a path, as a string or bytes`);
  }
  const bytes = typeof address === "string" ? Buffer.from(address) : address;
  const abstract = bytes[0] === 0;
  if (!abstract && bytes.includes(0)) {
    throw new RangeError(`Invalid path for ${syscall}: it has a NUL byte inside; only an abstract name has one, as its first byte`);
  }
  const limit = abstract ? UNIX_PATH_SIZE : UNIX_PATH_SIZE - 1;
  if (bytes.length > limit) {
    const what = abstract ? "an abstract name, with its NUL," : "a unix socket's path";
    const reason = `${what} has at most ${limit} bytes, this one ${bytes.length}`;
    throw systemError(ENAMETOOLONG, syscall, { path: address, reason });
  }
  return encodeUnix(bytes);
}

/**
 * The `struct sockaddr` for an address, for a socket of that family. A name is resolved synchronously, and blocks.
 *
 * @param syscall the call it is for, for the errors
 * @throws TypeError or RangeError for what is no address of the family
 * @throws SystemError EAFNOSUPPORT (a literal of the other family), ENAMETOOLONG, ENOTFOUND
 */
export function encodeAddress(family: number, address: Address, syscall: string): Uint8Array {
  if (family === AF_UNIX) return encodeUnixAddress(address, syscall);
  if (family === AF_INET || family === AF_INET6) return encodeInetAddress(family, address, syscall);
  throw systemError(EAFNOSUPPORT, syscall, { reason: `addresses of family ${family} are not known here` });
}

/** What an error says about the address in these bytes. */
export function addressDetails(sockaddr: Uint8Array): SystemErrorDetails {
  const address = decodeAddress(sockaddr, sockaddr.length);
  return Array.isArray(address) ? { address: address[0], port: address[1] } : { path: address };
}
