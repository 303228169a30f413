/**
 * The race of a connection between the families of a host's addresses: Tornado's `_Connector`, after RFC 6555.
 *
 * The first address is tried first. When it has not answered after 0.3 s, or has failed, the other family joins in. From then on each family has
 * one attempt under way, and a failure starts the next address of its own family.
 */
import { Future, TimeoutError } from "../concurrent/index.js";
import { type Deadline, deadlineToSeconds, IOLoop, type TimeoutHandle } from "../ioloop/index.js";
import { type IOStream, StreamClosedError } from "../iostream/index.js";
import type { InetAddress } from "../platform/index.js";
import { notFound, type ResolvedAddress } from "./resolver.js";

/** Seconds that the first address has for itself. */
const _INITIAL_CONNECT_TIMEOUT = 0.3;

/** What the connector needs of a stream. */
interface Closeable {
  close(): void;
}

/** Begins one attempt: the stream, if there is one, and a Future of it. */
export type ConnectFunction<S extends Closeable> = (af: number, address: InetAddress) => [stream: S | undefined, future: Future<S>];

/** Cancelling it ends the race. */
class RaceFuture<T> extends Future<T> {
  readonly #cancelled: () => void;

  constructor(loop: IOLoop, cancelled: () => void) {
    super();
    this._scheduler = loop;
    this.#cancelled = cancelled;
  }

  override _onCancel(): void {
    this.#cancelled();
  }
}

/** Tornado's `_Connector` (4.0). */
export class _Connector<S extends Closeable = IOStream> {
  readonly ioLoop: IOLoop = IOLoop.current();
  readonly connect: ConnectFunction<S>;
  /** The outcome: family, address and stream of the first that connected. */
  readonly future: Future<[af: number, address: InetAddress, stream: S]>;
  timeout: TimeoutHandle | undefined = undefined;
  connectTimeout: TimeoutHandle | undefined = undefined;
  lastError: unknown = undefined;
  /** How many addresses have neither connected nor failed. */
  remaining: number;
  readonly primaryAddrs: readonly ResolvedAddress[];
  readonly secondaryAddrs: readonly ResolvedAddress[];
  /** Attempts under way. */
  readonly streams = new Set<S>();

  constructor(addrinfo: readonly ResolvedAddress[], connect: ConnectFunction<S>) {
    this.connect = connect;
    this.remaining = addrinfo.length;
    [this.primaryAddrs, this.secondaryAddrs] = _Connector.split(addrinfo);
    this.future = new RaceFuture(this.ioLoop, () => {
      this.clearTimeouts();
      this.closeStreams();
    });
  }

  /** The entries of the first one's family, in order, and the others. */
  static split<A>(addrinfo: readonly (readonly [family: number, address: A])[]): [[number, A][], [number, A][]] {
    const lists: [[number, A][], [number, A][]] = [[], []];
    for (const [family, address] of addrinfo) lists[family === addrinfo[0]?.[0] ? 0 : 1].push([family, address]);
    return lists;
  }

  /**
   * Begins. With no address at all it fails with ENOTFOUND.
   *
   * @param timeout - seconds until the other family joins in
   * @param connectTimeout - when to give up
   */
  start(timeout: number = _INITIAL_CONNECT_TIMEOUT, connectTimeout?: Deadline): Future<[number, InetAddress, S]> {
    if (this.remaining === 0) {
      this.future.setException(notFound(""));
      return this.future;
    }
    // Before the first attempt, which may fail at once and then starts the other family in the timeout's place.
    this.setTimeout(timeout);
    if (connectTimeout !== undefined) this.setConnectTimeout(connectTimeout);
    this.tryConnect(this.primaryAddrs.values());
    return this.future;
  }

  /** Tries the next address of a list. At its end, and if that was the last attempt of all, the race has failed. */
  tryConnect(addrs: Iterator<ResolvedAddress>): void {
    const next = addrs.next();
    if (next.done === true) {
      if (this.remaining > 0 || this.future.done()) return;
      this.clearTimeouts();
      this.future.setException(this.lastError ?? new Error("Connection failed"));
      return;
    }
    const [af, address] = next.value;
    const [stream, future] = this.connect(af, address);
    if (stream !== undefined) this.streams.add(stream);
    const done = (): void => this.onConnectDone(addrs, af, address, future, stream);
    if (future.done()) done();
    else this.ioLoop.addFuture(future, done);
  }

  /** An attempt has ended. */
  onConnectDone(addrs: Iterator<ResolvedAddress>, af: number, address: InetAddress, future: Future<S>, attempt: S | undefined): void {
    this.remaining--;
    let stream: S;
    try {
      stream = future.result();
    } catch (error) {
      if (attempt !== undefined) this.streams.delete(attempt);
      if (this.future.done()) return;
      // A stream that could not connect says so by closing; what matters is why.
      this.lastError = error instanceof StreamClosedError && error.realError !== undefined ? error.realError : error;
      this.tryConnect(addrs);
      // The other family need not wait any longer.
      if (this.timeout !== undefined) {
        this.ioLoop.removeTimeout(this.timeout);
        this.onTimeout();
      }
      return;
    }
    this.clearTimeouts();
    if (this.future.done()) {
      stream.close();
      return;
    }
    this.streams.delete(stream);
    this.future.setResult([af, address, stream]);
    this.closeStreams();
  }

  setTimeout(timeout: number): void {
    this.timeout = this.ioLoop.callLater(timeout, () => this.onTimeout());
  }

  /** The first address has had its time: the other family joins in. */
  onTimeout(): void {
    this.timeout = undefined;
    if (!this.future.done()) this.tryConnect(this.secondaryAddrs.values());
  }

  clearTimeout(): void {
    if (this.timeout !== undefined) this.ioLoop.removeTimeout(this.timeout);
    this.timeout = undefined;
  }

  setConnectTimeout(connectTimeout: Deadline): void {
    const deadline = deadlineToSeconds(connectTimeout, () => this.ioLoop.time(), "connectTimeout");
    this.connectTimeout = this.ioLoop.callAt(deadline, () => this.onConnectTimeout());
  }

  /** Too late for all of them. */
  onConnectTimeout(): void {
    this.connectTimeout = undefined;
    if (!this.future.done()) this.future.setException(new TimeoutError("Connecting timed out"));
    this.clearTimeouts();
    this.closeStreams();
  }

  clearTimeouts(): void {
    this.clearTimeout();
    if (this.connectTimeout !== undefined) this.ioLoop.removeTimeout(this.connectTimeout);
    this.connectTimeout = undefined;
  }

  closeStreams(): void {
    for (const stream of this.streams) stream.close();
  }
}
