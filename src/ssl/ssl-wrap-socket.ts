/**
 * `sslWrapSocket`: a socket becomes a TLS socket on the same descriptor. Depends on `SSLSocket` and on `SSLContext`.
 */
import { inspect } from "node:util";
import { EBADF, SOCK_STREAM, Socket, systemError } from "../platform/index.js";
import type { SSLContext } from "./ssl-context.js";
import { type SSLOptions, sslOptionsToContext } from "./ssl-options.js";
import { SSLSocket } from "./ssl-socket.js";

/** What {@link sslWrapSocket} takes beside the context. */
export interface WrapOptions {
  /** The name or IP address that a client asks for, and that the certificate is checked for where the context says so. */
  serverHostname?: string | undefined;
  /** Whether this end is the server. */
  serverSide?: boolean | undefined;
  /** Python's; only `false` is possible, for the handshake is the stream's. */
  doHandshakeOnConnect?: false | undefined;
  /** Bytes that have been received already: they come before those of the descriptor. */
  prefix?: Uint8Array | undefined;
}

/**
 * Makes a TLS socket of a stream socket, connected or to be connected. The descriptor moves: the old object is closed afterwards, unless this
 * throws, when it is as it was. The handshake is left to the stream.
 *
 * Tornado: `ssl_wrap_socket`.
 *
 * @param options - a context, which stays the caller's, or an object that describes one, which lives as long as the socket
 * @throws RangeError when names are checked and no `serverHostname` is given, for one on the server side, for a socket that is no stream's
 * @throws SystemError EBADF for a closed socket
 * @throws what {@link sslOptionsToContext} throws
 */
export function sslWrapSocket(sock: Socket, options: SSLContext | SSLOptions, extra: WrapOptions = {}): SSLSocket {
  if (!(sock instanceof Socket)) throw new TypeError(`The socket is ${show(sock)}: pass a Socket`);
  if (sock instanceof SSLSocket) throw new Error("The socket speaks TLS already: wrap it once");
  const { serverSide = false, serverHostname, doHandshakeOnConnect = false, prefix } = checkExtra(extra);
  if (doHandshakeOnConnect) throw new RangeError("doHandshakeOnConnect can only be false: a handshake takes time, so the stream does it");
  if (sock.closed) throw systemError(EBADF, "ssl_wrap_socket", { reason: "the socket is closed" });
  if (sock.type !== SOCK_STREAM) throw new RangeError("Only stream sockets can speak TLS: make the socket with SOCK_STREAM");
  const context = sslOptionsToContext(options, serverSide);
  const ownsContext = context !== options;
  try {
    checkServerHostname(context, serverSide, serverHostname);
    const wrapped = new SSLSocket(sock, { context, ownsContext, serverSide, serverHostname, prefix });
    sock.detach();
    return wrapped;
  } catch (error) {
    if (ownsContext) context.close();
    throw error;
  }
}

/**
 * `sslWrapSocket` for a client whose socket is not connected: the name comes with `connect`, and is checked then.
 *
 * @internal
 */
export function wrapUnconnected(sock: Socket, context: SSLContext): SSLSocket {
  if (sock.closed) throw systemError(EBADF, "ssl_wrap_socket", { reason: "the socket is closed" });
  const wrapped = new SSLSocket(sock, { context, ownsContext: false, serverSide: false, serverHostname: undefined, prefix: undefined });
  sock.detach();
  return wrapped;
}

/**
 * Checks that a name is there when names are checked, and that there is none where it means nothing.
 *
 * @throws TypeError, RangeError
 */
export function checkServerHostname(context: SSLContext, serverSide: boolean, serverHostname: string | undefined): void {
  if (serverHostname !== undefined) {
    if (typeof serverHostname !== "string") throw new TypeError(`serverHostname is ${show(serverHostname)}: use a string`);
    if (serverSide) throw new RangeError(`serverHostname is ${show(serverHostname)} on the server side: only a client asks for a name`);
    if (serverHostname === "") throw new RangeError('serverHostname is "": use a host name or an IP address, or leave it out');
    return;
  }
  if (!serverSide && context.checkHostname) {
    throw new RangeError(
      "The server's name is to be checked and no serverHostname is given: give one, or turn the check off (rejectUnauthorized: false, or checkHostname of a context)",
    );
  }
}

const EXTRA_KEYS: readonly string[] = ["serverHostname", "serverSide", "doHandshakeOnConnect", "prefix"] satisfies (keyof WrapOptions)[];

function checkExtra(extra: unknown): { [K in keyof WrapOptions]: WrapOptions[K] | (K extends "doHandshakeOnConnect" ? boolean : never) } {
  if (typeof extra !== "object" || extra === null) throw new TypeError(`The options of sslWrapSocket() are ${show(extra)}: pass an object`);
  const unknown = Object.keys(extra).find((key) => !EXTRA_KEYS.includes(key));
  if (unknown !== undefined) {
    throw new TypeError(`Unknown option ${show(unknown)} of sslWrapSocket(): the options are ${EXTRA_KEYS.join(", ")}`);
  }
  const { serverSide, prefix } = extra as WrapOptions;
  if (serverSide !== undefined && typeof serverSide !== "boolean")
    throw new TypeError(`serverSide is ${show(serverSide)}: use true or false`);
  if (prefix !== undefined && !(prefix instanceof Uint8Array)) throw new TypeError(`prefix is ${show(prefix)}: use a Uint8Array`);
  return extra;
}

function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}
