/** `createConnection` and `createUnixConnection`: a connected transport around a protocol. Depends on the transports and on `connect-socket.ts`. */
import { Future } from "../concurrent/index.js";
import { checkCallback, type IOLoop } from "../ioloop/index.js";
import {
  AF_UNIX,
  AF_UNSPEC,
  AI_PASSIVE,
  EBADF,
  encodeAddress,
  type InetAddress,
  SOCK_STREAM,
  Socket,
  systemError,
} from "../platform/index.js";
import type { ResolvedAddress } from "../net/index.js";
import { checkFlag, checkOptions, checkWhole, show } from "../process/index.js";
import type { SSLContext } from "../ssl/index.js";
import { checkServerHostname, createDefaultContext, type SSLOptions, sslOptionsToContext, SSLSocket, sslWrapSocket } from "../ssl/index.js";
import type { Both } from "./both.js";
import { connectUnix, interleaved, Race, resolve } from "./connect-socket.js";
import { ioLoopOf, type LoopArgument } from "./loop-argument.js";
import { Protocol } from "./protocol.js";
import { SocketTransport } from "./socket-transport.js";
import { checkTlsTimeouts, type TlsTimeouts } from "./start-tls.js";
import { Task } from "./task.js";
import { TlsTransport } from "./tls-transport.js";
import type { Transport } from "./transport.js";

/** Makes the protocol of a connection. */
export type ProtocolFactory<P extends Protocol = Protocol> = () => P;

/** What {@link createUnixConnection} takes besides the path. */
export interface UnixConnectionOptions extends TlsTimeouts {
  /** The loop that serves the connection; the current one without it. */
  loop?: LoopArgument | undefined;
  /** A connected stream socket in place of an address. It belongs to the connection once that is made. */
  sock?: Socket | undefined;
  /** TLS: `true` for the default client context. */
  ssl?: true | SSLContext | SSLOptions | undefined;
  /** The name to ask for and to check; the host without it. With `ssl: true`, `""` turns the check off. */
  serverHostname?: string | undefined;
}

/** What {@link createConnection} takes besides host and port. */
export interface ConnectionOptions extends UnixConnectionOptions {
  /** `AF_INET` or `AF_INET6` to use that family alone. */
  family?: number | undefined;
  /** The sockets' protocol number. */
  proto?: number | undefined;
  /** `AI_NUMERICHOST` forbids names. */
  flags?: number | undefined;
  /** The address to connect from. */
  localAddr?: InetAddress | undefined;
  /** Seconds after which the next address is tried beside the present one; without it one at a time. asyncio 3.8. */
  happyEyeballsDelay?: number | undefined;
  /** How many addresses of the first family come before the families take turns; 1 with `happyEyeballsDelay`, else 0 (the order as it is). */
  interleave?: number | undefined;
  /** All errors in an `AggregateError` when no address answers. asyncio 3.12. */
  allErrors?: boolean | undefined;
}

const UNIX_KEYS = ["loop", "sock", "ssl", "serverHostname", "sslHandshakeTimeout", "sslShutdownTimeout"];
const KEYS = [...UNIX_KEYS, "family", "proto", "flags", "localAddr", "happyEyeballsDelay", "interleave", "allErrors"];

/** TLS as one call wants it. */
interface TlsPlan {
  readonly context: SSLContext;
  /** The same, if it was made for this call. */
  readonly ownContext: SSLContext | undefined;
  readonly serverHostname: string | undefined;
  readonly handshakeTimeout: number;
  readonly shutdownTimeout: number;
}

/**
 * Connects to a host and gives the transport and the protocol, whose `connectionMade` has returned then (over TLS, after the handshake).
 *
 * All errors are rejections, those of wrong arguments too. Cancelling closes what is under way.
 *
 * asyncio: `loop.create_connection`.
 *
 * @param host - a name or a literal; this machine without it
 */
export function createConnection<P extends Protocol>(
  protocolFactory: ProtocolFactory<P>,
  host?: string,
  port?: number,
  options?: ConnectionOptions,
): Future<[Both<Transport>, P]>;
export function createConnection<P extends Protocol>(
  protocolFactory: ProtocolFactory<P>,
  options?: ConnectionOptions,
): Future<[Both<Transport>, P]>;
export function createConnection<P extends Protocol>(
  protocolFactory: ProtocolFactory<P>,
  hostOrOptions?: string | ConnectionOptions,
  port?: number,
  third?: ConnectionOptions,
): Future<[Both<Transport>, P]> {
  const [host, options] = typeof hostOrOptions === "object" ? [undefined, hostOrOptions] : [hostOrOptions, third ?? {}];
  return begin(options, async (task, loop) => {
    checkCallback(protocolFactory, "protocolFactory");
    checkOptions("createConnection()", KEYS, options);
    const { sock, family = AF_UNSPEC, proto = 0, flags = 0, localAddr, happyEyeballsDelay: delay, allErrors = false } = options;
    const { interleave = delay === undefined ? 0 : 1 } = options;
    checkHost(host, port, sock);
    for (const [name, value] of Object.entries({ family, proto, flags, interleave })) checkWhole(name, value, 0, 0x7fffffff);
    if (delay !== undefined) checkDelay(delay);
    if (localAddr !== undefined) checkLocal(localAddr);
    checkFlag("allErrors", allErrors);
    const tls = tlsPlan(options, host);
    return withOwn(tls, async () => {
      let socket = sock;
      if (socket === undefined) {
        const addresses = await resolve(task, host, port as number, family, flags);
        const local = localAddr === undefined ? undefined : await resolveLocal(task, localAddr);
        // A race that has begun is to be waited for: its socket is nobody's otherwise.
        task.check();
        socket = await task.wait(new Race({ loop, proto, local, delay, allErrors }, interleaved(addresses, interleave)).start());
      }
      return connected(task, loop, socket, sock === undefined, protocolFactory, tls);
    });
  });
}

/**
 * {@link createConnection} over a unix stream socket. While the listener's queue is full it tries again, until there is room or it is cancelled.
 *
 * asyncio: `loop.create_unix_connection`.
 *
 * @param path - of the socket; `"\0name"` for an abstract one
 */
export function createUnixConnection<P extends Protocol>(
  protocolFactory: ProtocolFactory<P>,
  path?: string,
  options?: UnixConnectionOptions,
): Future<[Both<Transport>, P]>;
export function createUnixConnection<P extends Protocol>(
  protocolFactory: ProtocolFactory<P>,
  options?: UnixConnectionOptions,
): Future<[Both<Transport>, P]>;
export function createUnixConnection<P extends Protocol>(
  protocolFactory: ProtocolFactory<P>,
  pathOrOptions?: string | UnixConnectionOptions,
  second?: UnixConnectionOptions,
): Future<[Both<Transport>, P]> {
  const [path, options] = typeof pathOrOptions === "object" ? [undefined, pathOrOptions] : [pathOrOptions, second ?? {}];
  return begin(options, async (task, loop) => {
    checkCallback(protocolFactory, "protocolFactory");
    checkOptions("createUnixConnection()", UNIX_KEYS, options);
    const { sock } = options;
    if (path !== undefined) {
      if (typeof path !== "string") throw new TypeError(`path is ${show(path)}: pass a string`);
      if (sock !== undefined) throw new RangeError("Both path and sock are given: a connection has one of them");
      encodeAddress(AF_UNIX, path, "connect");
    } else if (sock === undefined) {
      throw new RangeError("Neither path nor sock is given: a connection needs one of them");
    } else {
      checkSocket(sock);
      if (sock.family !== AF_UNIX) throw new RangeError(`sock is of family ${sock.family}: pass a unix socket, or use openConnection()`);
    }
    const tls = tlsPlan(options, undefined);
    return withOwn(tls, async () => {
      const socket = sock ?? (await task.wait(connectUnix(loop, path as string)));
      return connected(task, loop, socket, sock === undefined, protocolFactory, tls);
    });
  });
}

/** `""` is the wildcard: any address of this machine. */
function resolveLocal(task: Task<unknown>, [host, port]: InetAddress): Promise<ResolvedAddress[]> {
  return host === "" ? resolve(task, undefined, port, AF_UNSPEC, AI_PASSIVE) : resolve(task, host, port, AF_UNSPEC, 0);
}

/** Starts a call: whatever it throws is a rejection. */
function begin<T>(options: { loop?: LoopArgument | undefined }, body: (task: Task<T>, loop: IOLoop) => Promise<T>): Future<T> {
  let loop: IOLoop;
  try {
    loop = ioLoopOf((options as typeof options | null)?.loop);
  } catch (error) {
    const future = new Future<T>();
    future._settleFailed(error, false);
    return future;
  }
  return new Task<T>(loop).run((task) => body(task, loop));
}

/** From a connected socket to a connection that the protocol knows of. */
async function connected<P extends Protocol>(
  task: Task<unknown>,
  loop: IOLoop,
  socket: Socket,
  owned: boolean,
  protocolFactory: ProtocolFactory<P>,
  tls: TlsPlan | undefined,
): Promise<[Both<Transport>, P]> {
  let transport: SocketTransport;
  let protocol: P;
  const done = new Future<void>();
  try {
    task.check();
    protocol = makeProtocol(protocolFactory);
    if (tls === undefined) {
      transport = new SocketTransport(loop, socket, protocol);
      transport._start(done);
    } else {
      const { context, ownContext, serverHostname, handshakeTimeout, shutdownTimeout } = tls;
      const wrapped = sslWrapSocket(socket, context, { serverHostname });
      const made = new TlsTransport(loop, wrapped, protocol, { handshakeTimeout, shutdownTimeout, ownContext });
      transport = made;
      made._shakeHands(done, true);
    }
  } catch (error) {
    if (owned) socket.close();
    throw error;
  }
  task.onCancel(() => transport.abort());
  await task.wait(done);
  return [transport as Transport as Both<Transport>, protocol];
}

/** Calls a factory. @throws TypeError when it makes no protocol */
export function makeProtocol<P extends Protocol>(protocolFactory: ProtocolFactory<P>): P {
  const protocol: unknown = protocolFactory();
  if (!(protocol instanceof Protocol)) throw new TypeError(`protocolFactory() answered ${show(protocol)}: it must make a Protocol`);
  return protocol as P;
}

// ---- Checks ----

function checkHost(host: string | undefined, port: number | undefined, sock: Socket | undefined): void {
  if (sock !== undefined) {
    checkSocket(sock);
    if (host !== undefined || port !== undefined)
      throw new RangeError("host or port is given beside sock: a connection has one or the other");
    return;
  }
  if (host !== undefined && typeof host !== "string") throw new TypeError(`host is ${show(host)}: pass a string`);
  if (port === undefined) {
    throw new RangeError(
      host === undefined
        ? "Neither host and port nor sock is given: a connection needs one of them"
        : "port is missing: pass a port beside the host",
    );
  }
  checkWhole("port", port, 0, 65535);
}

/** @throws TypeError, RangeError for what is no stream socket; SystemError EBADF for a closed one */
export function checkSocket(sock: unknown): void {
  if (!(sock instanceof Socket)) throw new TypeError(`sock is ${show(sock)}: pass a Socket`);
  if (sock instanceof SSLSocket) throw new TypeError("sock speaks TLS already: pass the clear socket, and ssl beside it");
  if (sock.type !== SOCK_STREAM) throw new RangeError(`sock is of type ${sock.type}: pass a stream socket`);
  if (sock.closed) throw systemError(EBADF, "connect", { reason: "sock is closed" });
}

function checkDelay(delay: unknown): void {
  if (typeof delay !== "number" || Number.isNaN(delay))
    throw new TypeError(`happyEyeballsDelay is ${show(delay)}: pass a number of seconds`);
  if (delay < 0) throw new RangeError(`happyEyeballsDelay is ${delay}: pass a number of seconds from 0 on`);
}

function checkLocal(address: unknown): void {
  if (!Array.isArray(address) || typeof address[0] !== "string") throw new TypeError(`localAddr is ${show(address)}: pass [host, port]`);
  checkWhole("the port of localAddr", address[1], 0, 65535);
}

/** @throws TypeError, RangeError */
function tlsPlan(options: UnixConnectionOptions, host: string | undefined): TlsPlan | undefined {
  const { ssl, sslHandshakeTimeout, sslShutdownTimeout } = options;
  if (ssl === undefined) {
    for (const name of ["serverHostname", "sslHandshakeTimeout", "sslShutdownTimeout"] as const) {
      if (options[name] !== undefined) throw new RangeError(`${name} is given without ssl: it is for TLS only`);
    }
    return undefined;
  }
  const timeouts = checkTlsTimeouts({ sslHandshakeTimeout, sslShutdownTimeout });
  const name: unknown = options.serverHostname ?? host;
  if (name !== undefined && typeof name !== "string") throw new TypeError(`serverHostname is ${show(name)}: pass a string`);
  if (name === undefined)
    throw new RangeError("serverHostname is missing: TLS without a host needs one, the name that the certificate is for");
  const unchecked = name === "";
  let context: SSLContext;
  if (ssl === true) {
    context = createDefaultContext();
    if (unchecked) context.checkHostname = false;
  } else {
    context = sslOptionsToContext(ssl);
  }
  const ownContext = context === ssl ? undefined : context;
  const serverHostname = unchecked ? undefined : name;
  try {
    checkServerHostname(context, false, serverHostname);
  } catch (error) {
    ownContext?.close();
    throw error;
  }
  return { context, ownContext, serverHostname, ...timeouts };
}

/** Closes a context that was made for the call if the call fails before a transport has it. */
async function withOwn<T>(tls: TlsPlan | undefined, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    tls?.ownContext?.close();
    throw error;
  }
}
