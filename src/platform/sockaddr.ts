/**
 * `struct sockaddr` as bytes: sockaddr_in, sockaddr_in6 (ip(7), ipv6(7)), sockaddr_un (unix(7)), to and from the addresses of the API.
 *
 * Pure: no system call, no lookup. The checks and the resolving of names stand in `addresses.ts`.
 */
import { isUtf8 } from "node:buffer";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.js";

/** An IP address and a port; with four fields for IPv6: host, port, flow information, scope id (the number of the zone). */
export type InetAddress = [host: string, port: number] | [host: string, port: number, flowinfo: number, scopeId: number];

/**
 * A socket's address. A string is the path of a unix socket, a leading "\0" an abstract name; bytes are one that is not UTF-8; `""` is
 * that of a socket without a name.
 */
export type Address = InetAddress | string | Uint8Array;

/** Room for the largest address of any family (`struct sockaddr_storage`). */
export const SOCKADDR_SIZE = 128;

/** Room for a path in `struct sockaddr_un`, its final NUL included. */
export const UNIX_PATH_SIZE = 108;

const littleEndian = true;

/** The four bytes of a dotted-quad literal that is known to be one. */
export function parseIpv4(host: string): number[] {
  return host.split(".").map(Number);
}

/** The sixteen bytes of an IPv6 literal that is known to be one, without a zone. */
export function parseIpv6(host: string): number[] {
  const groups = (text: string): number[] =>
    text === ""
      ? []
      : text.split(":").flatMap((group) => {
          if (group.includes(".")) return parseIpv4(group);
          const value = Number.parseInt(group, 16);
          return [value >> 8, value & 0xff];
        });
  const [head = "", tail] = host.split("::");
  const first = groups(head);
  if (tail === undefined) return first;
  const last = groups(tail);
  return [...first, ...new Array<number>(16 - first.length - last.length).fill(0), ...last];
}

/** The text of an IPv6 address in the canonical form of RFC 5952, as inet_ntop(3) writes it. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  // The longest run of two or more zero groups becomes "::", the first one where there are two as long.
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
    i = Math.max(i, end - 1);
  }
  const dotted = Array.from(bytes.subarray(12, 16)).join(".");
  if (start === 0 && length === 5 && groups[5] === 0xffff) return `::ffff:${dotted}`;
  if (start === 0 && length === 6) return `::${dotted}`;
  const text = groups.map((group) => group.toString(16));
  if (start < 0) return text.join(":");
  return `${text.slice(0, start).join(":")}::${text.slice(start + length).join(":")}`;
}

/** A `struct sockaddr_in`. */
export function encodeInet(ip: readonly number[], port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, littleEndian);
  view.setUint16(2, port);
  bytes.set(ip, 4);
  return bytes;
}

/** A `struct sockaddr_in6`. The scope id is in the machine's order, the rest in the network's. */
export function encodeInet6(ip: readonly number[], port: number, flowinfo: number, scopeId: number): Uint8Array {
  const bytes = new Uint8Array(28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, littleEndian);
  view.setUint16(2, port);
  view.setUint32(4, flowinfo);
  bytes.set(ip, 8);
  view.setUint32(24, scopeId, littleEndian);
  return bytes;
}

/**
 * A `struct sockaddr_un` cut to its length, which is part of an abstract name; a file's path ends with a NUL. No path at all asks
 * `bind` for a name of the kernel's choice (unix(7), "Autobind feature").
 */
export function encodeUnix(path: Uint8Array): Uint8Array {
  const terminated = path.length > 0 && path[0] !== 0;
  const bytes = new Uint8Array(2 + path.length + (terminated ? 1 : 0));
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, littleEndian);
  bytes.set(path, 2);
  return bytes;
}

function decodeUnix(bytes: Uint8Array): string | Uint8Array {
  let path = bytes.subarray(2);
  if (path[0] !== 0) {
    const end = path.indexOf(0);
    if (end >= 0) path = path.subarray(0, end);
  }
  const own = Buffer.from(path);
  return isUtf8(own) ? own.toString() : own;
}

/**
 * The address in the first `length` bytes that a system call has filled in. No bytes, or a family alone, is the unnamed address `""`; one
 * of a family that is not known here comes back as the bytes themselves.
 */
export function decodeAddress(bytes: Uint8Array, length: number): Address {
  if (length < 2) return "";
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(length, bytes.length));
  switch (view.getUint16(0, littleEndian)) {
    case AF_INET:
      return [`${view.getUint8(4)}.${view.getUint8(5)}.${view.getUint8(6)}.${view.getUint8(7)}`, view.getUint16(2)];
    case AF_INET6:
      return [formatIpv6(bytes.subarray(8, 24)), view.getUint16(2), view.getUint32(4), view.getUint32(24, littleEndian)];
    case AF_UNIX:
      return decodeUnix(bytes.subarray(0, length));
    default:
      return Buffer.from(bytes.subarray(0, length));
  }
}
