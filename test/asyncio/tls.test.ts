import { connect as tlsConnect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { type AddressInfo } from "node:net";
import { expect } from "chai";
import { CancelledError } from "../../src/concurrent/index.js";
import { isOpen, Socket, type InetAddress } from "../../src/platform/index.js";
import { SSLContext, SSLSocket, nativeTlsObjects } from "../../src/ssl/index.js";
import {
  getEventLoop,
  openConnection,
  Protocol,
  startServer,
  type Server,
  type StreamReader,
  type StreamWriter,
  type Transport,
  type TransportSocket,
} from "../../src/asyncio/index.js";
import { makeCertificate, testAuthority, testIdentity } from "../support/certificates.js";
import { openDescriptors } from "../support/descriptors.js";
import { Connection, failureOf, onLoop, pair, portOf, rounds, text, thrownBy, until } from "./support.js";

const serverOptions = { cert: testIdentity().chain, key: testIdentity().key };
const clientOptions = { ca: testAuthority().cert };

async function secure(): Promise<Connection> {
  return Connection.make({ ssl: serverOptions }, { ssl: clientOptions, serverHostname: "localhost" });
}

async function listening<T>(
  callback: (reader: StreamReader, writer: StreamWriter) => unknown,
  body: (port: number, server: Server) => Promise<T>,
): Promise<T> {
  const server = await startServer(callback, "127.0.0.1", 0, { ssl: serverOptions });
  try {
    return await body(portOf(server), server);
  } finally {
    server.close();
    server.abortClients();
    await server.waitClosed();
  }
}

/** A listener that accepts and says nothing. */
function silent(): Socket {
  const listener = new Socket();
  listener.bind(["127.0.0.1", 0]);
  listener.listen();
  return listener;
}

describe("asyncio over TLS", () => {
  it(
    "A57 A61 the handshake is part of the call, and lines go both ways",
    onLoop(async () => {
      await using connection = await secure();
      const { reader, writer, peerReader, peerWriter } = connection;
      writer.write("question\n");
      expect(await text(peerReader.readline())).to.equal("question\n");
      peerWriter.writelines(["ans", "wer\n"]);
      expect(await text(reader.readline())).to.equal("answer\n");
      writer.close();
      expect(await text(peerReader.read())).to.equal("");
      await writer.waitClosed();
    }),
  );

  it(
    "A28 there is no writeEof over TLS",
    onLoop(async () => {
      await using connection = await secure();
      expect(connection.writer.canWriteEof()).to.equal(false);
      expect(thrownBy(() => connection.writer.writeEof()).message).to.include("TLS");
      connection.writer.write("still open");
      expect(await text(connection.peerReader.readexactly(10))).to.equal("still open");
    }),
  );

  it(
    "A29 the TLS keys",
    onLoop(async () => {
      await using connection = await secure();
      const { writer, peerWriter } = connection;
      expect(writer.getExtraInfo("sslcontext")).to.be.instanceOf(SSLContext);
      expect(writer.getExtraInfo("ssl_object")).to.be.instanceOf(SSLSocket);
      expect((writer.getExtraInfo("peercert") as { subject: string }).subject).to.include("localhost");
      expect((writer.getExtraInfo("cipher") as string[])[1]).to.match(/^TLSv1/);
      expect(writer.getExtraInfo("compression")).to.equal(undefined);
      expect(peerWriter.getExtraInfo("peercert")).to.equal(undefined);
      expect((writer.getExtraInfo("peername") as InetAddress)[0]).to.equal("127.0.0.1");
      expect(writer.getExtraInfo("socket")).to.have.property("getsockopt");
    }),
  );

  it(
    "A30 A33 megabytes go through both ways at once, with flow control, and close() flushes",
    onLoop(async () => {
      await using connection = await secure();
      const { reader, writer, peerReader, peerWriter } = connection;
      const data = Buffer.alloc(5 << 20, "0123456789abcdef");
      const send = async (to: StreamWriter): Promise<void> => {
        for (let at = 0; at < data.length; at += 100_000) {
          to.write(data.subarray(at, at + 100_000));
          await to.drain();
        }
      };
      const [received, echoed] = await Promise.all([
        peerReader.readexactly(data.length),
        reader.readexactly(data.length),
        send(writer),
        send(peerWriter),
      ]);
      expect(received.equals(data)).to.equal(true);
      expect(echoed.equals(data)).to.equal(true);
      writer.write(data);
      writer.close();
      expect((await peerReader.read()).length).to.equal(data.length);
      await writer.waitClosed();
    }),
  ).timeout(20_000);

  it(
    "A21 bytes that OpenSSL holds while reading is paused are read after it resumes, without any event",
    onLoop(async (loop) => {
      await using connection = await secure();
      const { writer, peerReader } = connection;
      // More than the reader takes without pausing, in records that arrive together.
      writer.write(Buffer.alloc(400_000, "x"));
      await until(loop, () => String(peerReader).includes("paused"));
      expect((await peerReader.readexactly(400_000)).length).to.equal(400_000);
    }),
  );

  it(
    "A42 the other end's close_notify is the end, and closes the connection",
    onLoop(async (loop) => {
      await using connection = await secure();
      const { reader, writer, peerWriter } = connection;
      peerWriter.write("last");
      peerWriter.close();
      expect(await text(reader.read())).to.equal("last");
      await until(loop, () => writer.isClosing());
      await writer.waitClosed();
    }),
  );

  it(
    "A45 abort() sends no close_notify, and the end without it is an end all the same",
    onLoop(async () => {
      await using connection = await secure();
      connection.peerWriter.transport.abort();
      expect(await text(connection.reader.read())).to.equal("");
      await connection.writer.waitClosed().catch(() => undefined);
    }),
  );

  describe("A56 arguments", () => {
    it(
      "A56 serverHostname and time-outs belong to ssl, time-outs are positive",
      onLoop(async () => {
        for (const options of [
          { serverHostname: "x" },
          { sslHandshakeTimeout: 1 },
          { sslShutdownTimeout: 1 },
          { ssl: clientOptions, sslHandshakeTimeout: 0 },
          { ssl: clientOptions, sslShutdownTimeout: -1 },
        ]) {
          expect(await failureOf(openConnection("127.0.0.1", 1, options))).to.be.instanceOf(RangeError);
        }
        for (const options of [
          { ssl: "x" as never },
          { ssl: 5 as never },
          { ssl: clientOptions, sslHandshakeTimeout: "1" as never },
          { ssl: clientOptions, serverHostname: 5 as never },
        ]) {
          expect(await failureOf(openConnection("127.0.0.1", 1, options))).to.be.instanceOf(TypeError);
        }
      }),
    );

    it(
      "A56 without a host a name is needed; a context that checks names needs one",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        const context = new SSLContext();
        context.verifyMode = 2;
        context.checkHostname = true;
        for (const attempt of [
          openConnection(undefined, 1, { ssl: true }),
          openConnection("127.0.0.1", 1, { ssl: context, serverHostname: "" }),
          openConnection({ sock: peer, ssl: true }),
        ]) {
          const error = await failureOf(attempt);
          expect(error).to.be.instanceOf(RangeError);
          expect(error.message).to.include("serverHostname");
        }
        context.close();
        writer.close();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A56 serverHostname defaults to the host, and the name is checked",
      onLoop(() =>
        listening(
          (_, writer) => writer.close(),
          async (port) => {
            const [reader, writer] = await openConnection("localhost", port, { ssl: clientOptions, family: 2 });
            expect(await text(reader.read())).to.equal("");
            writer.close();
            const wrong = await failureOf(openConnection("127.0.0.1", port, { ssl: clientOptions, serverHostname: "example.com" }));
            expect(wrong.message).to.include("example.com");
            // true: the default context, which does not know the test's authority.
            expect((await failureOf(openConnection("127.0.0.1", port, { ssl: true, serverHostname: "" }))).code).to.match(/CERT|VERIFY/);
          },
        ),
      ),
    );
  });

  describe("A57 the handshake", () => {
    it(
      "A57 a bad certificate rejects, and nothing stays open",
      onLoop(async () => {
        const stranger = makeCertificate({ name: "localhost" });
        let called = 0;
        const server = await startServer(() => called++, "127.0.0.1", 0, { ssl: { cert: stranger.cert, key: stranger.key } });
        const before = openDescriptors().size;
        const error = await failureOf(openConnection("127.0.0.1", portOf(server), { ssl: clientOptions, serverHostname: "localhost" }));
        expect(error.name).to.equal("SSLError");
        server.close();
        await server.waitClosed();
        expect(called).to.equal(0);
        expect(openDescriptors().size).to.be.below(before);
      }),
    );

    it(
      "A57 silence rejects with ECONNABORTED",
      onLoop(async () => {
        using listener = silent();
        const [, port] = listener.getsockname() as InetAddress;
        const before = openDescriptors().size;
        const error = await failureOf(openConnection("127.0.0.1", port, { ssl: clientOptions, sslHandshakeTimeout: 0.05 }));
        expect(error.code).to.equal("ECONNABORTED");
        expect(openDescriptors().size).to.equal(before);
      }),
    );

    it(
      "A58 cancel() while shaking hands closes the socket",
      onLoop(async (loop) => {
        using listener = silent();
        const [, port] = listener.getsockname() as InetAddress;
        const before = openDescriptors().size;
        const connecting = openConnection("127.0.0.1", port, { ssl: clientOptions });
        await until(loop, () => loop.statistics().timeouts > 1);
        connecting.cancel();
        expect(await failureOf(connecting)).to.be.instanceOf(CancelledError);
        await rounds(loop, 1);
        expect(openDescriptors().size).to.equal(before);
      }),
    );

    it(
      "A61 A70 a client that speaks no TLS never reaches the callback, and the next one does",
      onLoop((loop) => {
        let called = 0;
        return listening(
          (_, writer) => {
            called++;
            writer.close();
          },
          async (port) => {
            const [reader, writer] = await openConnection("127.0.0.1", port);
            writer.write("GET / HTTP/1.0\r\n\r\n");
            await reader.read().catch(() => undefined);
            writer.close();
            await writer.waitClosed().catch(() => undefined);
            expect(called).to.equal(0);
            const [secured, secureWriter] = await openConnection("127.0.0.1", port, { ssl: clientOptions });
            expect(await text(secured.read())).to.equal("");
            secureWriter.close();
            await until(loop, () => called === 1);
          },
        );
      }),
    );

    it(
      "A57 a server's handshake that takes too long is given up",
      onLoop(async () => {
        const server = await startServer(() => undefined, "127.0.0.1", 0, { ssl: serverOptions, sslHandshakeTimeout: 0.05 });
        const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
        expect(await text(reader.read())).to.equal("");
        writer.close();
        server.close();
        await server.waitClosed();
      }),
    );
  });

  describe("startTls", () => {
    it(
      "A36 both ends go on over TLS, with the same readers, whose flow control acts on the new transport",
      onLoop(async (loop) => {
        await using connection = await Connection.make({ limit: 1000 });
        const { reader, writer, peerReader, peerWriter } = connection;
        writer.write("STARTTLS\n");
        expect(await text(peerReader.readline())).to.equal("STARTTLS\n");
        const before = writer.transport;
        // What is queued goes out in clear first.
        peerWriter.write(`${"x".repeat(3 << 20)}\nready\n`);
        const upgraded = peerWriter.startTls(serverOptions);
        expect((await reader.readexactly(3 << 20)).length).to.equal(3 << 20);
        await reader.readline();
        expect(await text(reader.readline())).to.equal("ready\n");
        await Promise.all([upgraded, writer.startTls(clientOptions, { serverHostname: "localhost" })]);
        expect(writer.transport).not.to.equal(before);
        expect(writer.getExtraInfo("cipher")).to.be.an("array");
        writer.write("secret\n");
        expect(await text(peerReader.readline())).to.equal("secret\n");
        writer.write(Buffer.alloc(1 << 20, "y"));
        await until(loop, () => String(peerReader).includes("paused"));
        expect((await peerReader.readexactly(1 << 20)).length).to.equal(1 << 20);
        expect(before.isClosing()).to.equal(true);
        peerWriter.close();
        expect(await text(reader.read())).to.equal("");
      }),
    ).timeout(20_000);

    it(
      "A37 a ClientHello that came early goes into the handshake",
      onLoop(async (loop) => {
        await using connection = await Connection.make();
        const { writer, peerReader, peerWriter } = connection;
        const client = writer.startTls(clientOptions, { serverHostname: "localhost" });
        await until(loop, () => /\d{3} bytes/.test(String(peerReader)));
        await Promise.all([client, peerWriter.startTls(serverOptions)]);
        writer.write("secret\n");
        expect(await text(peerReader.readline())).to.equal("secret\n");
      }),
    );

    it(
      "A37 clear text that was injected fails the handshake, and is never data",
      onLoop(async (loop) => {
        await using connection = await Connection.make();
        const { writer, peerReader, peerWriter } = connection;
        writer.write("injected\n");
        await until(loop, () => String(peerReader).includes("9 bytes"));
        const error = await failureOf(peerWriter.startTls(serverOptions));
        expect(error.name).to.equal("SSLError");
        expect(await failureOf(peerReader.readline())).to.equal(error);
        expect(await failureOf(peerWriter.waitClosed())).to.equal(error);
      }),
    );

    it(
      "A36 a failed handshake closes the connection and rejects",
      onLoop(async () => {
        await using connection = await Connection.make();
        const { reader, writer, peerWriter } = connection;
        const fd = (writer.getExtraInfo("socket") as TransportSocket).fileno();
        const server = failureOf(peerWriter.startTls(serverOptions));
        const error = await failureOf(writer.startTls(clientOptions, { serverHostname: "example.com" }));
        expect(error.message).to.include("example.com");
        expect(await failureOf(writer.waitClosed())).to.equal(error);
        expect(await failureOf(reader.read())).to.equal(error);
        expect(isOpen(fd)).to.equal(false);
        await server;
      }),
    );

    it(
      "A38 the client's name: missing, unchecked; wrong contexts; the connection goes on",
      onLoop(async () => {
        await using connection = await Connection.make();
        const { writer, peerReader, peerWriter } = connection;
        const error = await failureOf(writer.startTls(clientOptions));
        expect(error).to.be.instanceOf(RangeError);
        expect(error.message).to.include("serverHostname");
        for (const context of ["x", true, undefined, 5])
          expect(await failureOf(writer.startTls(context as never))).to.be.instanceOf(TypeError);
        expect(await failureOf(peerWriter.startTls(serverOptions, { serverHostname: "x" }))).to.be.instanceOf(RangeError);
        expect(await failureOf(writer.startTls(clientOptions, { sslHandshakeTimeout: 0 }))).to.be.instanceOf(RangeError);
        expect(await failureOf(writer.startTls(clientOptions, { server: "x" } as never))).to.be.instanceOf(TypeError);
        writer.write("in clear\n");
        expect(await text(peerReader.readline())).to.equal("in clear\n");
        const context = new SSLContext();
        context.verifyMode = 0;
        await Promise.all([writer.startTls(context), peerWriter.startTls(serverOptions)]);
        expect((await failureOf(writer.startTls(context))).message).to.include("TLS already");
        context.close();
      }),
    );

    it(
      "A38 on a closed transport it is an Error",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.close();
        expect((await failureOf(writer.startTls(clientOptions, { serverHostname: "x" }))).message).to.include("closed");
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A36 what is written during the handshake goes out after it, encrypted",
      onLoop(async () => {
        await using connection = await Connection.make();
        const { writer, peerReader, peerWriter } = connection;
        const client = writer.startTls(clientOptions, { serverHostname: "localhost" });
        for (let i = 0; i < 10; i++) await Promise.resolve();
        writer.write("early\n");
        await Promise.all([client, peerWriter.startTls(serverOptions)]);
        expect(await text(peerReader.readline())).to.equal("early\n");
      }),
    );

    it(
      "A36 nor does a write go on with the handshake, whose end nobody would hear of then",
      onLoop(async () => {
        await using connection = await Connection.make();
        const { reader, writer, peerWriter } = connection;
        const upgraded = peerWriter.startTls(serverOptions, { sslHandshakeTimeout: 2 });
        await writer.startTls(clientOptions, { serverHostname: "localhost" });
        // The client's last message has arrived, and the server's end has had no event yet.
        expect(upgraded.done()).to.equal(false);
        peerWriter.write("now\n");
        await upgraded;
        expect(await text(reader.readline())).to.equal("now\n");
      }),
    );

    it(
      "A36 EventLoop.startTls for a protocol of one's own",
      onLoop(async (loop) => {
        const face = getEventLoop();
        const lines: string[] = [];
        class Client extends Protocol {
          override dataReceived(data: Buffer): void {
            lines.push(data.toString());
          }
        }
        const server = await startServer(
          async (reader, writer) => {
            await reader.readline();
            await writer.startTls(serverOptions);
            writer.write("secret");
          },
          "127.0.0.1",
          0,
        );
        const [transport, protocol] = await face.createConnection(() => new Client(), "127.0.0.1", portOf(server));
        transport.write("STARTTLS\n");
        const secured: Transport = await face.startTls(transport, protocol, clientOptions, { serverHostname: "localhost" });
        await until(loop, () => lines.join("") === "secret");
        secured.close();
        server.close();
        server.closeClients();
        await server.waitClosed();
      }),
    );
  });

  describe("with Node's tls", () => {
    it(
      "A57 a client of ours against a server of Node's",
      onLoop(async () => {
        const server = createTlsServer({ cert: testIdentity().chain, key: testIdentity().key }, (socket) =>
          socket.on("error", () => undefined).pipe(socket),
        );
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const [reader, writer] = await openConnection("127.0.0.1", (server.address() as AddressInfo).port, { ssl: clientOptions });
        writer.write("hello\n");
        expect(await text(reader.readline())).to.equal("hello\n");
        writer.close();
        await writer.waitClosed();
        await new Promise((resolve) => server.close(resolve));
      }),
    );

    it(
      "A61 a client of Node's against a server of ours",
      onLoop(() =>
        listening(
          async (reader, writer) => {
            writer.write(await reader.readline());
            writer.close();
          },
          async (port) => {
            const socket: TLSSocket = tlsConnect({ port, host: "127.0.0.1", ca: testAuthority().cert, servername: "localhost" });
            const received = new Promise<string>((resolve, reject) => {
              let all = "";
              socket
                .on("data", (data: Buffer) => (all += data.toString()))
                .on("end", () => resolve(all))
                .on("error", reject);
            });
            socket.write("hello\n");
            expect(await received).to.equal("hello\n");
            socket.destroy();
            await new Promise((resolve) => socket.once("close", resolve));
          },
        ),
      ),
    );
  });

  it("A72 no native TLS object is left", () => {
    const counts = nativeTlsObjects() as unknown as Record<string, number>;
    expect(counts["connections"] ?? 0).to.equal(0);
  });
});
