/** `TCPClient` and its race between address families. Depends on the resolver, on `IOStream` and on the loop's timeouts. */
import { Future, TimeoutError } from "../concurrent/index.js";
import { type Duration, durationToSeconds, IOLoop, isDuration, type TimeoutHandle } from "../ioloop/index.js";
import { IOStream, type SSLIOStream } from "../iostream/index.js";
import { constructing } from "../names.js";
import { AF_INET6, AF_UNSPEC, type InetAddress, Socket } from "../platform/index.js";
import { checkOptions, checkWhole, show } from "../process/index.js";
import { type SSLContext, type SSLOptions, sslOptionsToContext } from "../ssl/index.js";
import { _Connector } from "./connector.js";
import { isResolver, notFound, type ResolvedAddress, Resolver } from "./resolver.js";

/** What {@link TCPClient.connect} takes besides host and port. */
export interface TCPConnectOptions {
  /** `AF_INET` or `AF_INET6` to use that family alone. */
  af?: number | undefined;
  /** For a TLS connection: a client's context, or what describes one; `{}` is the default, which verifies. */
  sslOptions?: SSLContext | SSLOptions | undefined;
  /** With `sslOptions`, the name that is asked for and checked, if not `host`. */
  serverHostname?: string | undefined;
  /** As for `new IOStream()`. */
  maxBufferSize?: number | undefined;
  /** The local address to connect from. */
  sourceIp?: string | undefined;
  /** The local port to connect from; without `sourceIp`, on the loopback address. */
  sourcePort?: number | undefined;
  /** Seconds from now, or a Duration, for lookup, connecting and TLS handshake together. */
  timeout?: number | Duration | undefined;
}

const CONNECT_KEYS = ["af", "sslOptions", "serverHostname", "maxBufferSize", "sourceIp", "sourcePort", "timeout"];

/** Options of one call, checked. */
interface Plan extends Omit<TCPConnectOptions, "timeout"> {
  readonly host: string;
  readonly port: number;
  readonly seconds: number | undefined;
  /** For TLS. */
  readonly context: SSLContext | undefined;
}

/**
 * Makes connections. Where a host has addresses of both families, the one that answers first is used ("happy eyeballs", RFC 6555).
 *
 * Tornado: `TCPClient` (4.0), source address from 4.5, timeout from 5.0.
 *
 * @example
 * const client = new TCPClient();
 * const stream = await client.connect("localhost", 8888);
 * await stream.write("hello\n");
 */
export class TCPClient {
  /** Who looks hosts up. */
  readonly resolver: Resolver;
  /** Whether the client made it itself. @internal */
  readonly _ownResolver: boolean;

  /**
   * @param resolver - `new Resolver()` without it
   * @throws TypeError for what is no resolver
   */
  constructor(resolver?: Resolver) {
    constructing(new.target);
    if (resolver !== undefined && !isResolver(resolver)) throw new TypeError(`resolver is ${show(resolver)}: pass a Resolver`);
    this._ownResolver = resolver === undefined;
    this.resolver = resolver ?? new Resolver();
  }

  /** Closes the resolver, if the client made it itself. Connections are left alone. */
  close(): void {
    if (this._ownResolver) this.resolver.close();
  }

  /**
   * Connects to a host and gives the stream. Cancelling the Future closes all that is under way.
   *
   * Failures are rejections, those of wrong arguments too: the last address's system error (ECONNREFUSED and so on) when all have failed,
   * ENOTFOUND, `TimeoutError` with everything closed, an `SSLError` for a certificate that is not accepted.
   *
   * @returns a Future of an `IOStream`; with `sslOptions` of an `SSLIOStream`, after its handshake
   */
  connect(host: string, port: number, options: TCPConnectOptions & { sslOptions: SSLContext | SSLOptions }): Future<SSLIOStream>;
  connect(host: string, port: number, options?: TCPConnectOptions): Future<IOStream>;
  connect(host: string, port: number, options: TCPConnectOptions = {}): Future<IOStream> {
    let plan: Plan;
    try {
      plan = readPlan(host, port, options);
    } catch (error) {
      const future = new Future<IOStream>();
      future.setException(error);
      return future;
    }
    return new Connection(this, plan).start();
  }

  /**
   * One attempt: a stream that is connecting, and its Future. No stream, and a failed Future, when there could not even be a socket, or it could
   * not be bound.
   *
   * @internal
   */
  _createStream(
    maxBufferSize: number | undefined,
    af: number,
    address: InetAddress,
    sourceIp: string | undefined,
    sourcePort: number | undefined,
  ): [IOStream | undefined, Future<IOStream>] {
    let socket: Socket | undefined;
    try {
      socket = new Socket(af);
      const loopback = af === AF_INET6 ? "::1" : "127.0.0.1";
      if (sourceIp !== undefined || sourcePort) socket.bind([sourceIp ?? loopback, sourcePort ?? 0]);
      const stream = new IOStream(socket, { maxBufferSize });
      return [stream, stream.connect(address)];
    } catch (error) {
      socket?.close();
      const future = new Future<IOStream>();
      future._fail(error);
      return [undefined, future];
    }
  }
}

function readPlan(host: string, port: number, options: TCPConnectOptions): Plan {
  checkOptions("TCPClient.connect()", CONNECT_KEYS, options);
  const { af = AF_UNSPEC, sslOptions, serverHostname, maxBufferSize, sourceIp, sourcePort, timeout } = options;
  if (typeof host !== "string") throw new TypeError(`host is ${show(host)}: pass a string`);
  checkWhole("port", port, 0, 65535);
  checkWhole("af", af, 0, 0x7fffffff);
  if (maxBufferSize !== undefined) checkWhole("maxBufferSize", maxBufferSize, 0, Number.MAX_SAFE_INTEGER);
  if (sourceIp !== undefined && typeof sourceIp !== "string") throw new TypeError(`sourceIp is ${show(sourceIp)}: pass a string`);
  if (sourcePort !== undefined) checkWhole("sourcePort", sourcePort, 0, 65535);
  if (serverHostname !== undefined && typeof serverHostname !== "string") {
    throw new TypeError(`serverHostname is ${show(serverHostname)}: pass a string`);
  }
  if (serverHostname !== undefined && sslOptions === undefined) {
    throw new RangeError(`serverHostname is ${show(serverHostname)} without sslOptions: pass { sslOptions: {} } for TLS`);
  }
  const seconds = timeoutSeconds(timeout);
  // Last, for it makes something: a file that is missing is told of before anything is connected.
  const context = sslOptions === undefined ? undefined : sslOptionsToContext(sslOptions);
  return { host, port, af, sslOptions, serverHostname, maxBufferSize, sourceIp, sourcePort, seconds, context };
}

function timeoutSeconds(timeout: unknown): number | undefined {
  if (timeout === undefined) return undefined;
  if (typeof timeout === "number" && !Number.isNaN(timeout)) return timeout;
  if (isDuration(timeout)) return durationToSeconds(timeout, "timeout");
  throw new TypeError(`timeout is ${show(timeout)}: pass a number of seconds, or a Duration such as { seconds: 5 }`);
}

/** What a user holds: cancelling it ends the connection's making. */
class ConnectionFuture extends Future<IOStream> {
  readonly #connection: Connection;

  constructor(connection: Connection, loop: IOLoop) {
    super();
    this._scheduler = loop;
    this.#connection = connection;
  }

  override _onCancel(): void {
    this.#connection.abandon();
  }
}

/** One call of `TCPClient.connect`, from the lookup to the stream. */
class Connection {
  readonly #loop = IOLoop.current();
  readonly #future = new ConnectionFuture(this, this.#loop);
  readonly #client: TCPClient;
  readonly #plan: Plan;
  #timeout: TimeoutHandle | undefined;
  #connector: _Connector | undefined;
  #handshake: Future<SSLIOStream> | undefined;

  constructor(client: TCPClient, plan: Plan) {
    this.#client = client;
    this.#plan = plan;
  }

  start(): Future<IOStream> {
    const { seconds, host, port, af } = this.#plan;
    if (seconds !== undefined && seconds <= 0) {
      this.#fail(new TimeoutError(`Connecting to ${host}:${port} timed out`));
      return this.#future;
    }
    if (seconds !== undefined) {
      this.#timeout = this.#loop.callLater(seconds, () => {
        this.#fail(new TimeoutError(`Connecting to ${host}:${port} timed out after ${seconds} s`));
      });
    }
    let resolved: PromiseLike<ResolvedAddress[]>;
    try {
      resolved = this.#client.resolver.resolve(host, port, af ?? AF_UNSPEC);
    } catch (error) {
      // A resolver of somebody's own.
      this.#fail(error);
      return this.#future;
    }
    Promise.resolve(resolved).then(
      (addresses) => {
        if (!this.#future.done()) this.#race(addresses);
      },
      (error: unknown) => {
        this.#fail(error);
      },
    );
    return this.#future;
  }

  /** Nobody waits any more: closes what is under way. */
  abandon(): void {
    if (this.#timeout !== undefined) this.#loop.removeTimeout(this.#timeout);
    this.#connector?.future.cancel();
    this.#handshake?.cancel();
    this.#closeContext();
  }

  /** A context of our own making; streams hold on to what they need of it. */
  #closeContext(): void {
    const { context, sslOptions } = this.#plan;
    if (context !== sslOptions) context?.close();
  }

  #race(addresses: ResolvedAddress[]): void {
    const { host, maxBufferSize, sourceIp, sourcePort } = this.#plan;
    try {
      if (addresses.length === 0) throw notFound(host);
      this.#connector = new _Connector(addresses, (af, address) =>
        this.#client._createStream(maxBufferSize, af, address, sourceIp, sourcePort),
      );
      // A Future of our own: its callbacks come with the loop, and a failure that has been passed on is not one that nobody reads.
      this.#loop.addFuture(this.#connector.start(), (raced) => {
        if (raced.cancelled()) return;
        const error = raced.exception();
        if (error !== undefined) this.#fail(error);
        else this.#connected(raced.result()[2]);
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  #connected(stream: IOStream): void {
    const { context, host, serverHostname } = this.#plan;
    // Given up in the moment between the two.
    if (this.#future.done()) {
      stream.close();
      return;
    }
    if (context === undefined) {
      this.#succeed(stream);
      return;
    }
    try {
      const handshake = stream.startTls(false, { sslOptions: context, serverHostname: serverHostname ?? host });
      this.#handshake = handshake;
      this.#loop.addFuture(handshake, () => {
        if (handshake.cancelled()) return;
        const error = handshake.exception();
        if (error !== undefined) this.#fail(error);
        else if (this.#future.done()) handshake.result().close();
        else this.#succeed(handshake.result());
      });
    } catch (error) {
      stream.close();
      this.#fail(error);
    }
  }

  #succeed(stream: IOStream): void {
    if (this.#timeout !== undefined) this.#loop.removeTimeout(this.#timeout);
    this.#closeContext();
    this.#future.setResult(stream);
  }

  #fail(error: unknown): void {
    if (this.#future.done()) return;
    this.#future.setException(error);
    this.abandon();
  }
}
