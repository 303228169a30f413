/** `TransportSocket`: a socket that its transport goes on owning. Depends on the platform's sockets. */
import type { Address, Socket } from "../platform/index.js";

/**
 * A look at the socket of a transport or a server: its name and options, and nothing that would take it away from its owner.
 *
 * asyncio: `TransportSocket` (3.8).
 */
export class TransportSocket {
  readonly #socket: Socket;

  /** @internal */
  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** The address family. */
  get family(): number {
    return this.#socket.family;
  }

  /** The socket type. */
  get type(): number {
    return this.#socket.type;
  }

  /** The protocol. */
  get proto(): number {
    return this.#socket.proto;
  }

  /** The descriptor's number, -1 when it is closed. */
  fileno(): number {
    return this.#socket.fileno();
  }

  /** An independent `Socket` on the same connection, which is the caller's to close. */
  dup(): Socket {
    return this.#socket.dup();
  }

  /** Its own address. */
  getsockname(): Address {
    return this.#socket.getsockname();
  }

  /** The other end's address. @throws SystemError ENOTCONN when there is none */
  getpeername(): Address {
    return this.#socket.getpeername();
  }

  /** An option that is an integer. */
  getsockopt(level: number, name: number): number;
  /** An option's bytes, at most `length` of them. */
  getsockopt(level: number, name: number, length: number): Buffer;
  getsockopt(level: number, name: number, length?: number): number | Buffer {
    return length === undefined ? this.#socket.getsockopt(level, name) : this.#socket.getsockopt(level, name, length);
  }

  /** Sets an option. */
  setsockopt(level: number, name: number, value: number | boolean | Uint8Array): void {
    this.#socket.setsockopt(level, name, value);
  }

  /** Ends one side of the connection, or both, whatever the transport still has to send. */
  shutdown(how: number): void {
    this.#socket.shutdown(how);
  }

  /** For ported code: only `false` is possible. @throws RangeError for `true` */
  setblocking(flag: boolean): void {
    this.#socket.setblocking(flag);
  }

  /** For ported code: only 0 is possible. @throws RangeError for any other time */
  settimeout(seconds: number | undefined): void {
    this.#socket.settimeout(seconds);
  }

  /** Always 0. */
  gettimeout(): 0 {
    return this.#socket.gettimeout();
  }
}
