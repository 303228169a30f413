/**
 * A server or the load of `npm run bench:tls`, in a process of its own.
 *
 *     node --import tsx bench/tls-peer.ts node|await|callback              prints its port; at each line on stdin its CPU time in microseconds
 *     node --import tsx bench/tls-peer.ts load PORT CONNECTIONS MS         prints how many answers came, after a quarter of MS to warm up
 *
 * Certificate, key and authority come as PEM in the environment: TLS_CERT, TLS_KEY, TLS_CA.
 */
import { createInterface } from "node:readline";
import type { AddressInfo } from "node:net";
import * as tls from "node:tls";
import { createDefaultContext, IOLoop, Socket, SSLIOStream, sslOptionsToContext, StreamClosedError } from "ioloop";

const { TLS_CERT: cert = "", TLS_KEY: key = "", TLS_CA: ca = "" } = process.env;

async function withAwait(stream: SSLIOStream): Promise<void> {
  try {
    for (;;) {
      const line = await stream.readUntil("\n");
      await stream.write(line);
    }
  } catch (error) {
    if (!(error instanceof StreamClosedError)) throw error;
  }
}

function withCallbacks(stream: SSLIOStream): void {
  const onLine = (line: Buffer): void => {
    stream.write(line, next);
  };
  const next = (): void => {
    stream.readUntil("\n", onLine);
  };
  next();
}

function serve(kind: string): void {
  createInterface({ input: process.stdin }).on("line", () => {
    const { user, system } = process.cpuUsage();
    console.log(user + system);
  });
  if (kind === "node") {
    const server = tls.createServer({ cert, key, noDelay: true }, (socket) => {
      socket.on("data", (data: Buffer) => socket.write(data)).on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1", 1024, () => {
      console.log((server.address() as AddressInfo).port);
    });
    return;
  }
  const sslOptions = sslOptionsToContext({ cert, key }, true);
  const listener = new Socket();
  listener.bind(["127.0.0.1", 0]);
  listener.listen(1024);
  const accept = (): void => {
    for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) {
      const stream = new SSLIOStream(pending[0], { serverSide: true, sslOptions });
      if (kind === "callback") withCallbacks(stream);
      else void withAwait(stream);
    }
  };
  IOLoop.current().addHandler(listener, accept, IOLoop.READ);
  void IOLoop.current().start();
  console.log((listener.getsockname() as [string, number])[1]);
}

async function load(port: number, connections: number, milliseconds: number): Promise<void> {
  const sslOptions = createDefaultContext({ cadata: ca });
  const line = Buffer.from(`${"x".repeat(63)}\n`);
  let answers = 0;
  const begin = async (): Promise<void> => {
    const stream = new SSLIOStream(new Socket(), { sslOptions });
    await stream.connect(["127.0.0.1", port], { serverHostname: "localhost" });
    const onLine = (): void => {
      answers++;
      stream.write(line);
      stream.readUntil("\n", onLine);
    };
    stream.write(line);
    stream.readUntil("\n", onLine);
  };
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const loop = IOLoop.current();
  void loop.start();
  await Promise.all(Array.from({ length: connections }, begin));
  await wait(milliseconds / 4);
  // The supervisor asks the server for its CPU time now and when the answers are told.
  console.log("measuring");
  answers = 0;
  await wait(milliseconds);
  console.log(answers);
  process.exit();
}

const [kind = "", ...numbers] = process.argv.slice(2);
if (kind === "load") {
  const [port = 0, connections = 50, milliseconds = 2000] = numbers.map(Number);
  void load(port, connections, milliseconds);
} else {
  serve(kind);
}
