/** `createServer` and `createUnixServer`: listening sockets that give each connection a protocol. Depends on `bindSockets` and on `Server`. */
import { lstatSync, statSync, unlinkSync } from "node:fs";
import { Future } from "../concurrent/index.js";
import { checkCallback, type IOLoop } from "../ioloop/index.js";
import { bindSockets } from "../net/index.js";
import {
  AF_UNIX,
  AF_UNSPEC,
  AI_PASSIVE,
  encodeAddress,
  errno,
  type InetAddress,
  isSystemError,
  SOCK_STREAM,
  Socket,
  systemError,
} from "../platform/index.js";
import { checkFlag, checkOptions, checkWhole, show } from "../process/index.js";
import { type SSLContext, type SSLOptions, sslOptionsToContext } from "../ssl/index.js";
import type { Both } from "./both.js";
import { checkSocket, makeProtocol, type ProtocolFactory } from "./create-connection.js";
import { ioLoopOf, type LoopArgument } from "./loop-argument.js";
import { Server, type ServerPlan } from "./server.js";
import { checkTlsTimeouts, type TlsTimeouts } from "./start-tls.js";

/** What every kind of server takes. */
export interface CommonServerOptions extends TlsTimeouts {
  /** The loop that serves; the current one without it. */
  loop?: LoopArgument | undefined;
  /** A bound stream socket in place of an address. It belongs to the server once that is made. */
  sock?: Socket | undefined;
  /** TLS. */
  ssl?: SSLContext | SSLOptions | undefined;
  /** How many connections may wait to be accepted; 100 without it. */
  backlog?: number | undefined;
  /** `false` leaves it to `startServing` or `serveForever`. asyncio 3.7. */
  startServing?: boolean | undefined;
}

/** What {@link createServer} takes besides host and port. */
export interface CreateServerOptions extends CommonServerOptions {
  /** `AF_INET` or `AF_INET6` for that family alone. */
  family?: number | undefined;
  /** Bits of `AI_*` in place of `AI_PASSIVE`. */
  flags?: number | undefined;
  /** Only `true` is possible. */
  reuseAddress?: boolean | undefined;
  /** Lets several servers listen on one port; all must set it. */
  reusePort?: boolean | undefined;
}

/** What {@link createUnixServer} takes besides the path. */
export interface CreateUnixServerOptions extends CommonServerOptions {
  /** Whether `close()` removes the socket file, if it is still the same; `true` without it. asyncio 3.13. */
  cleanupSocket?: boolean | undefined;
}

const COMMON_KEYS = ["loop", "sock", "ssl", "backlog", "startServing", "sslHandshakeTimeout", "sslShutdownTimeout"];
const KEYS = [...COMMON_KEYS, "family", "flags", "reuseAddress", "reusePort"];
const UNIX_KEYS = [...COMMON_KEYS, "cleanupSocket"];
/** How often a port is chosen anew when the number that one host got is taken on another (N39). */
const PORT_ATTEMPTS = 5;

type Bound = Pick<ServerPlan, "sockets" | "file">;

/**
 * Listens, and gives each connection a protocol of its own. When the Future is done a client can connect.
 *
 * All errors are rejections, those of wrong arguments too; every socket made until then is closed.
 *
 * asyncio: `loop.create_server`.
 *
 * @param host - a name or a literal, or several; every interface without it
 * @param port - 0, or none, for one of the system's choice, the same on every socket
 */
export function createServer(
  protocolFactory: ProtocolFactory,
  host?: string | readonly string[],
  port?: number,
  options?: CreateServerOptions,
): Future<Both<Server>>;
export function createServer(protocolFactory: ProtocolFactory, options?: CreateServerOptions): Future<Both<Server>>;
export function createServer(
  protocolFactory: ProtocolFactory,
  hostOrOptions?: string | readonly string[] | CreateServerOptions,
  port?: number,
  third?: CreateServerOptions,
): Future<Both<Server>> {
  const second = typeof hostOrOptions === "object" && !Array.isArray(hostOrOptions) ? (hostOrOptions as CreateServerOptions) : undefined;
  const host = second === undefined ? (hostOrOptions as string | readonly string[] | undefined) : undefined;
  const options = second ?? third ?? {};
  return serve(protocolFactory, "createServer()", KEYS, options, (backlog) => {
    const { sock, reuseAddress = true } = options;
    checkFlag("reuseAddress", reuseAddress);
    checkFlag("reusePort", options.reusePort);
    if (sock !== undefined) {
      checkSocket(sock);
      if (host !== undefined || port !== undefined)
        throw new RangeError("host or port is given beside sock: a server has one or the other");
      return { sockets: [sock], file: undefined };
    }
    if (host === undefined && port === undefined)
      throw new RangeError("Neither host and port nor sock is given: a server needs one of them");
    if (!reuseAddress)
      throw new RangeError("reuseAddress is false, which bindSockets() does not offer: leave it out, or bind a socket and pass it as sock");
    return { sockets: bindAll(hostList(host), port ?? 0, backlog, options), file: undefined };
  });
}

/**
 * {@link createServer} on a unix path. A socket file that is there already is replaced; the new one has the mode that the process's umask gives.
 *
 * asyncio: `loop.create_unix_server`.
 */
export function createUnixServer(protocolFactory: ProtocolFactory, path?: string, options?: CreateUnixServerOptions): Future<Both<Server>>;
export function createUnixServer(protocolFactory: ProtocolFactory, options?: CreateUnixServerOptions): Future<Both<Server>>;
export function createUnixServer(
  protocolFactory: ProtocolFactory,
  pathOrOptions?: string | CreateUnixServerOptions,
  second?: CreateUnixServerOptions,
): Future<Both<Server>> {
  const [path, options] = typeof pathOrOptions === "object" ? [undefined, pathOrOptions] : [pathOrOptions, second ?? {}];
  return serve(protocolFactory, "createUnixServer()", UNIX_KEYS, options, () => {
    const { sock, cleanupSocket = true } = options;
    checkFlag("cleanupSocket", cleanupSocket);
    if (path === undefined) {
      if (sock === undefined) throw new RangeError("Neither path nor sock is given: a server needs one of them");
      checkSocket(sock);
      if (sock.family !== AF_UNIX) throw new RangeError(`sock is of family ${sock.family}: pass a unix socket, or use startServer()`);
      const name = sock.getsockname();
      return { sockets: [sock], file: cleanupSocket && typeof name === "string" ? fileOf(name) : undefined };
    }
    if (typeof path !== "string") throw new TypeError(`path is ${show(path)}: pass a string`);
    if (sock !== undefined) throw new RangeError("Both path and sock are given: a server has one of them");
    const socket = bindPath(path);
    return { sockets: [socket], file: cleanupSocket ? fileOf(path) : undefined };
  });
}

/** What both have in common: checks, binding, serving; whatever fails is a rejection. */
function serve(
  protocolFactory: ProtocolFactory,
  where: string,
  keys: readonly string[],
  options: CommonServerOptions,
  bind: (backlog: number) => Bound,
): Future<Both<Server>> {
  const future = new Future<Both<Server>>();
  let ownContext: SSLContext | undefined;
  let bound: Bound | undefined;
  try {
    checkOptions(where, keys, options);
    const loop: IOLoop = ioLoopOf(options.loop);
    future._scheduler = loop;
    checkCallback(protocolFactory, "protocolFactory");
    const { ssl, backlog = 100, startServing = true } = options;
    checkWhole("backlog", backlog, 0, 0x7fffffff);
    checkFlag("startServing", startServing);
    const timeouts = checkTlsTimeouts(options);
    if (ssl === undefined) {
      for (const name of ["sslHandshakeTimeout", "sslShutdownTimeout"] as const) {
        if (options[name] !== undefined) throw new RangeError(`${name} is given without ssl: it is for TLS only`);
      }
    }
    const context = ssl === undefined ? undefined : serverContext(ssl);
    ownContext = context === ssl ? undefined : context;
    bound = bind(backlog);
    const tls = context === undefined ? undefined : { context, ...timeouts };
    const plan = {
      ...bound,
      loop,
      loopArgument: options.loop ?? loop,
      backlog,
      tls,
      ownContext,
      makeProtocol: () => makeProtocol(protocolFactory),
    };
    const server = new Server(plan);
    if (startServing) server._serve();
    future.setResult(server as Both<Server>);
  } catch (error) {
    // A socket that was given stays the caller's.
    for (const socket of bound?.sockets ?? []) if (socket !== options.sock) socket.close();
    ownContext?.close();
    future._settleFailed(error, false);
  }
  return future;
}

function serverContext(ssl: unknown): SSLContext {
  if (ssl === true)
    throw new TypeError("ssl is true, which is for clients: a server needs a certificate, so pass an SSLContext or SSLOptions");
  return sslOptionsToContext(ssl as SSLOptions, true);
}

// ---- Binding ----

function hostList(host: unknown): (string | undefined)[] {
  if (host === undefined || host === "") return [undefined];
  if (typeof host === "string") return [host];
  if (!Array.isArray(host) || host.some((each) => typeof each !== "string"))
    throw new TypeError(`host is ${show(host)}: pass a string or a list of strings`);
  if (host.length === 0) throw new RangeError("host is an empty list: pass at least one address");
  return host as string[];
}

/** Binds each address once; with port 0 all of them get the number that the first got. */
function bindAll(hosts: readonly (string | undefined)[], port: number, backlog: number, options: CreateServerOptions): Socket[] {
  const { family = AF_UNSPEC, flags = AI_PASSIVE, reusePort = false } = options;
  for (let attempt = 1; ; attempt++) {
    const sockets: Socket[] = [];
    let number = port;
    try {
      for (const host of new Set(hosts)) {
        const bound = bindSockets(number, { address: host, family, backlog, flags, reusePort });
        sockets.push(...withoutDuplicates(bound, sockets));
        if (number === 0) number = (sockets[0]?.getsockname() as InetAddress)[1];
      }
      return sockets;
    } catch (error) {
      for (const socket of sockets) socket.close();
      if (port !== 0 || number === 0 || attempt === PORT_ATTEMPTS || !isSystemError(error, "EADDRINUSE")) throw error;
    }
  }
}

/** Two names of a list may have an address in common. */
function withoutDuplicates(bound: Socket[], before: readonly Socket[]): Socket[] {
  const names = new Set(before.map((socket) => String(socket.getsockname())));
  return bound.filter((socket) => {
    if (!names.has(String(socket.getsockname()))) return true;
    socket.close();
    return false;
  });
}

/** A bound unix socket. Only a socket's file makes room. */
function bindPath(path: string): Socket {
  encodeAddress(AF_UNIX, path, "bind");
  const abstract = path.startsWith("\0");
  if (!abstract) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isSocket() === true) unlinkSync(path);
  }
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  try {
    socket.bind(path);
    return socket;
  } catch (error) {
    socket.close();
    if (isSystemError(error, "EADDRINUSE"))
      throw systemError(errno("EADDRINUSE"), "bind", { path, reason: `Address ${show(path)} is already in use` });
    throw error;
  }
}

function fileOf(path: string): ServerPlan["file"] {
  if (path === "" || path.startsWith("\0")) return undefined;
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : { path, inode: found.ino, device: found.dev };
}
