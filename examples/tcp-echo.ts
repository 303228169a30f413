/**
 * A TCP server that sends back every line, and its client. Tornado's tcpecho demonstration, with an accept handler of its own.
 *
 *     npm start -- examples/tcp-echo.ts                       server and client in one process
 *     npm start -- examples/tcp-echo.ts server 9999
 *     npm start -- examples/tcp-echo.ts client 9999 "a line"
 */
import { fileURLToPath } from "node:url";
import { IOLoop, IOStream, Socket, SO_REUSEADDR, SOL_SOCKET, StreamClosedError } from "ioloop";

/** Sends back each line as it came until the other end closes. */
async function echo(stream: IOStream): Promise<void> {
  try {
    for (;;) await stream.write(await stream.readUntil("\n"));
  } catch (error) {
    if (!(error instanceof StreamClosedError)) throw error;
  } finally {
    stream.close();
  }
}

/** Listens on loopback; port 0 takes any. Close it with {@link EchoServer.close}; connections under way go on. */
export class EchoServer {
  readonly address: readonly [host: string, port: number];
  readonly #listener = new Socket();
  readonly #loop = IOLoop.current();

  constructor(port = 0) {
    this.#listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
    this.#listener.bind(["127.0.0.1", port]);
    this.#listener.listen(128);
    this.address = this.#listener.getsockname() as [string, number];
    this.#loop.addHandler(this.#listener, () => this.#accept(), IOLoop.READ);
  }

  close(): void {
    this.#loop.removeHandler(this.#listener);
    this.#listener.close();
  }

  #accept(): void {
    // A readiness says "at least one": accept until the kernel has no more.
    for (let accepted = this.#listener.accept(); accepted !== undefined; accepted = this.#listener.accept()) {
      const [connection] = accepted;
      this.#loop.spawnCallback(echo, new IOStream(connection));
    }
  }
}

/** Sends a line and gives back what comes. */
export async function sendLine(address: readonly [host: string, port: number], line: string): Promise<string> {
  using stream = new IOStream(new Socket());
  await stream.connect([...address]);
  await stream.write(`${line}\n`);
  return (await stream.readUntil("\n")).toString().trimEnd();
}

async function main(): Promise<void> {
  const [, , role, port = "9999", line = "hello"] = process.argv;
  if (role === "client") {
    console.log(await sendLine(["127.0.0.1", Number(port)], line));
    return;
  }
  const server = new EchoServer(role === "server" ? Number(port) : 0);
  console.log(`echoing on ${server.address.join(":")}`);
  // A server alone serves on: stopping is the user's Ctrl-C.
  if (role === "server") await new Promise<never>(() => undefined);
  console.log(`the client got back: ${await sendLine(server.address, line)}`);
  server.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await IOLoop.current().runSync(main);
