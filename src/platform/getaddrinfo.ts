/**
 * getaddrinfo(3), synchronous: the C library's own answer, with its order and its configuration (hosts file, DNS, nsswitch).
 *
 * It blocks the thread while it asks a name server; programs use a `Resolver`. Literals are answered without asking anybody.
 */
import { checkInt, checkPort, describeValue } from "./arguments.js";
import { AI_NUMERICSERV } from "./constants.js";
import { EINTR, namedSystemError, type SystemError, systemError } from "./errno.js";
import { type Address, decodeAddress, type InetAddress } from "./sockaddr.js";
import { sys } from "./system-calls.js";

/** One answer of `getaddrinfo`: what to give to `new Socket(...)`, the canonical name (`""` unless asked for), what to give to `connect`. */
export type AddrInfo = [family: number, type: number, proto: number, canonname: string, address: InetAddress];

/**
 * The failures of netdb.h as Node reports them: the name, and libuv's number for it (UV_EAI_* in uv/errno.h). "No such name" has three
 * numbers, and Node calls them all ENOTFOUND.
 */
const FAILURES: Readonly<Record<number, readonly [code: string, number: number]>> = {
  [-1]: ["EAI_BADFLAGS", -3002],
  [-2]: ["ENOTFOUND", -3008],
  [-3]: ["EAI_AGAIN", -3001],
  [-4]: ["EAI_FAIL", -3003],
  [-5]: ["ENOTFOUND", -3007],
  [-6]: ["EAI_FAMILY", -3004],
  [-7]: ["EAI_SOCKTYPE", -3011],
  [-8]: ["EAI_SERVICE", -3010],
  [-9]: ["ENOTFOUND", -3000],
  [-10]: ["EAI_MEMORY", -3006],
  [-12]: ["EAI_OVERFLOW", -3009],
};

/** EAI_SYSTEM: errno tells. */
const EAI_SYSTEM = -11;

function lookupError(result: number, host: string | undefined): SystemError {
  const [code, number] = FAILURES[result] ?? ["EAI_FAIL", -3003];
  return namedSystemError(code, number, "getaddrinfo", { hostname: host });
}

/** The error for a name that cannot be looked up at all. */
export function notFound(host: string): SystemError {
  return lookupError(-2, host);
}

/**
 * `struct addrinfo` on 64-bit Linux, glibc and musl alike: four ints (flags, family, socktype, protocol), the address's length as an int and
 * four bytes of padding, then three pointers: address, canonical name, next.
 */
const ADDRINFO_SIZE = 48;

function readList(list: bigint): AddrInfo[] {
  const found: AddrInfo[] = [];
  for (let next = list; next !== 0n;) {
    const bytes = sys.copyMemory(next, ADDRINFO_SIZE);
    const entry = new DataView(bytes.buffer, bytes.byteOffset, ADDRINFO_SIZE);
    const length = entry.getUint32(16, true);
    const name = entry.getBigUint64(32, true);
    const address: Address = decodeAddress(sys.copyMemory(entry.getBigUint64(24, true), length), length);
    next = entry.getBigUint64(40, true);
    // No other families come out of getaddrinfo; should a libc add one, it is not an address of ours.
    if (!Array.isArray(address)) continue;
    const canonical = name === 0n ? "" : sys.copyString(name);
    found.push([entry.getInt32(4, true), entry.getInt32(8, true), entry.getInt32(12, true), canonical, address]);
  }
  return found;
}

/**
 * The addresses of a host, in the C library's order. Python's `socket.getaddrinfo`. It blocks the thread as long as the name server takes.
 *
 * @param host a name or a literal; `undefined` is this machine: loopback, or the wildcards with `AI_PASSIVE`
 * @param port 0 to 65535; it comes back in each address
 * @param family `AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both
 * @param type a socket type, or 0 for one answer per type
 * @param proto a protocol, or 0 for any
 * @param flags bits of `AI_*`
 * @throws SystemError ENOTFOUND, EAI_AGAIN and so on, with `syscall: "getaddrinfo"` and `hostname`
 * @throws TypeError or RangeError for an argument of another type or out of range
 */
export function getaddrinfo(host: string | undefined, port: number, family = 0, type = 0, proto = 0, flags = 0): AddrInfo[] {
  if (host !== undefined && typeof host !== "string") throw new TypeError(`Invalid host ${describeValue(host)}: use a string or undefined`);
  checkPort(port);
  for (const [name, value] of Object.entries({ family, type, proto, flags })) checkInt(value, name);
  // A C string would end at the NUL, and "" would mean this machine to some C libraries.
  if (host !== undefined && (host === "" || host.includes("\0"))) throw notFound(host);
  const hints = new Uint8Array(ADDRINFO_SIZE);
  new Int32Array(hints.buffer).set([flags | AI_NUMERICSERV, family, type, proto]);
  const result = new BigUint64Array(1);
  for (;;) {
    const status = sys.getaddrinfo(host ?? null, String(port), hints, new Uint8Array(result.buffer));
    if (status === 0) break;
    if (status !== EAI_SYSTEM) throw lookupError(status, host);
    const errno = sys.errno();
    if (errno !== EINTR) throw systemError(errno, "getaddrinfo", { hostname: host });
  }
  const list = result[0] ?? 0n;
  try {
    return readList(list);
  } finally {
    sys.freeaddrinfo(list);
  }
}
