/** 2.O: handshake, bytes and ends of TLS streams. `startTls` and verification have files of their own. */
import { expect } from "chai";
import sinon from "sinon";
import { IOLoop } from "../../src/ioloop/index.js";
import { SSLIOStream, type StreamClosedError } from "../../src/iostream/index.js";
import { IPPROTO_TCP, MSG_PEEK, openDescriptors, SHUT_WR, Socket, SO_LINGER, SOL_SOCKET, TCP_NODELAY } from "../../src/platform/index.js";
import { nativeTlsObjects, SSLContext, sslOptionsToContext, SSLSocket, sslWrapSocket } from "../../src/ssl/index.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { eachStream, failure, listenTcp, randomNumbers, tcpSockets, thrown, tlsSockets, usual } from "./kinds.js";
import { accepted, clientOptions, serverOptions, shakenPair, tlsPair, unconnected } from "./tls-streams.js";

const choice = { kinds: ["tcp"] } as const;

describe("TLS streams", () => {
  eachStream((it) => {
    it("S3 S147 over a connected socket the handshake starts by itself, in the next turn and not in the constructor", async (test) => {
      const { server, client } = tlsPair(test);
      expect([server._state, client._state]).to.deep.equal([IOLoop.ERROR | IOLoop.WRITE, IOLoop.ERROR | IOLoop.WRITE]);
      expect(client.socket._established).to.equal(false);
      await test.until(() => !server._sslAccepting && !client._sslAccepting);
      await client.write("hello");
      expect(String(await server.readBytes(5))).to.equal("hello");
    });

    it("S147 S148 over an unconnected one after connect, which settles after the handshake, with the stream", async (test) => {
      const { client, listener, port } = unconnected(test);
      expect([client._state, client.socket.cipher()]).to.deep.equal([undefined, undefined]);
      let settled = false;
      const connecting = client.connect(["127.0.0.1", port], { serverHostname: "localhost" });
      void connecting.then(() => (settled = true));
      await test.until(() => client._handshakeReading);
      await test.turns(3);
      expect([settled, client.reading(), client.socket.cipher()]).to.deep.equal([false, true, undefined]);
      const server = test.track(new SSLIOStream(accepted(listener), { ioLoop: test.loop, serverSide: true, sslOptions: serverOptions() }));
      listener.close();
      expect(await connecting).to.equal(client);
      expect(client.socket.cipher()).to.not.equal(undefined);
      await server.write("x");
      expect(String(await client.readBytes(1))).to.equal("x");
      expect(thrown(() => client.connect(["127.0.0.1", port])).message).to.match(/^Already connected/);
    });

    it("S148 connect with a callback, and a TCP failure", async (test) => {
      const { client, listener, port } = unconnected(test);
      const seen: unknown[][] = [];
      client.connect(["127.0.0.1", port], (...args: unknown[]) => seen.push(args), { serverHostname: "localhost" });
      expect(thrown(() => client.connect(["127.0.0.1", port])).message).to.match(/^Already connecting/);
      await test.until(() => client._handshakeReading);
      test.track(new SSLIOStream(accepted(listener), { ioLoop: test.loop, serverSide: true, sslOptions: serverOptions() }));
      listener.close();
      await test.until(() => seen.length > 0);
      expect(seen).to.deep.equal([[]]);
      const other = test.track(new SSLIOStream(new Socket(), { ioLoop: test.loop, sslOptions: clientOptions() }));
      const error = (await failure(other.connect(["127.0.0.1", port], { serverHostname: "localhost" }))) as StreamClosedError;
      expect(error.name).to.equal("StreamClosedError");
      expect(error.realError).to.include({ code: "ECONNREFUSED", port });
    });

    it("S149 S150 waitForHandshake gives the stream; the facts are there afterwards", async (test) => {
      const { server, client } = tlsPair(
        test,
        { sslOptions: serverOptions({ alpnProtocols: ["b", "a"] }) },
        { sslOptions: clientOptions({ alpnProtocols: ["a", "b"] }) },
      );
      const facts = (stream: SSLIOStream): unknown[] => [
        stream.socket.cipher(),
        stream.socket.version(),
        stream.socket.selectedAlpnProtocol(),
      ];
      expect(facts(client)).to.deep.equal([undefined, undefined, undefined]);
      expect(client.socket.getpeercert()).to.equal(undefined);
      expect(await Promise.all([server.waitForHandshake(), client.waitForHandshake()])).to.deep.equal([server, client]);
      for (const stream of [server, client])
        expect(facts(stream)).to.deep.equal([["TLS_AES_256_GCM_SHA384", "TLSv1.3", 256], "TLSv1.3", "b"]);
      expect([client.socket.getpeercert()?.subject, server.socket.getpeercert()]).to.deep.equal(["CN=localhost", undefined]);
      expect([server.socket.serverSide, client.socket.serverHostname]).to.deep.equal([true, "localhost"]);
    });

    it("S150 S151 the callback form gets no arguments, scheduled; while one wait is pending another throws", async (test) => {
      const { server, client } = tlsPair(test);
      const seen: unknown[] = [];
      client.waitForHandshake((...args: unknown[]) => seen.push(args));
      const waiting = server.waitForHandshake();
      for (const stream of [server, client]) {
        expect(thrown(() => stream.waitForHandshake()).message).to.match(/^Already waiting/);
        expect(thrown(() => stream.waitForHandshake(() => undefined)).message).to.match(/^Already waiting/);
      }
      expect(thrown(() => client.waitForHandshake(5 as never))).to.be.instanceOf(TypeError);
      await waiting;
      await test.until(() => seen.length > 0);
      expect(seen).to.deep.equal([[]]);
      client.waitForHandshake(() => seen.push("again"));
      expect(seen).to.have.length(1);
      await test.until(() => seen.length > 1);
    });

    it("S151 a connect that is pending is a wait too", async (test) => {
      const { client, listener, port } = unconnected(test);
      const connecting = client.connect(["127.0.0.1", port], { serverHostname: "localhost" });
      expect(thrown(() => client.waitForHandshake()).message).to.match(/^Already waiting/);
      await test.until(() => client._handshakeReading);
      expect(thrown(() => client.waitForHandshake()).message).to.match(/^Already waiting/);
      listener.close();
      await failure(connecting);
    });

    it("S152 after the handshake it is done at return, any number of times", async (test) => {
      const { client } = await shakenPair(test);
      for (let i = 0; i < 3; i++) expect(client.waitForHandshake().done()).to.equal(true);
    });

    it("S153 S154 closing before fails it; on a closed stream it throws", async (test) => {
      const { server, client } = tlsPair(test);
      const [waiting, reason] = [client.waitForHandshake(), new Error("enough")];
      client.close(reason);
      const error = (await failure(waiting)) as StreamClosedError;
      expect([error.name, error.realError]).to.deep.equal(["StreamClosedError", reason]);
      expect((thrown(() => client.waitForHandshake()) as StreamClosedError).realError).to.equal(reason);
      await test.until(() => server.closed());
    });

    it("S155 before it reads wait, writes queue and keep their order", async (test) => {
      const { client, listener, port } = unconnected(test);
      const connecting = client.connect(["127.0.0.1", port], { serverHostname: "localhost" });
      const writes = [client.write("one "), client.write("two ")];
      const read = client.readUntil("\n");
      await test.until(() => client._handshakeReading);
      writes.push(client.write("three"));
      await test.turns(3);
      expect([...writes, read].map((each) => each.done())).to.deep.equal([false, false, false, false]);
      expect([client.reading(), client.writing()]).to.deep.equal([true, true]);
      // A queued write does not make it ask for WRITE, which would fire for ever.
      expect(client._state).to.equal(IOLoop.ERROR | IOLoop.READ);
      const spy = sinon.spy(client, "_handleEvents");
      await test.turns(5);
      expect(spy.callCount).to.equal(0);
      const server = test.track(new SSLIOStream(accepted(listener), { ioLoop: test.loop, serverSide: true, sslOptions: serverOptions() }));
      listener.close();
      await Promise.all([connecting, ...writes]);
      expect(String(await server.readBytes(13))).to.equal("one two three");
      await server.write("back\n");
      expect(String(await read)).to.equal("back\n");
    });

    it("S155 reading() and writing() tell what the handshake waits for", async (test) => {
      const { client } = tlsPair(test, { sslOptions: serverOptions() });
      await test.until(() => client._handshakeReading || !client._sslAccepting);
      expect(client.reading()).to.equal(client._handshakeReading);
      client._handshakeWriting = true;
      expect(client.writing()).to.equal(true);
      client._handshakeWriting = false;
    });

    it("S156 data in the same segment as the last message of the handshake are delivered", async (test) => {
      // The client's last message and its first data, written together; the server then gets no further event.
      const [a, b] = tcpSockets();
      b.setsockopt(IPPROTO_TCP, TCP_NODELAY, true);
      const server = test.track(new SSLIOStream(a, { ioLoop: test.loop, serverSide: true, sslOptions: serverOptions() }));
      using context = sslOptionsToContext(clientOptions({ maxVersion: "TLSv1.3" }));
      using client = sslWrapSocket(b, context, { serverHostname: "localhost" });
      expect(client.doHandshake()).to.equal(2);
      await test.until(() => server._handshakeReading);
      const read = server.readUntil("\n");
      expect(client.doHandshake()).to.equal(0);
      client.send("at once\n");
      const events = sinon.spy(server, "_handleEvents");
      expect(String(await read)).to.equal("at once\n");
      expect(events.callCount).to.be.lessThan(3);
    });

    it("S145 Nagle's algorithm is off from the handshake on, until somebody wants it", async (test) => {
      const { server, client } = await shakenPair(test);
      for (const { socket } of [server, client]) expect(socket.getsockopt(IPPROTO_TCP, TCP_NODELAY)).to.equal(1);
      client.setNodelay(false);
      expect(client.socket.getsockopt(IPPROTO_TCP, TCP_NODELAY)).to.equal(0);
    });

    it("S174 bytes that are decrypted and unread complete reads without traffic", async (test) => {
      const { server, client } = await shakenPair(test, { readChunkSize: 1024, maxBufferSize: 4096 });
      const record = Buffer.from(Array.from({ length: 16384 }, (_, i) => i % 251));
      // No event tells of what OpenSSL holds, so this would hang if the poller alone were asked.
      await client.write(record);
      const got: Buffer[] = [];
      for (let i = 0; i < 16; i++) got.push(await server.readBytes(1024));
      expect(Buffer.concat(got).equals(record)).to.equal(true);
      // The same with callbacks, with the reads beginning before, and with many records in one segment.
      for (let i = 0; i < 50; i++) void client.write(record.subarray(i, i + 40));
      for (let i = 0; i < 50; i++) expect((await server.readBytes(40)).equals(record.subarray(i, i + 40))).to.equal(true);
      const pieces: Buffer[] = [];
      let whole: Buffer | undefined;
      server.readBytes(16384, (rest) => (whole = rest), { streamingCallback: (piece) => pieces.push(piece) });
      await client.write(record);
      await test.until(() => whole !== undefined);
      expect(Buffer.concat(pieces).equals(record)).to.equal(true);
    });

    it("S174 an idle stream sees a close_notify behind data that came with it", async (test) => {
      const { server, client } = await shakenPair(test);
      let closed = 0;
      server.setCloseCallback(() => closed++);
      await client.write("line\n");
      client.socket.shutdown(SHUT_WR);
      expect(String(await server.readUntil("\n"))).to.equal("line\n");
      await test.until(() => closed === 1);
      expect(server.error).to.equal(undefined);
    });

    for (const notify of [true, false]) {
      it(`S176 the peer's close ${notify ? "with" : "without"} close_notify delivers all before it, then a plain close`, async (test) => {
        const { server, client } = await shakenPair(test);
        let closed = 0;
        server.setCloseCallback(() => closed++);
        const all = server.readUntilClose();
        await client.write(Buffer.alloc(200_000, "x"));
        if (notify) client.close();
        else bareClose(client);
        expect((await all).length).to.equal(200_000);
        await test.until(() => closed === 1);
        if (notify) expect(server.error).to.equal(undefined);
        else expect(server.error).to.include({ name: "SSLError", code: "ERR_SSL_UNEXPECTED_EOF_WHILE_READING" });
        // The end that has only stopped sending hears of it by an alert.
        if (!notify) expectLog("general", "warn", /^error on read\n.*alert decode error/, "any");
      });
    }

    it("S176 S112 a read that the end leaves unsatisfied fails, and says why only where there is an error", async (test) => {
      const { server, client } = await shakenPair(test);
      const read = server.readBytes(10);
      await client.write("abc");
      client.close();
      expect(((await failure(read)) as StreamClosedError).realError).to.equal(undefined);
      expect(String(await server.readUntilClose())).to.equal("abc");
    });

    it("S177 a write after the peer's shutdown fails as after any reset, and is not thrown", async (test) => {
      const { server, client } = await shakenPair(test);
      server.setCloseCallback(() => undefined);
      resetOnClose(client.socket);
      client.close();
      const write = server.write(Buffer.alloc(1_000_000));
      const again = server.closed() ? undefined : server.write("x");
      for (const each of [write, again]) if (each !== undefined) expect((await failure(each)).name).to.equal("StreamClosedError");
      expect(["EPIPE", "ECONNRESET"]).to.include((server.error as NodeJS.ErrnoException).code);
    });

    it("S172 an end or a reset during the handshake is quiet and fails it", async (test) => {
      for (const reset of [false, true]) {
        for (const from of ["client", "server"] as const) {
          const [a, b] = tcpSockets();
          const [ours, theirs] = from === "client" ? [a, b] : [b, a];
          const options =
            from === "client"
              ? { serverSide: true, sslOptions: serverOptions() }
              : { serverHostname: "localhost", sslOptions: clientOptions() };
          const stream = test.track(new SSLIOStream(ours, { ioLoop: test.loop, ...options }));
          const waiting = stream.waitForHandshake();
          if (from === "client") theirs.send(Uint8Array.of(22, 3, 1));
          await test.until(() => stream._handshakeReading);
          if (reset) resetOnClose(theirs);
          theirs.close();
          const error = (await failure(waiting)) as StreamClosedError;
          expect(error.name).to.equal("StreamClosedError");
          expect(error.realError).to.include({ code: "ECONNRESET" });
        }
      }
    });

    it("S171 clear text fails the handshake of a server and of a client, both ends close", async (test) => {
      for (const side of ["server", "client"] as const) {
        const [a, b] = tcpSockets();
        const options =
          side === "server"
            ? { serverSide: true, sslOptions: serverOptions() }
            : { serverHostname: "localhost", sslOptions: clientOptions() };
        const stream = test.track(new SSLIOStream(a, { ioLoop: test.loop, ...options }));
        let closed = 0;
        stream.setCloseCallback(() => closed++);
        const waiting = stream.waitForHandshake();
        b.send("220 mail.example.com at your service\r\n");
        const error = (await failure(waiting)) as StreamClosedError;
        expect((error.realError as NodeJS.ErrnoException).code).to.match(/^ERR_SSL_/);
        expect(stream.error).to.equal(error.realError);
        await test.until(() => closed === 1);
        // The other end reads what there is (an alert, a hello) and then the end.
        for (let end = false; !end; await test.turns()) end = receivedEnd(b);
        b.close();
      }
      expectLog("general", "warn", /^SSL Error on \d+ 127\.0\.0\.1:\d+\n.*SSLError: TLS handshake failed: /, 2);
    });

    it("S172 a server without a certificate: the handshake fails on both ends", async (test) => {
      const { server, client } = tlsPair(test, { sslOptions: {} });
      const errors = (await Promise.all([failure(server.waitForHandshake()), failure(client.waitForHandshake())])) as StreamClosedError[];
      const [ours, theirs] = errors.map(({ realError }) => (realError as NodeJS.ErrnoException).code);
      expect(ours).to.equal("ERR_SSL_NO_SHARED_CIPHER");
      // OpenSSL 3.0 calls the alert "sslv3 alert handshake failure", 3.5 "ssl/tls alert handshake failure".
      expect(theirs).to.match(/^ERR_SSL_.*_ALERT_HANDSHAKE_FAILURE$/);
      expectLog("general", "warn", /^SSL Error on/, 2);
    });
  }, choice);

  eachStream(
    (it) => {
      it("S173 8 MB in one write and 4 MB in 1 KB writes arrive intact, both ways at once", async (test) => {
        const { server, client } = await shakenPair(test);
        const random = randomNumbers(7);
        const big = Buffer.from(Uint32Array.from({ length: 2_000_000 }, () => random(0xffffffff)).buffer);
        const half = big.subarray(0, 4_096_000);
        const jobs: PromiseLike<unknown>[] = [];
        for (const stream of [server, client]) {
          const got = stream.readBytes(big.length + half.length);
          jobs.push(stream.write(big));
          for (let at = 0; at < half.length; at += 1024) jobs.push(stream.write(half.subarray(at, at + 1024)));
          jobs.push(
            got.then((bytes) => {
              expect(bytes.subarray(0, big.length).equals(big) && bytes.subarray(big.length).equals(half)).to.equal(true);
            }),
          );
        }
        await Promise.all(jobs);
      });

      it("S173 16 MB in both directions at once", async (test) => {
        const { server, client } = await shakenPair(test);
        const data = Buffer.alloc(16 << 20, "0123456789abcdef+");
        const [one, two] = await Promise.all([
          server.readBytes(data.length),
          client.readBytes(data.length),
          server.write(data),
          client.write(data),
        ]);
        expect([one.equals(data), two.equals(data)]).to.deep.equal([true, true]);
      });

      it("S173 no call gets more than 1 GB", async () => {
        const [server, client] = tlsSockets();
        // Memory that is never touched costs nothing; all that matters is the length.
        const most = new Uint8Array(2 ** 31 + 1024);
        expect(client.send(most)).to.equal(16384);
        for (let got: number | undefined; got === undefined;) got = server.recvInto(most);
        server.close();
        client.close();
      });

      it("S175 with nobody reading, what TLS holds is bounded, and the sender waits", async (test) => {
        const { server, client } = await shakenPair(test);
        const write = client.write(Buffer.alloc(30_000_000));
        await server.readBytes(1);
        await test.turns(20);
        expect(write.done()).to.equal(false);
        expect(server._readBufferSize).to.be.at.most(4 * 65536);
        expect(server.socket.pending()).to.be.at.most(16384);
        const waiting = client._writeBuffer?.length ?? 0;
        await test.turns(20);
        expect(client._writeBuffer?.length).to.equal(waiting).and.to.be.greaterThan(10_000_000);
      });

      it("S186 a closed TLS stream is collectable, and so are its context and socket", async (test) => {
        const make = async (): Promise<WeakRef<object>[]> => {
          const [a, b] = tcpSockets();
          const server = new SSLIOStream(a, { ioLoop: test.loop, serverSide: true, sslOptions: serverOptions() });
          const client = new SSLIOStream(b, { ioLoop: test.loop, serverHostname: "localhost", sslOptions: clientOptions() });
          await Promise.all([server.waitForHandshake(), client.waitForHandshake()]);
          const refs = [server, client, server.socket, client.socket.context].map((each) => new WeakRef<object>(each));
          server.close();
          client.close();
          return refs;
        };
        const refs = await make();
        // The loop may keep the last events it has dispatched until the next come.
        await make();
        for (let i = 0; i < 5; i++) {
          await test.turns(2);
          await new Promise((resolve) => setImmediate(resolve));
          (globalThis as unknown as { gc: () => void }).gc();
        }
        expect(refs.map((each) => each.deref())).to.deep.equal([undefined, undefined, undefined, undefined]);
      });

      it("S187 a failed handshake that nobody looks at makes no noise but its log line", async (test) => {
        const { server, client } = tlsPair(test, {}, { serverHostname: "wrong.example" });
        server.waitForHandshake();
        client.waitForHandshake();
        await test.until(() => server.closed() && client.closed());
        await test.turns(3);
        expectLog("general", "warn", /^SSL Error on/, "any");
      });
    },
    { ...choice, combinations: usual },
  );

  it("S185 1,000 handshakes in a row, a tenth of them failing, leave no descriptor, handler, native object or memory", async function () {
    this.timeout(60_000);
    const loop = makeLoop();
    using serverContext = sslOptionsToContext(serverOptions(), true);
    using clientContext = sslOptionsToContext(clientOptions());
    const [listener, port] = listenTcp();
    const round = async (name: string): Promise<void> => {
      const client = new SSLIOStream(new Socket(), { ioLoop: loop, sslOptions: clientContext });
      const connecting = client.connect(["127.0.0.1", port], { serverHostname: name });
      const server = new SSLIOStream(accepted(listener), { ioLoop: loop, sslOptions: serverContext, serverSide: true });
      if (name === "localhost") {
        await connecting;
        await client.write("ping\n");
        await server.readUntil("\n");
      } else {
        await failure(connecting);
      }
      server.close();
      client.close();
    };
    const rounds = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await round(i % 10 === 9 ? "wrong.example" : "localhost");
      (globalThis as unknown as { gc: () => void }).gc();
    };
    await loop.runSync(async () => {
      await rounds(200);
      const before = [openDescriptors().length, loop.statistics().handlers, nativeTlsObjects()];
      const memory = process.memoryUsage().rss;
      await rounds(1000);
      expect([openDescriptors().length, loop.statistics().handlers, nativeTlsObjects()]).to.deep.equal(before);
      // A connection forgotten each time would be 30 MB and more.
      expect(process.memoryUsage().rss - memory).to.be.lessThan(25_000_000);
    });
    listener.close();
    expectLog("general", "warn", /^SSL Error on/, "any");
  });

  it("S147 a stream over a socket whose handshake is done starts at once, and the context is the socket's", async () => {
    const loop = makeLoop();
    const [a, b] = tlsSockets();
    const [server, client] = [new SSLIOStream(a, { ioLoop: loop }), new SSLIOStream(b, { ioLoop: loop })];
    expect([server._sslAccepting, server._state]).to.deep.equal([false, undefined]);
    using other = new SSLContext();
    expect(() => new SSLIOStream(a, { ioLoop: loop, sslOptions: other })).to.throw(RangeError, "has its sslOptions already");
    await loop.runSync(async () => {
      await server.write("hi");
      expect(String(await client.readBytes(2))).to.equal("hi");
      server.close();
      client.close();
    });
  });

  it("S97 close loses nothing and resets nothing, though session tickets came that nobody has read", () => {
    for (const numTickets of [0, 2]) {
      using context = sslOptionsToContext(serverOptions(), true);
      if (numTickets > 0) context.numTickets = numTickets;
      expect(context.numTickets).to.equal(numTickets);
      const [a, b] = tcpSockets();
      using server = sslWrapSocket(a, context, { serverSide: true });
      const client = sslWrapSocket(b, clientOptions(), { serverHostname: "localhost" });
      for (let i = 0; i < 5; i++) if (client.doHandshake() + server.doHandshake() === 0) break;
      // By default there are none: a client that never reads has nothing unread.
      const waiting = Socket.prototype.recv.call(client, 1, MSG_PEEK);
      expect(waiting?.length).to.equal(numTickets > 0 ? 1 : undefined);
      // More than the other end's window: a reset would drop what waits in our kernel.
      const record = Buffer.alloc(16384, "x");
      let sent = 0;
      for (let count = client.send(record); count !== undefined && sent < 2_000_000; count = client.send(record)) sent += count;
      client.close();
      let got = 0;
      for (let piece = server.recv(16384); piece?.length !== 0; piece = server.recv(16384)) got += piece?.length ?? 0;
      expect(got).to.be.at.least(sent);
    }
  });

  it("S129 a small message costs one read call: the one that would meet EAGAIN is saved", async () => {
    const loop = makeLoop();
    const [a, b] = tlsSockets();
    const [server, client] = [new SSLIOStream(a, { ioLoop: loop }), new SSLIOStream(b, { ioLoop: loop })];
    await loop.runSync(async () => {
      const read = server.readUntil("\n");
      const calls = sinon.spy(server.socket, "recvInto");
      await client.write("a line\n");
      await read;
      const next = server.readUntil("\n");
      expect(calls.callCount).to.equal(1);
      await client.write("another line\n");
      await next;
      expect(calls.callCount).to.equal(2);
      server.close();
      client.close();
    });
  });

  it("S148 an SSLSocket that is not connected is connected and shakes hands for the name it was made with", async () => {
    const loop = makeLoop();
    const [listener, port] = listenTcp();
    const client = new SSLIOStream(sslWrapSocket(new Socket(), clientOptions(), { serverHostname: "localhost" }), { ioLoop: loop });
    expect(client._state).to.equal(undefined);
    const connecting = client.connect(["127.0.0.1", port]);
    const server = new SSLIOStream(accepted(listener), { ioLoop: loop, serverSide: true, sslOptions: serverOptions() });
    await loop.runSync(() => connecting);
    expect(client.socket.serverHostname).to.equal("localhost");
    for (const each of [listener, server, client]) each.close();
  });

  it("a read that must first send goes on when the descriptor is writable", async () => {
    const loop = makeLoop();
    const [a, b] = tlsSockets();
    const [server, client] = [new SSLIOStream(a, { ioLoop: loop }), new SSLIOStream(b, { ioLoop: loop })];
    await loop.runSync(async () => {
      // As OpenSSL answers when it owes a key update (RFC 8446, 4.6.3) and the kernel takes nothing: not to be provoked by a peer alone.
      const real = a.recvInto.bind(a);
      a.recvInto = () => {
        a._wantsWrite = true;
        a.recvInto = (...args) => {
          a._wantsWrite = false;
          return real(...args);
        };
        return undefined;
      };
      client.write("go on");
      const read = server.readBytes(5);
      expect([server.writing(), server._state]).to.deep.equal([true, IOLoop.ERROR | IOLoop.READ | IOLoop.WRITE]);
      expect(String(await read)).to.equal("go on");
      expect(server.writing()).to.equal(false);
      server.close();
      client.close();
    });
  });

  it("S70 a record that was tampered with closes the stream with what TLS says, and one warning", async () => {
    const loop = makeLoop();
    const [a, b] = tlsSockets();
    const [server, client] = [new SSLIOStream(a, { ioLoop: loop }), new SSLIOStream(b, { ioLoop: loop })];
    await loop.runSync(async () => {
      const read = server.readBytes(100);
      await client.write("good");
      Socket.prototype.send.call(b, Buffer.concat([Buffer.of(23, 3, 3, 0, 40), Buffer.alloc(40, 1)]));
      const error = (await failure(read)) as StreamClosedError;
      expect(error.realError).to.include({ name: "SSLError", code: "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC" });
      expect(String(await server.readUntilClose())).to.equal("good");
      expectLog("general", "warn", /^error on read\n.*bad record mac/);
      client.close();
    });
  });

  it("S108 a loop that is closed with TLS streams open frees them", () => {
    const loop = new IOLoop({ makeCurrent: false });
    const [a, b] = tcpSockets();
    const server = new SSLIOStream(a, { ioLoop: loop, serverSide: true, sslOptions: serverOptions() });
    const client = new SSLIOStream(b, { ioLoop: loop, serverHostname: "localhost", sslOptions: clientOptions() });
    expect(nativeTlsObjects().connections).to.be.at.least(2);
    loop.close(true);
    expect([server.closed(), client.closed()]).to.deep.equal([true, true]);
    expect([server.fileno(), client.fileno()]).to.deep.equal([-1, -1]);
  });

  it("a stream may be closed inside the server's own handshake callback", async () => {
    const loop = makeLoop();
    const [a, b] = tcpSockets();
    const server: SSLIOStream = new SSLIOStream(a, {
      ioLoop: loop,
      serverSide: true,
      sslOptions: serverOptions({ sniCallback: () => server.close() }),
    });
    const client = new SSLIOStream(b, { ioLoop: loop, serverHostname: "localhost", sslOptions: clientOptions() });
    await loop.runSync(async () => {
      const waits = [server.waitForHandshake(), client.waitForHandshake()];
      for (const each of waits) expect((await failure(each)).name).to.equal("StreamClosedError");
    });
    expectLog("general", "warn", /^SSL Error on .*\n.*alert user cancelled/);
    expect([server.closed(), server.socket.fileno(), client.closed()]).to.deep.equal([true, -1, true]);
  });

  it("wrong options throw from the constructor, and the socket is as it was", () => {
    const loop = makeLoop();
    const [a, b] = tcpSockets();
    for (const [options, type, message] of [
      [{ sslOptions: 5 }, TypeError, "sslOptions is 5"],
      [{ serverSide: "yes" }, TypeError, "serverSide is 'yes'"],
      [{ servername: "x" }, TypeError, "Unknown option 'servername'"],
      [{ serverSide: true, serverHostname: "x", sslOptions: {} }, RangeError, "on the server side"],
      [{ serverHostname: "", sslOptions: clientOptions() }, RangeError, "serverHostname is"],
      [{ serverHostname: "a\0b", sslOptions: clientOptions() }, RangeError, "use a host name"],
      [{ sslOptions: clientOptions() }, RangeError, "no serverHostname is given"],
      [{ sslOptions: { cert: "nothing" } }, Error, "There is no certificate in cert"],
    ] as const) {
      expect(() => new SSLIOStream(a, { ioLoop: loop, ...(options as object) }), message).to.throw(type, message);
      expect([a.closed, a.fileno() > 0, loop.statistics().handlers]).to.deep.equal([false, true, 0]);
    }
    expect(() => new SSLIOStream({} as never)).to.throw(TypeError, "pass a Socket");
    expect(SSLSocket.prototype).to.be.instanceOf(Socket);
    a.close();
    b.close();
  });
});

/** Closes the descriptor as a process that dies does: without close_notify. */
function bareClose(stream: SSLIOStream): void {
  Socket.prototype.shutdown.call(stream.socket, SHUT_WR);
}

function resetOnClose(socket: Socket): void {
  // struct linger { int l_onoff; int l_linger; }
  socket.setsockopt(SOL_SOCKET, SO_LINGER, new Uint8Array(Int32Array.of(1, 0).buffer));
}

function receivedEnd(socket: Socket): boolean {
  try {
    return socket.recv(65536)?.length === 0;
  } catch (error) {
    expect(error).to.include({ code: "ECONNRESET" });
    return true;
  }
}
