/** TLS on a transport that is in use. Depends on the transports and on `ssl`. */
import { Future } from "../concurrent/index.js";
import { type Address, errno, systemError } from "../platform/index.js";
import { show } from "../process/index.js";
import { checkServerHostname, type SSLContext, type SSLOptions, sslOptionsToContext, sslWrapSocket } from "../ssl/index.js";
import type { Protocol } from "./protocol.js";
import { SocketTransport } from "./socket-transport.js";
import type { Task } from "./task.js";
import { HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, TlsTransport } from "./tls-transport.js";
import type { Transport } from "./transport.js";

/** The time-outs as users give them, in seconds. */
export interface TlsTimeouts {
  sslHandshakeTimeout?: number | undefined;
  sslShutdownTimeout?: number | undefined;
}

/** What {@link upgrade} takes. */
export interface UpgradePlan {
  readonly serverSide: boolean;
  readonly serverHostname: string | undefined;
  readonly handshakeTimeout: number;
  readonly shutdownTimeout: number;
  /** What has been received and not read. */
  readonly prefix?: () => Buffer | undefined;
  /** Called with the new transport before the handshake begins. */
  readonly begun?: (transport: TlsTransport) => void;
}

/**
 * The time-outs with their defaults.
 *
 * @throws TypeError, RangeError
 */
export function checkTlsTimeouts(options: TlsTimeouts): { handshakeTimeout: number; shutdownTimeout: number } {
  const { sslHandshakeTimeout: handshakeTimeout = HANDSHAKE_TIMEOUT, sslShutdownTimeout: shutdownTimeout = SHUTDOWN_TIMEOUT } = options;
  for (const [name, value] of Object.entries({ sslHandshakeTimeout: handshakeTimeout, sslShutdownTimeout: shutdownTimeout })) {
    if (typeof value !== "number" || Number.isNaN(value)) throw new TypeError(`${name} is ${show(value)}: pass a number of seconds`);
    if (value <= 0) throw new RangeError(`${name} is ${value}: pass a positive number of seconds`);
  }
  return { handshakeTimeout, shutdownTimeout };
}

/** Puts TLS on the connection of `transport` and gives the transport that speaks it, when the handshake is done. */
export async function upgrade(
  task: Task<unknown>,
  transport: Transport,
  protocol: Protocol,
  options: SSLContext | SSLOptions,
  plan: UpgradePlan,
): Promise<TlsTransport> {
  const { serverSide, serverHostname } = plan;
  if (transport instanceof TlsTransport) throw new Error("The connection speaks TLS already: startTls() is for a clear one");
  if (!(transport instanceof SocketTransport)) {
    throw new TypeError(`transport is ${show(transport)}: TLS needs a transport that was made by connecting or serving`);
  }
  const context = sslOptionsToContext(options, serverSide);
  const ownContext = context === options ? undefined : context;
  let begun: TlsTransport;
  try {
    checkServerHostname(context, serverSide, serverHostname);
    if (transport.isClosing()) throw new Error("The connection is closed, or closing: TLS needs an open one");
    begun = await takeOver(task, transport, protocol, context, ownContext, plan);
  } catch (error) {
    ownContext?.close();
    throw error;
  }
  const handshake = new Future<void>();
  const forget = task.onCancel(() => begun.abort());
  plan.begun?.(begun);
  begun._shakeHands(handshake, false);
  await task.wait(handshake);
  forget();
  return begun;
}

/** Waits until everything in clear is out, then moves the socket. Until it has moved, a failure leaves the connection as it was. */
async function takeOver(
  task: Task<unknown>,
  from: SocketTransport,
  protocol: Protocol,
  context: SSLContext,
  ownContext: SSLContext | undefined,
  plan: UpgradePlan,
): Promise<TlsTransport> {
  const { serverSide, serverHostname, handshakeTimeout, shutdownTimeout } = plan;
  const wasReading = from.isReading();
  from.pauseReading();
  try {
    while (from.getWriteBufferSize() > 0 && !from.isClosing()) {
      const flushed = new Future<void>();
      from._whenFlushed(flushed);
      await task.wait(flushed);
    }
    task.check();
    if (from.isClosing()) throw systemError(errno("ECONNRESET"), "start_tls", { reason: "Connection lost" });
    const sock = sslWrapSocket(from._sock, context, { serverSide, serverHostname, prefix: plan.prefix?.() });
    const peer = from.getExtraInfo("peername") as Address | undefined;
    const tls = new TlsTransport(from._loop, sock, protocol, { handshakeTimeout, shutdownTimeout, ownContext }, from._owner, peer);
    from._handOver();
    tls._inherit(from.getWriteBufferLimits());
    return tls;
  } catch (error) {
    if (wasReading) from.resumeReading();
    throw error;
  }
}
