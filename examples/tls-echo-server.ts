/**
 * A line echo server over TLS that takes a renewed certificate without a restart: on SIGHUP it reads the two files again. Connections that are open
 * keep the certificate they began with. A certificate that cannot be used is reported, and the old one stays.
 *
 *     npm start -- examples/tls-echo-server.ts server.pem server.key [port]
 *
 * Try it with `openssl s_client -quiet -connect 127.0.0.1:8888`.
 */
import { createDefaultContext, IOLoop, Socket, SSLIOStream, StreamClosedError } from "ioloop";

const [certfile = "server.pem", keyfile = "server.key", port = "8888"] = process.argv.slice(2);
const context = createDefaultContext({ serverSide: true });
context.loadCertChain(certfile, keyfile);

process.on("SIGHUP", () => {
  try {
    context.loadCertChain(certfile, keyfile);
    console.log("certificate read again");
  } catch (error) {
    console.log(`the certificate stays as it was: ${(error as Error).message}`);
  }
});

async function echo(stream: SSLIOStream): Promise<void> {
  try {
    for (;;) await stream.write(await stream.readUntil("\n", { maxBytes: 65536 }));
  } catch (error) {
    // Also a handshake that has failed: the library has logged why.
    if (!(error instanceof StreamClosedError)) throw error;
  }
}

const listener = new Socket();
listener.bind(["127.0.0.1", Number(port)]);
listener.listen();
const [host, bound] = listener.getsockname() as [string, number];

IOLoop.current().addHandler(
  listener,
  () => {
    for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) {
      void echo(new SSLIOStream(pending[0], { serverSide: true, sslOptions: context }));
    }
  },
  IOLoop.READ,
);
console.log(`echoing lines over TLS on ${host}:${bound}`);
IOLoop.current().start();
