/** Sockets for one test, closed after it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, AF_INET, AF_UNIX, type InetAddress, SOCK_DGRAM, SOCK_STREAM, Socket, socketpair } from "../../src/platform/index.js";
import { ready } from "./expectations.js";

/** Keeps what a test opens and closes it in `close()`, also when the test fails. */
export class Fixtures {
  readonly #sockets: Socket[] = [];
  #folder: string | undefined;

  /** Closes a socket at the end. */
  keep<S extends Socket>(socket: S): S {
    this.#sockets.push(socket);
    return socket;
  }

  socket(family: number = AF_INET, type: number = SOCK_STREAM, proto = 0): Socket {
    return this.keep(new Socket(family, type, proto));
  }

  pair(family: number = AF_UNIX, type: number = SOCK_STREAM): [Socket, Socket] {
    const [a, b] = socketpair(family, type);
    return [this.keep(a), this.keep(b)];
  }

  bound(family: number = AF_INET, type: number = SOCK_DGRAM, address: Address = [family === AF_INET ? "127.0.0.1" : "::1", 0]): Socket {
    const socket = this.socket(family, type);
    socket.bind(address);
    return socket;
  }

  listener(family: number = AF_INET, address?: Address, backlog = 128): Socket {
    const socket = this.bound(family, SOCK_STREAM, address);
    socket.listen(backlog);
    return socket;
  }

  accepted(listener: Socket): Socket {
    ready(listener);
    const got = listener.accept();
    if (got === undefined) throw new Error("Nobody connected");
    return this.keep(got[0]);
  }

  /** A TCP connection: client and server end. */
  tcp(family: number = AF_INET): [Socket, Socket] {
    const listener = this.listener(family);
    const client = this.socket(family);
    client.connect(listener.getsockname());
    return [client, this.accepted(listener)];
  }

  /** A path in a folder that is removed at the end. */
  path(name: string): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), "ioloop-"));
    return join(this.#folder, name);
  }

  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true });
    this.#folder = undefined;
  }
}

/** The port of an inet socket. */
export function portOf(socket: Socket): number {
  return (socket.getsockname() as InetAddress)[1];
}

/** A TCP port on 127.0.0.1 where nobody listens. */
export function unusedPort(type: number = SOCK_STREAM): number {
  using socket = new Socket(AF_INET, type);
  socket.bind(["127.0.0.1", 0]);
  return portOf(socket);
}
