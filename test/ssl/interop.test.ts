/** TLS with real peers: Node's own `tls` and `https` both ways, and `openssl`, `curl` and Python's asyncio where they are installed. */
import { expect } from "chai";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as https from "node:https";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { SSLIOStream } from "../../src/iostream/index.js";
import { socketpair, Socket } from "../../src/platform/index.js";
import { createDefaultContext, sslOptionsToContext, sslWrapSocket } from "../../src/ssl/index.js";
import { makeCertificate, testAuthority, testIdentity } from "../support/certificates.js";
import { expectLog } from "../support/log-records.js";
import { PythonProgram, pythonWith } from "../support/python.js";
import { eachStream, listenTcp, type StreamTest, usual } from "../iostream/kinds.js";
import { clientOptions, serverOptions } from "../iostream/tls-streams.js";

const { cert, key } = testIdentity();
const ca = testAuthority().cert;
const choice = { kinds: ["tcp"], combinations: usual } as const;

function installed(program: string): boolean {
  try {
    execFileSync(program, [program === "openssl" ? "version" : "--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The next connection of a listener. */
async function next(test: StreamTest, listener: Socket): Promise<Socket> {
  for (;;) {
    const connection = listener.accept();
    if (connection !== undefined) return connection[0];
    await new Promise((resolve) => setTimeout(resolve, 1));
    await test.turns();
  }
}

async function serve(test: StreamTest, listener: Socket): Promise<SSLIOStream> {
  return test.track(new SSLIOStream(await next(test, listener), { ioLoop: test.loop, serverSide: true, sslOptions: serverOptions() }));
}

async function listening(server: net.Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port;
}

const PYTHON_CLIENT = `
import asyncio, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=sys.argv[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]), ssl=context, server_hostname="localhost")
    writer.write(b"from asyncio\\n")
    await writer.drain()
    print((await reader.readline()).decode(), end="", flush=True)
    writer.close()
asyncio.run(main())
`;

const PYTHON_SERVER = `
import asyncio, ssl, sys
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    async def serve(reader, writer):
        writer.write(b"asyncio heard " + await reader.readline())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(30)
asyncio.run(main())
`;

describe("TLS with other implementations", () => {
  eachStream((it) => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      it(`S149 S176 Node's tls as client, ${maxVersion}: data both ways, facts, and its end`, async (test) => {
        const [listener, port] = listenTcp();
        const peer = tls.connect({ port, host: "127.0.0.1", ca, servername: "localhost", maxVersion, ALPNProtocols: ["x"] });
        const stream = await serve(test, listener);
        const line = once(peer, "data") as Promise<[Buffer]>;
        await Promise.all([once(peer, "secureConnect"), stream.write("hello\n")]);
        expect([String((await line)[0]), peer.authorized, peer.getProtocol(), stream.socket.version()]).to.deep.equal([
          "hello\n",
          true,
          maxVersion,
          maxVersion,
        ]);
        const big = Buffer.alloc(3_000_000, "0123456789");
        peer.end(big);
        expect((await stream.readUntilClose()).equals(big)).to.equal(true);
        expect(stream.error).to.equal(undefined);
        await once(peer, "close");
        listener.close();
      });

      it(`S148 S176 Node's tls as server, ${maxVersion}: data both ways, and our close_notify`, async (test) => {
        const ended: Promise<unknown>[] = [];
        const server = tls.createServer({ cert, key, maxVersion }, (socket) => {
          socket.pipe(socket);
          ended.push(once(socket, "end"));
        });
        const port = await listening(server);
        const stream = test.track(new SSLIOStream(new Socket(), { ioLoop: test.loop, sslOptions: clientOptions() }));
        await stream.connect(["127.0.0.1", port], { serverHostname: "localhost" });
        expect(stream.socket.version()).to.equal(maxVersion);
        const big = Buffer.alloc(3_000_000, "0123456789");
        const [got] = await Promise.all([stream.readBytes(big.length), stream.write(big)]);
        expect(got.equals(big)).to.equal(true);
        stream.close();
        // "end" without an error: Node has seen close_notify.
        await Promise.all(ended);
        server.close();
        await once(server, "close");
      });
    }

    it("S170 Node's tls as client with a certificate of its own", async (test) => {
      const own = makeCertificate({ name: "alice", issuer: testAuthority(), purpose: "client" });
      const [listener, port] = listenTcp();
      const peer = tls.connect({ port, host: "127.0.0.1", ca, servername: "localhost", cert: own.cert, key: own.key });
      const sslOptions = serverOptions({ requestCert: true, ca });
      const stream = test.track(new SSLIOStream(await next(test, listener), { ioLoop: test.loop, serverSide: true, sslOptions }));
      await stream.waitForHandshake();
      expect(stream.socket.getpeercert()?.subject).to.equal("CN=alice");
      peer.destroy();
      await once(peer, "close");
      listener.close();
    });

    it("S148 a page from Node's https server, and one for Node's https client", async (test) => {
      const server = https.createServer({ cert, key }, (request, response) => response.end(`You asked for ${String(request.url)}`));
      const port = await listening(server);
      const stream = test.track(
        new SSLIOStream(new Socket(), { ioLoop: test.loop, sslOptions: clientOptions({ alpnProtocols: ["http/1.1"] }) }),
      );
      await stream.connect(["127.0.0.1", port], { serverHostname: "localhost" });
      expect(stream.socket.selectedAlpnProtocol()).to.equal("http/1.1");
      await stream.write("GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      expect(String(await stream.readUntilClose())).to.match(/^HTTP\/1\.1 200 OK[^]*You asked for \/page$/);
      server.close();
      await once(server, "close");

      const [listener, ours] = listenTcp();
      const asking = https.get({ port: ours, host: "127.0.0.1", servername: "localhost", ca, path: "/ours", agent: false });
      const serving = await serve(test, listener);
      expect(String(await serving.readUntil("\r\n\r\n"))).to.match(/^GET \/ours HTTP\/1\.1\r\n/);
      await serving.write("HTTP/1.0 200 OK\r\n\r\nhere it is");
      serving.close();
      const [response] = (await once(asking, "response")) as [AsyncIterable<Buffer>];
      let body = "";
      for await (const chunk of response) body += String(chunk);
      expect(body).to.equal("here it is");
      listener.close();
    });

    it("S155 S156 a handshake and data that come byte by byte", async (test) => {
      const [listener, port] = listenTcp();
      // Between the two a pipe that takes everything apart.
      const proxy = net.createServer((from) => {
        const to = net.connect(port, "127.0.0.1").setNoDelay(true);
        from.setNoDelay(true);
        const apart = (one: net.Socket, other: net.Socket): void => {
          one.on("data", (data) => {
            for (const byte of data as unknown as Uint8Array) other.write(Uint8Array.of(byte));
          });
          one.on("end", () => other.end());
          one.on("error", () => other.destroy());
        };
        apart(from, to);
        apart(to, from);
      });
      const through = await listening(proxy);
      const client = test.track(new SSLIOStream(new Socket(), { ioLoop: test.loop, sslOptions: clientOptions() }));
      const connecting = client.connect(["127.0.0.1", through], { serverHostname: "localhost" });
      const server = await serve(test, listener);
      await Promise.all([connecting, client.write("a few words\n")]);
      expect(String(await server.readUntil("\n"))).to.equal("a few words\n");
      await server.write("and an answer\n");
      expect(String(await client.readUntil("\n"))).to.equal("and an answer\n");
      client.close();
      await server.readUntilClose();
      proxy.close();
      listener.close();
      await once(proxy, "close");
    });

    it("S171 S172 garbage of any kind instead of a handshake ends the connection and nothing else", async (test) => {
      const { server, client } = { server: listenTcp(), client: [] as Socket[] };
      const [listener, port] = server;
      const pieces = [
        Buffer.from("GET / HTTP/1.1\r\n\r\n"),
        Buffer.alloc(5),
        Buffer.alloc(20_000, 0xff),
        Buffer.of(22, 3, 1, 0, 5, 1, 0, 0, 1, 0),
        Buffer.of(21, 3, 3, 0, 2, 2, 40),
        Buffer.of(23, 3, 3, 0x40, 0, ...Buffer.alloc(100)),
        Buffer.of(22, 3, 1, 2),
      ];
      for (const piece of pieces) {
        const sock = new Socket();
        client.push(sock);
        sock.connect(["127.0.0.1", port]);
        const stream = await serve(test, listener);
        const waiting = stream.waitForHandshake();
        sock.send(piece);
        sock.shutdown(1);
        await waiting.then(
          () => expect.fail("accepted"),
          (error: unknown) => expect(error).to.have.property("name", "StreamClosedError"),
        );
      }
      for (const sock of client) sock.close();
      listener.close();
      expectLog("general", "warn", /^SSL Error on/, "any");
    });

    it("A37 bytes that were received before come first: a hello in pieces, then the descriptor's", async () => {
      const [a, b] = socketpair();
      using context = createDefaultContext({ cadata: ca });
      using serverContext = sslOptionsToContext({ cert, key }, true);
      using client = sslWrapSocket(b, context, { serverHostname: "localhost" });
      client.doHandshake();
      // Half of the ClientHello has been read by somebody else.
      const prefix = a.recv(100);
      expect(prefix).to.have.length(100);
      using server = sslWrapSocket(a, serverContext, { serverSide: true, prefix: prefix as Buffer });
      for (let i = 0; i < 5 && client.doHandshake() + server.doHandshake() > 0; i++);
      client.send("hello");
      expect(String(server.recv(10))).to.equal("hello");
      // All of it, and clear text that was injected behind.
      const [c, d] = socketpair();
      using other = sslWrapSocket(d, context, { serverHostname: "localhost" });
      other.doHandshake();
      const whole = Buffer.concat([c.recv(5000) as Buffer, Buffer.from("QUIT\r\n")]);
      using injected = sslWrapSocket(c, serverContext, { serverSide: true, prefix: whole });
      expect(() => {
        for (let i = 0; i < 5; i++) {
          injected.doHandshake();
          other.doHandshake();
        }
      })
        .to.throw(Error)
        .with.property("name", "SSLError");
    });
  }, choice);

  describe("openssl, curl and Python's asyncio", () => {
    let directory = "";
    let child: ChildProcess | undefined;
    const path = (name: string): string => join(directory, name);
    before(() => {
      directory = mkdtempSync(join(tmpdir(), "ioloop-tls-"));
      writeFileSync(path("cert.pem"), cert);
      writeFileSync(path("key.pem"), key);
      writeFileSync(path("ca.pem"), ca);
    });
    after(() => rmSync(directory, { recursive: true }));
    afterEach(async () => {
      if (child?.exitCode === null && child.signalCode === null) {
        child.kill();
        await once(child, "close");
      }
    });

    eachStream((it) => {
      if (installed("openssl")) {
        it("S149 openssl s_client talks to us", async (test) => {
          const [listener, port] = listenTcp();
          const args = [
            "s_client",
            "-connect",
            `127.0.0.1:${port}`,
            "-servername",
            "localhost",
            "-verify_return_error",
            "-CAfile",
            path("ca.pem"),
            "-quiet",
          ];
          child = spawn("openssl", args, { stdio: ["pipe", "pipe", "ignore"] });
          const stream = await serve(test, listener);
          child.stdin?.write("from openssl\n");
          expect(String(await stream.readUntil("\n"))).to.equal("from openssl\n");
          await stream.write("from us\n");
          const [data] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
          expect(String(data)).to.equal("from us\n");
          stream.close();
          if (child.exitCode === null) await once(child, "close");
          listener.close();
        });

        it("S148 we talk to openssl s_server", async (test) => {
          const [unused, port] = listenTcp();
          unused.close();
          const args = [
            "s_server",
            "-accept",
            `127.0.0.1:${port}`,
            "-cert",
            path("cert.pem"),
            "-key",
            path("key.pem"),
            "-quiet",
            "-naccept",
            "1",
          ];
          child = spawn("openssl", args, { stdio: ["pipe", "pipe", "ignore"] });
          let stream: SSLIOStream | undefined;
          while (stream === undefined) {
            const attempt = test.track(new SSLIOStream(new Socket(), { ioLoop: test.loop, sslOptions: clientOptions() }));
            try {
              stream = await attempt.connect(["127.0.0.1", port], { serverHostname: "localhost" });
            } catch (error) {
              // Until it listens.
              expect(error).to.have.nested.property("realError.code", "ECONNREFUSED");
              await new Promise((resolve) => setTimeout(resolve, 10));
            }
          }
          await stream.write("from us\n");
          const [data] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
          expect(String(data)).to.equal("from us\n");
          child.stdin?.write("from openssl\n");
          expect(String(await stream.readUntil("\n"))).to.equal("from openssl\n");
          stream.close();
          if (child.exitCode === null) await once(child, "close");
        });
      }

      for (const [name, ...modules] of [
        ["Python's asyncio", "asyncio"],
        ["Python's asyncio on uvloop", "asyncio", "uvloop"],
      ] as const) {
        const python = pythonWith(...modules);
        if (python === undefined) continue;
        const install = modules.length > 1 ? "import uvloop; uvloop.install()\n" : "";

        it(`S149 ${name} as client`, async (test) => {
          const [listener, port] = listenTcp();
          await using client = new PythonProgram(python, install + PYTHON_CLIENT, String(port), path("ca.pem"));
          const stream = await serve(test, listener);
          expect(String(await stream.readUntil("\n"))).to.equal("from asyncio\n");
          await stream.write("from us\n");
          expect(await client.line()).to.equal("from us");
          expect(String(await stream.readUntilClose())).to.equal("");
          expect(await client.end()).to.equal(0);
          listener.close();
        });

        it(`S148 S176 ${name} as server`, async (test) => {
          await using server = new PythonProgram(python, install + PYTHON_SERVER, path("cert.pem"), path("key.pem"));
          const port = Number(await server.line());
          const stream = test.track(new SSLIOStream(new Socket(), { ioLoop: test.loop, sslOptions: clientOptions() }));
          await stream.connect(["127.0.0.1", port], { serverHostname: "localhost" });
          await stream.write("us\n");
          expect(String(await stream.readUntilClose())).to.equal("asyncio heard us\n");
        });
      }

      if (installed("curl")) {
        it("S149 curl gets a page from us", async (test) => {
          const [listener, port] = listenTcp();
          const args = [
            "-s",
            "--cacert",
            path("ca.pem"),
            "--resolve",
            `localhost:${port}:127.0.0.1`,
            "--noproxy",
            "*",
            `https://localhost:${port}/page`,
          ];
          child = spawn("curl", args, { stdio: ["ignore", "pipe", "ignore"] });
          const output = once(child.stdout as NodeJS.ReadableStream, "data") as Promise<[Buffer]>;
          const stream = await serve(test, listener);
          expect(String(await stream.readUntil("\r\n\r\n"))).to.match(/^GET \/page HTTP\/1\.1\r\n/);
          await stream.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
          stream.close();
          expect(String((await output)[0])).to.equal("hello");
          if (child.exitCode === null) await once(child, "close");
          listener.close();
        });
      }
    }, choice);
  });
});
