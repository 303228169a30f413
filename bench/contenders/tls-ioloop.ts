/**
 * A TLS server on `SSLIOStream`: `tls-ioloop.ts await|callback|source|sink`. The first two send lines back, the third sends without end, the last takes what
 * comes. Certificate and key come as PEM in the environment: TLS_CERT, TLS_KEY.
 */
import { bindSockets, type InetAddress, IOLoop, type IOStream, sslOptionsToContext, StreamClosedError, TCPServer } from "ioloop";
import { ready } from "./ready.js";

/** What is written or read at a time in bulk, here and in the other servers. */
const CHUNK = 65_536;

async function echo(stream: IOStream): Promise<void> {
  for (;;) {
    const line = await stream.readUntil("\n");
    await stream.write(line);
  }
}

function echoByCallbacks(stream: IOStream): void {
  const onLine = (line: Buffer): void => {
    stream.write(line, next);
  };
  const next = (): void => {
    stream.readUntil("\n", onLine);
  };
  next();
}

async function source(stream: IOStream): Promise<void> {
  const chunk = Buffer.alloc(CHUNK, "x");
  for (;;) await stream.write(chunk);
}

async function sink(stream: IOStream): Promise<void> {
  const target = Buffer.alloc(CHUNK);
  for (;;) await stream.readInto(target, { partial: true });
}

const services: Record<string, (stream: IOStream) => Promise<void> | void> = { await: echo, callback: echoByCallbacks, source, sink };
const serve = services[process.argv[2] ?? ""];
if (serve === undefined) throw new Error(`Unknown service ${String(process.argv[2])}`);

class Server extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    try {
      await serve?.(stream);
    } catch (error) {
      if (!(error instanceof StreamClosedError)) throw error;
    }
  }
}

const { TLS_CERT: cert = "", TLS_KEY: key = "" } = process.env;
const sockets = bindSockets(0, "127.0.0.1", { backlog: 1024 });
new Server({ sslOptions: sslOptionsToContext({ cert, key }, true) }).addSockets(sockets);
ready((sockets[0]?.getsockname() as InetAddress)[1]);
void IOLoop.current().start();
