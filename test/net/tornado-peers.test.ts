/** The same protocol spoken with Tornado itself, from either side: in clear text, over TLS, and with TLS begun in the middle. */
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type IOStream, SSLIOStream } from "../../src/iostream/index.js";
import { bindSockets, OverrideResolver, Resolver, TCPClient, TCPServer } from "../../src/net/index.js";
import { UNEXPECTED_EOF } from "../../src/ssl/index.js";
import { testAuthority, testIdentity } from "../support/certificates.js";
import { PythonProgram, pythonWith } from "../support/python.js";
import { onLoop, portOf } from "./loop.js";

/** How the connection is secured. */
type Security = "plain" | "tls" | "start_tls";

/** Both parts with Tornado's classes. The arguments: which part, how it is secured, then certificate and key, or the authority and our port. */
const TORNADO = `
import asyncio, ssl, sys
from tornado.tcpclient import TCPClient
from tornado.tcpserver import TCPServer

role, security, first, second = sys.argv[1:]

class Server(TCPServer):
    async def handle_stream(self, stream, address):
        if security == "start_tls":
            assert await stream.read_until(b"\\n") == b"STARTTLS\\n"
            await stream.write(b"go ahead\\n")
            stream = await stream.start_tls(True, context)
        line = await stream.read_until(b"\\n")
        await stream.write(b"Tornado heard " + line)
        size = int(await stream.read_until(b"\\n"))
        await stream.write(await stream.read_bytes(size))
        rest = await stream.read_until_close()
        print(rest, stream.error, flush=True)
        over.set()

async def serve():
    server = Server(ssl_options=context if security == "tls" else None)
    server.listen(0, "127.0.0.1")
    print(next(iter(server._sockets.values())).getsockname()[1], flush=True)
    await over.wait()

async def call():
    client = TCPClient()
    stream = await client.connect("localhost", int(second), ssl_options=context if security == "tls" else None)
    if security == "start_tls":
        await stream.write(b"STARTTLS\\n")
        assert await stream.read_until(b"\\n") == b"go ahead\\n"
        stream = await stream.start_tls(False, context, server_hostname="localhost")
    await stream.write(b"Tornado\\n")
    print((await stream.read_until(b"\\n")).decode().strip())
    data = bytes(range(256)) * 12000
    await stream.write(b"%d\\n" % len(data))
    sent = stream.write(data)
    print((await stream.read_bytes(len(data))) == data)
    await sent
    stream.write(b"bye")
    stream.close()

async def main():
    global over, context
    over = asyncio.Event()
    if role == "serve":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(first, second)
        await serve()
    else:
        context = ssl.create_default_context(cafile=first)
        await call()

asyncio.run(main())
`;

const serverOptions = { cert: testIdentity().cert, key: testIdentity().key };
const clientOptions = { ca: testAuthority().cert };

/** The serving part, in TypeScript; `rest` resolves with what came between the echo and the end. */
class Server extends TCPServer implements Disposable {
  readonly port: number;
  readonly rest: Promise<string>;
  readonly #security: Security;
  #over!: (rest: Promise<string>) => void;

  constructor(security: Security) {
    super(security === "tls" ? { sslOptions: serverOptions } : {});
    this.#security = security;
    this.rest = new Promise((resolve) => {
      this.#over = resolve;
    });
    const [socket] = bindSockets(0, "127.0.0.1");
    this.addSocket(socket!);
    this.port = portOf(socket!);
  }

  override handleStream(stream: IOStream): void {
    this.#over(this.#serve(stream));
  }

  async #serve(clear: IOStream): Promise<string> {
    let stream = clear;
    if (this.#security === "start_tls") {
      expect((await stream.readUntil("\n")).toString()).to.equal("STARTTLS\n");
      await stream.write("go ahead\n");
      stream = await stream.startTls(true, { sslOptions: serverOptions });
    }
    const line = await stream.readUntil("\n");
    expect(stream instanceof SSLIOStream).to.equal(this.#security !== "plain");
    await stream.write(`we heard ${line.toString()}`);
    const size = Number((await stream.readUntil("\n")).toString());
    await stream.write(await stream.readBytes(size));
    const rest = (await stream.readUntilClose()).toString();
    // Tornado ends a TLS connection without close_notify.
    if (this.#security === "plain") expect(stream.error).to.equal(undefined);
    else expect(stream.error).to.have.property("code", UNEXPECTED_EOF);
    return rest;
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

/** The calling part. */
async function call(port: number, security: Security): Promise<void> {
  const client = new TCPClient(new OverrideResolver(new Resolver(), { localhost: "127.0.0.1" }));
  let stream: IOStream = await client.connect("localhost", port, security === "tls" ? { sslOptions: clientOptions } : {});
  if (security === "start_tls") {
    await stream.write("STARTTLS\n");
    expect((await stream.readUntil("\n")).toString()).to.equal("go ahead\n");
    stream = await stream.startTls(false, { sslOptions: clientOptions, serverHostname: "localhost" });
  }
  expect(stream instanceof SSLIOStream).to.equal(security !== "plain");
  await stream.write("us\n");
  expect((await stream.readUntil("\n")).toString()).to.equal("Tornado heard us\n");
  const data = Buffer.alloc(3_000_000, "0123456789");
  await stream.write(`${data.length}\n`);
  const sent = stream.write(data);
  expect((await stream.readBytes(data.length)).equals(data)).to.equal(true);
  await sent;
  await stream.write("bye");
  stream.close();
}

const python = pythonWith("tornado");

describe("with Tornado's own TCPServer and TCPClient", function () {
  this.timeout(30_000);
  if (python === undefined) {
    it("skipped: no tornado (a python3 that can import it)");
    return;
  }

  let directory = "";
  const path = (name: string): string => join(directory, name);
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ioloop-tornado-"));
    writeFileSync(path("cert.pem"), testIdentity().chain);
    writeFileSync(path("key.pem"), testIdentity().key);
    writeFileSync(path("ca.pem"), testAuthority().cert);
  });
  after(() => rmSync(directory, { recursive: true }));

  const manners: [security: Security, client: string, server: string, title: string][] = [
    ["plain", "N74", "N64", "in clear text"],
    ["tls", "N82", "N64", "over TLS"],
    ["start_tls", "S158", "S158", "with TLS begun by start_tls"],
  ];
  for (const [security, clientNumber, serverNumber, manner] of manners) {
    it(`${clientNumber} our TCPClient and Tornado's TCPServer ${manner}`, async () => {
      await onLoop(async () => {
        await using server = new PythonProgram(python, TORNADO, "serve", security, path("cert.pem"), path("key.pem"));
        await call(Number(await server.line()), security);
        expect(await server.line()).to.equal("b'bye' None");
        expect(await server.end()).to.equal(0);
      });
    });

    it(`${serverNumber} Tornado's TCPClient and our TCPServer ${manner}`, async () => {
      await onLoop(async () => {
        using server = new Server(security);
        await using client = new PythonProgram(python, TORNADO, "call", security, path("ca.pem"), String(server.port));
        expect(await client.line()).to.equal("we heard Tornado");
        expect(await client.line()).to.equal("True");
        expect(await server.rest).to.equal("bye");
        expect(await client.end()).to.equal(0);
      });
    });
  }
});
