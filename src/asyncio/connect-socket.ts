/** From addresses to a connected socket: one after the other, or in a race. Depends on the loop and the platform's sockets. */
import { Future } from "../concurrent/index.js";
import { IOLoop, type TimeoutHandle } from "../ioloop/index.js";
import {
  type Address,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AI_NUMERICHOST,
  errno,
  getaddrinfo,
  type InetAddress,
  isSystemError,
  SO_ERROR,
  SOCK_STREAM,
  Socket,
  SOL_SOCKET,
  systemError,
} from "../platform/index.js";
import { isValidIp, type ResolvedAddress, Resolver } from "../net/index.js";
import type { Task } from "./task.js";

/** How often a unix listener whose queue is full is tried again, in seconds: the kernel tells of no room (A60). */
const RETRY_DELAY = 0.2;

/** How the addresses of a host are tried. */
export interface RacePlan {
  readonly loop: IOLoop;
  readonly proto: number;
  /** Local addresses, one for each family that has one; `undefined` for any. */
  readonly local: readonly ResolvedAddress[] | undefined;
  /** Seconds until the next attempt begins beside those under way; `undefined` for one at a time. */
  readonly delay: number | undefined;
  readonly allErrors: boolean;
}

/** The addresses of a host: this machine's loopback without one. */
export async function resolve(
  task: Task<unknown>,
  host: string | undefined,
  port: number,
  family: number,
  flags: number,
): Promise<ResolvedAddress[]> {
  if (host === undefined || (flags & AI_NUMERICHOST) !== 0 || isValidIp(host)) {
    // Nobody has to be asked.
    return getaddrinfo(host, port, family, SOCK_STREAM, 0, flags).map(([each, , , , address]) => [each, address]);
  }
  const found = new Resolver().resolve(host, port, family);
  return await task.wait(found);
}

/** The addresses, with those of the families taking turns after the first `count` of the first family (RFC 8305, section 4). */
export function interleaved(addresses: readonly ResolvedAddress[], count: number): ResolvedAddress[] {
  if (count <= 0) return [...addresses];
  const byFamily = new Map<number, ResolvedAddress[]>();
  for (const each of addresses) {
    const list = byFamily.get(each[0]);
    if (list === undefined) byFamily.set(each[0], [each]);
    else list.push(each);
  }
  const lists = [...byFamily.values()];
  const ordered = lists[0]?.splice(0, count - 1) ?? [];
  for (let at = 0; ordered.length < addresses.length; at++) {
    for (const list of lists) {
      const next = list[at];
      if (next !== undefined) ordered.push(next);
    }
  }
  return ordered;
}

/** One attempt; cancelling it closes its socket. */
class Attempt extends Future<Socket> {
  readonly #loop: IOLoop;
  readonly #socket: Socket;
  #watching = false;
  #retry: TimeoutHandle | undefined = undefined;

  constructor(loop: IOLoop, socket: Socket) {
    super();
    this._scheduler = loop;
    this.#loop = loop;
    this.#socket = socket;
  }

  connect(address: Address): this {
    this.#retry = undefined;
    try {
      if (this.#socket.connect(address)) this.setResult(this.#socket);
      else this.#watch(address);
    } catch (error) {
      if (this.#socket.family === AF_UNIX && isSystemError(error, "EAGAIN")) {
        this.#retry = this.#loop.callLater(RETRY_DELAY, () => this.connect(address));
      } else {
        this.#fail(error);
      }
    }
    return this;
  }

  #watch(address: Address): void {
    this.#loop._addBareHandler(this.#socket, () => this.#ready(address), IOLoop.WRITE);
    this.#watching = true;
  }

  #ready(address: Address): void {
    this.#unwatch();
    const number = this.#socket.getsockopt(SOL_SOCKET, SO_ERROR);
    if (number === 0) this.setResult(this.#socket);
    else this.#fail(systemError(number, "connect", detailsOf(address)));
  }

  #unwatch(): void {
    if (this.#watching) this.#loop.removeHandler(this.#socket);
    this.#watching = false;
  }

  #fail(error: unknown): void {
    this.#socket.close();
    this._fail(error);
  }

  override _onCancel(): void {
    this.#unwatch();
    if (this.#retry !== undefined) this.#loop.removeTimeout(this.#retry);
    this.#socket.close();
  }
}

/** Connects to a unix path. */
export function connectUnix(loop: IOLoop, path: string): Future<Socket> {
  return new Attempt(loop, new Socket(AF_UNIX)).connect(path);
}

/** A race between addresses: its result is the first socket that is connected, and every other one is closed. */
export class Race extends Future<Socket> {
  readonly #plan: RacePlan;
  readonly #addresses: readonly ResolvedAddress[];
  #next = 0;
  readonly #attempts = new Set<Attempt>();
  readonly #errors: Error[] = [];
  #timer: TimeoutHandle | undefined = undefined;

  constructor(plan: RacePlan, addresses: readonly ResolvedAddress[]) {
    super();
    this._scheduler = plan.loop;
    this.#plan = plan;
    this.#addresses = addresses;
  }

  start(): this {
    this.#begin();
    return this;
  }

  /** Begins with the next address that can be tried at all. */
  #begin(): void {
    const { loop, delay } = this.#plan;
    this.#stopTimer();
    while (!this.done()) {
      const address = this.#addresses[this.#next++];
      if (address === undefined) {
        if (this.#attempts.size === 0) this._settleFailed(this.#failure(), false);
        return;
      }
      let attempt: Attempt;
      try {
        attempt = this.#attempt(...address);
      } catch (error) {
        this.#errors.push(error as Error);
        continue;
      }
      if (!attempt.done()) {
        this.#attempts.add(attempt);
        attempt._addListener({ _futureSettled: () => this.#settled(attempt) });
        if (delay !== undefined && this.#next < this.#addresses.length) this.#timer = loop.callLater(delay, () => this.#begin());
        return;
      }
      if (this.#ended(attempt)) return;
    }
  }

  #attempt(family: number, address: InetAddress): Attempt {
    const { loop, proto, local } = this.#plan;
    const socket = new Socket(family, SOCK_STREAM, proto);
    try {
      if (local !== undefined) bindLocal(socket, local);
    } catch (error) {
      socket.close();
      throw error;
    }
    return new Attempt(loop, socket).connect(address);
  }

  #settled(attempt: Attempt): void {
    if (!this.#attempts.delete(attempt) || this.done()) return;
    if (!this.#ended(attempt)) this.#begin();
  }

  /** Whether an attempt that is over has won. */
  #ended(attempt: Attempt): boolean {
    const error = attempt.exception();
    if (error !== undefined) {
      this.#errors.push(error as Error);
      return false;
    }
    this.#stop();
    this.setResult(attempt.result());
    return true;
  }

  #failure(): Error {
    const errors = this.#errors;
    const [first] = errors;
    if (first === undefined) return systemError(errno("EADDRNOTAVAIL"), "connect", { reason: "the host has no addresses" });
    if (this.#plan.allErrors) return new AggregateError(errors, `Connecting has failed for all ${errors.length} addresses`);
    if (errors.every(({ message }) => message === first.message)) return first;
    return Object.assign(new Error(`Multiple exceptions: ${errors.map(({ message }) => message).join(", ")}`), { errors });
  }

  #stop(): void {
    this.#stopTimer();
    const attempts = [...this.#attempts];
    this.#attempts.clear();
    for (const attempt of attempts) attempt.cancel();
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#plan.loop.removeTimeout(this.#timer);
    this.#timer = undefined;
  }

  override _onCancel(): void {
    this.#stop();
  }
}

function bindLocal(socket: Socket, local: readonly ResolvedAddress[]): void {
  let failure: Error | undefined;
  for (const [family, address] of local) {
    if (family !== socket.family) continue;
    try {
      socket.bind(address);
      return;
    } catch (error) {
      failure = error as Error;
    }
  }
  if (failure !== undefined) throw failure;
  const [address, port] = local[0]?.[1] ?? ["", 0];
  const name = { [AF_INET]: "IPv4", [AF_INET6]: "IPv6" }[socket.family] ?? String(socket.family);
  throw systemError(errno("EADDRNOTAVAIL"), "bind", { address, port, reason: `localAddr is no ${name} address` });
}

function detailsOf(address: Address): { address?: string; port?: number; path?: string } {
  if (Array.isArray(address)) return { address: address[0], port: address[1] };
  return { path: String(address) };
}
