/** `bindSockets` and `bindUnixSocket`: listening sockets, as in Tornado's `netutil`. Depends on the platform's sockets, and on `process` for workers. */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_UNSPEC,
  AI_PASSIVE,
  encodeAddress,
  getaddrinfo,
  hasIpv6,
  type InetAddress,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  isSystemError,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_STREAM,
  Socket,
  SOL_SOCKET,
  errno,
  systemError,
} from "../platform/index.js";
import { checkFlag, checkOptions, checkWhole, listeningSockets, show } from "../process/index.js";

/** How many connections may wait to be accepted unless one says otherwise, and how many are accepted in one event. Tornado's value. */
export const DEFAULT_BACKLOG = 128;

/** What {@link bindSockets} takes besides port and address. */
export interface BindSocketsOptions {
  /** The address, if it is not given by itself. */
  address?: string | undefined;
  /** `AF_INET` or `AF_INET6` for that family alone; `AF_UNSPEC`, the default, for all that there are. */
  family?: number | undefined;
  /** How many connections may wait to be accepted; 128 without it. */
  backlog?: number | undefined;
  /** Bits of `AI_*` in place of `AI_PASSIVE`. */
  flags?: number | undefined;
  /** Lets several sockets listen on one port, each with a share of the connections; all of them must set it. */
  reusePort?: boolean | undefined;
}

const BIND_KEYS = ["address", "family", "backlog", "flags", "reusePort"];
const MAX_BACKLOG = 0x7fffffff;
/** How often a port is chosen anew when the number that one family got is taken in another (N39). */
const PORT_ATTEMPTS = 5;

/**
 * Listening sockets for a port, one for each address: IPv4 first, all on the same port also when it is 0, which lets the system choose. It is
 * synchronous; a name is looked up by blocking.
 *
 * In a worker of `forkProcesses` the call gives the sockets that the supervisor bound.
 *
 * Tornado: `bind_sockets`, `reuse_port` (4.4).
 *
 * @param address - a literal or a name; `undefined` or `""` for every interface
 * @throws TypeError, RangeError for wrong arguments
 * @throws SystemError EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOTFOUND and so on, with `address` and `port`; every socket made until then is closed
 */
export function bindSockets(port: number, address?: string, options?: BindSocketsOptions): Socket[];
export function bindSockets(port: number, options?: BindSocketsOptions): Socket[];
export function bindSockets(port: number, addressOrOptions?: string | BindSocketsOptions, options?: BindSocketsOptions): Socket[] {
  const second = typeof addressOrOptions === "object" ? addressOrOptions : undefined;
  if (second !== undefined && options !== undefined) throw new TypeError(`address is ${show(second)}: pass a string before the options`);
  const given = second ?? options ?? {};
  checkOptions("bindSockets()", BIND_KEYS, given);
  const first = second === undefined ? (addressOrOptions as string | undefined) : undefined;
  if (first !== undefined && given.address !== undefined) {
    throw new TypeError("bindSockets() was given an address and the option address: pass one of them");
  }
  const address = first ?? given.address;
  const { family = AF_UNSPEC, backlog = DEFAULT_BACKLOG, flags = AI_PASSIVE, reusePort = false } = given;
  checkWhole("port", port, 0, 65535);
  if (address !== undefined && typeof address !== "string") throw new TypeError(`address is ${show(address)}: pass a string`);
  checkWhole("family", family, 0, 0x7fffffff);
  checkWhole("backlog", backlog, 0, MAX_BACKLOG);
  checkWhole("flags", flags, 0, 0x7fffffff);
  checkFlag("reusePort", reusePort);
  if (reusePort && process.platform !== "linux") {
    throw new RangeError(`reusePort is true, which the platform ${process.platform} does not have: leave it out`);
  }
  const call = `bindSockets(${port}, ${JSON.stringify({ address, family, backlog, flags, reusePort })})`;
  return listeningSockets(call, () => new Binding(port, address, family, backlog, flags, reusePort).bind());
}

/** One call of `bindSockets`, its arguments checked. */
class Binding {
  readonly #port: number;
  readonly #address: string | undefined;
  readonly #family: number;
  readonly #backlog: number;
  readonly #flags: number;
  readonly #reusePort: boolean;

  constructor(port: number, address: string | undefined, family: number, backlog: number, flags: number, reusePort: boolean) {
    this.#port = port;
    this.#address = address === "" ? undefined : address;
    this.#family = family;
    this.#backlog = backlog;
    this.#flags = flags;
    this.#reusePort = reusePort;
  }

  bind(): Socket[] {
    const addresses = this.#addresses();
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#bindAll(addresses);
      } catch (error) {
        if (!(error instanceof PortTaken)) throw error;
        if (attempt === PORT_ATTEMPTS) throw error.cause;
      }
    }
  }

  /** What to bind: each address once, by family number, so IPv4 first. */
  #addresses(): [family: number, address: InetAddress][] {
    const family = this.#family === AF_UNSPEC && !hasIpv6 ? AF_INET : this.#family;
    const found = getaddrinfo(this.#address, this.#port, family, SOCK_STREAM, 0, this.#flags);
    const unique = new Map<string, [number, InetAddress]>();
    for (const [each, , , , address] of found) {
      const key = JSON.stringify(address);
      if (!unique.has(key)) unique.set(key, [each, address]);
    }
    return [...unique.values()].sort(([a], [b]) => a - b);
  }

  #bindAll(addresses: readonly [number, InetAddress][]): Socket[] {
    const sockets: Socket[] = [];
    let port = this.#port;
    try {
      for (const [family, address] of addresses) {
        const [host, , ...rest] = address;
        const wanted = [host, port, ...rest] as InetAddress;
        try {
          const socket = this.#bindOne(family, wanted);
          if (socket === undefined) continue;
          sockets.push(socket);
        } catch (error) {
          // A number of the system's choice; with one of the caller's there is nothing to choose again.
          if (this.#port === 0 && port !== 0 && isSystemError(error, "EADDRINUSE")) throw new PortTaken(error);
          throw error;
        }
        if (port === 0) port = (sockets[0]?.getsockname() as InetAddress)[1];
      }
      if (sockets.length === 0) {
        const reason = "no address of it can be bound here";
        throw systemError(errno("EADDRNOTAVAIL"), "bind", { address: this.#address ?? "", port: this.#port, reason });
      }
      return sockets;
    } catch (error) {
      for (const socket of sockets) socket.close();
      throw error;
    }
  }

  /** One listening socket; `undefined` for an address that this machine need not have. */
  #bindOne(family: number, address: InetAddress): Socket | undefined {
    let socket: Socket;
    try {
      socket = new Socket(family, SOCK_STREAM);
    } catch (error) {
      // A kernel without that family, though the name has an address in it.
      if (isSystemError(error, "EAFNOSUPPORT")) return undefined;
      throw error;
    }
    try {
      socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, true);
      if (this.#reusePort) socket.setsockopt(SOL_SOCKET, SO_REUSEPORT, true);
      // Else :: would take the port of 0.0.0.0 as well, which has a socket of its own.
      if (family === AF_INET6) socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, true);
      socket.bind(address);
      listen(socket, this.#backlog, address);
      return socket;
    } catch (error) {
      socket.close();
      // A hosts file often names ::1 for localhost also where IPv6 is switched off (in containers).
      if (this.#address === "localhost" && address[0] === "::1" && isSystemError(error, "EADDRNOTAVAIL")) return undefined;
      throw error;
    }
  }
}

/** The port that the first family got is taken in another. */
class PortTaken extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

/** listen(2), its errors with the address, as those of bind(2) have it. */
function listen(socket: Socket, backlog: number, [address, port]: InetAddress): void {
  try {
    socket.listen(backlog);
  } catch (error) {
    if (isSystemError(error)) throw systemError(error.errno, "listen", { address, port });
    throw error;
  }
}

/** What {@link bindUnixSocket} takes besides the path. */
export interface BindUnixSocketOptions {
  /** The permissions of the socket file; 0o600 without it. */
  mode?: number | undefined;
  /** How many connections may wait to be accepted; 128 without it. */
  backlog?: number | undefined;
}

/**
 * A listening unix socket. A socket that is at the path already, stale or in use, is replaced; any other file is not. Nobody can connect before
 * the file has its mode. `"\0name"` is a name in the abstract namespace, without a file. Closing the socket leaves the file, which the next
 * start replaces.
 *
 * In a worker of `forkProcesses` the call gives the socket that the supervisor bound.
 *
 * Tornado: `bind_unix_socket`.
 *
 * @throws TypeError, RangeError for wrong arguments, and for a path where something else than a socket is
 * @throws SystemError ENOENT, EACCES, ENAMETOOLONG and so on, with `path`
 */
export function bindUnixSocket(file: string, mode?: number, backlog?: number): Socket;
export function bindUnixSocket(file: string, options?: BindUnixSocketOptions): Socket;
export function bindUnixSocket(file: string, modeOrOptions?: number | BindUnixSocketOptions, third?: number): Socket {
  let mode: unknown = modeOrOptions;
  let backlog: unknown = third;
  if (typeof modeOrOptions === "object") {
    checkOptions("bindUnixSocket()", ["mode", "backlog"], modeOrOptions);
    ({ mode, backlog } = modeOrOptions);
  }
  mode ??= 0o600;
  backlog ??= DEFAULT_BACKLOG;
  if (typeof file !== "string") throw new TypeError(`file is ${show(file)}: pass a path as a string`);
  if (file === "") throw new RangeError('file is "": pass a path, or "\\0" and a name for the abstract namespace');
  checkWhole("mode", mode, 0, 0o7777);
  checkWhole("backlog", backlog, 0, MAX_BACKLOG);
  // A path that is too long must be refused before anything is removed.
  encodeAddress(AF_UNIX, file, "bind");
  const permissions = mode;
  const waiting = backlog;
  const call = `bindUnixSocket(${JSON.stringify(file)}, ${JSON.stringify({ mode, backlog })})`;
  const [socket] = listeningSockets(call, () => [bindPath(file, permissions, waiting)]);
  return socket as Socket;
}

function bindPath(file: string, mode: number, backlog: number): Socket {
  const abstract = file.startsWith("\0");
  if (!abstract) removeStale(file);
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  let bound = false;
  try {
    socket.bind(file);
    bound = !abstract;
    if (!abstract) chmodSync(file, mode);
    socket.listen(backlog);
    return socket;
  } catch (error) {
    socket.close();
    if (bound) unlinkSync(file);
    throw error;
  }
}

/** Makes room for a socket file, but at the expense of another socket only. */
function removeStale(file: string): void {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new RangeError(`file is ${show(file)}, where there is something that is not a socket: remove it, or choose another path`);
  }
  unlinkSync(file);
}
