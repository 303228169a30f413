import { inspect } from "node:util";
import { expect } from "chai";
import { isOpen, socketpair, SO_SNDBUF, SOL_SOCKET } from "../../src/platform/index.js";
import { openConnection, StreamReader, StreamReaderProtocol, StreamWriter, Transport, TransportSocket } from "../../src/asyncio/index.js";
import { injectFault, replaceCall } from "../support/faults.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { Connection, drainSocket, failureOf, onLoop, pair, rounds, text, thrownBy, until } from "./support.js";

describe("StreamWriter", () => {
  describe("write", () => {
    it(
      "A26 sends at once when nothing is queued, and queues a copy otherwise",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.write("abc");
        expect(peer.recv(10)?.toString()).to.equal("abc");
        const block = Buffer.alloc(1 << 20, "x");
        writer.write(block);
        const queued = writer.transport.getWriteBufferSize();
        expect(queued).to.be.above(0);
        block.fill("y");
        const tail = Buffer.from("tail");
        writer.write(tail);
        tail.fill("!");
        expect(writer.transport.getWriteBufferSize()).to.equal(queued + 4);
        writer.close();
        const received = await drainSocket(loop, peer);
        expect(received.length).to.equal((1 << 20) + 4);
        expect(received.includes("y")).to.equal(false);
        expect(received.subarray(-5).toString()).to.equal("xtail");
        peer.close();
      }),
    );

    it(
      "A26 empty data does nothing and no bytes are a TypeError",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        using sends = replaceCall("send", (real) => real);
        writer.write("");
        writer.write(new Uint8Array(0));
        expect(sends.calls).to.equal(0);
        for (const data of [undefined, null, 5, ["a"], {}, new ArrayBuffer(2)]) {
          expect(() => writer.write(data as never)).to.throw(TypeError, /^data is/);
        }
        writer.close();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A27 writelines sends any iterable in order, in one gather write",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        using gathers = replaceCall("sendmsg", (real) => real);
        using sends = replaceCall("send", (real) => real);
        writer.writelines(["a", Buffer.from("b"), "", new Uint8Array([0x63])]);
        expect(gathers.calls).to.equal(1);
        expect(sends.calls).to.equal(0);
        writer.writelines(
          (function* () {
            yield "d";
            yield "e";
          })(),
        );
        writer.writelines([]);
        expect(peer.recv(10)?.toString()).to.equal("abcde");
        writer.transport.abort();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A27 writelines counts toward the mark, and what was sent in part goes on in order",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        const lines = Array.from({ length: 3000 }, (_, i) => `${i}${"-".repeat(300)}\n`);
        writer.writelines(lines);
        expect(writer.transport.getWriteBufferSize()).to.be.above(65536);
        expect(writer.drain().done()).to.equal(false);
        writer.close();
        expect((await drainSocket(loop, peer)).toString()).to.equal(lines.join(""));
        peer.close();
      }),
    );

    it(
      "A27 a bare string, bytes and what holds none are TypeErrors, and nothing is sent",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        for (const data of ["abc", Buffer.from("abc"), 5, undefined, ["a", 5]]) {
          expect(() => writer.writelines(data as never)).to.throw(TypeError);
        }
        expect(peer.recv(10)).to.equal(undefined);
        writer.close();
        await writer.waitClosed();
        peer.close();
      }),
    );
  });

  describe("writeEof", () => {
    it(
      "A28 shuts the sending side once what is queued is out, and reading goes on",
      onLoop(async (loop) => {
        const [reader, writer, peer] = await pair(loop);
        expect(writer.canWriteEof()).to.equal(true);
        writer.write(Buffer.alloc(1 << 20, "x"));
        writer.writeEof();
        writer.writeEof();
        expect(() => writer.write("more")).to.throw(Error, "Cannot call write() after writeEof()");
        expect(() => writer.writelines(["more"])).to.throw(Error, "after writeEof()");
        expect((await drainSocket(loop, peer)).length).to.equal(1 << 20);
        peer.send("answer\n");
        expect(await text(reader.readline())).to.equal("answer\n");
        writer.close();
        writer.writeEof();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A28 after close() it does nothing",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.write(Buffer.alloc(1 << 20));
        writer.close();
        writer.writeEof();
        expect((await drainSocket(loop, peer)).length).to.equal(1 << 20);
        await writer.waitClosed();
        writer.writeEof();
        peer.close();
      }),
    );
  });

  describe("getExtraInfo", () => {
    it(
      "A29 names of both ends, the socket, a fallback",
      onLoop(async () => {
        await using connection = await Connection.make();
        const { writer, peerWriter } = connection;
        expect(writer.getExtraInfo("peername")).to.deep.equal(peerWriter.getExtraInfo("sockname"));
        expect(writer.getExtraInfo("sockname")).to.deep.equal(peerWriter.getExtraInfo("peername"));
        expect(writer.getExtraInfo("socket")).to.be.instanceOf(TransportSocket);
        expect(writer.getExtraInfo("sslcontext")).to.equal(undefined);
        expect(writer.getExtraInfo("nothing")).to.equal(undefined);
        expect(writer.getExtraInfo("nothing", 5)).to.equal(5);
        expect(writer.getExtraInfo("toString")).to.equal(undefined);
      }),
    );

    it(
      'A29 an unnamed unix peer is ""',
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        expect(writer.getExtraInfo("peername", "none")).to.equal("");
        writer.close();
        await writer.waitClosed();
        // Facts outlive the connection.
        expect(writer.getExtraInfo("peername")).to.equal("");
        peer.close();
      }),
    );
  });

  describe("close", () => {
    it(
      "A30 flushes what is queued, then closes the descriptor; waitClosed waits for that",
      onLoop(async (loop) => {
        const [reader, writer, peer] = await pair(loop);
        const fd = (writer.getExtraInfo("socket") as TransportSocket).fileno();
        writer.write(Buffer.alloc(1 << 20));
        writer.close();
        writer.close();
        expect(writer.isClosing()).to.equal(true);
        peer.send("unread");
        const closed = writer.waitClosed();
        await rounds(loop);
        expect(closed.done()).to.equal(false);
        expect(isOpen(fd)).to.equal(true);
        const received = drainSocket(loop, peer);
        await closed;
        expect(isOpen(fd)).to.equal(false);
        await writer.waitClosed();
        await received.catch(() => undefined);
        expect(await text(reader.read())).to.equal("");
        peer.close();
      }),
    );

    it(
      "A30 waitClosed rejects with the error that ended the connection, and nobody has to wait",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        const early = writer.waitClosed();
        const unheard = writer.waitClosed();
        using _fault = injectFault("recv", { errno: "ECONNRESET" });
        peer.send("x");
        expect((await failureOf(early)).code).to.equal("ECONNRESET");
        expect((await failureOf(writer.waitClosed())).code).to.equal("ECONNRESET");
        expect(unheard.done()).to.equal(true);
        void writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A31 after close() the reader is at its end once the rest is read",
      onLoop(async (loop) => {
        const [reader, writer, peer] = await pair(loop);
        peer.send("rest");
        await until(loop, () => String(reader).includes("4 bytes"));
        writer.close();
        await writer.waitClosed();
        expect(reader.atEof()).to.equal(false);
        expect(await text(reader.read(10))).to.equal("rest");
        expect(reader.atEof()).to.equal(true);
        expect(await text(reader.read())).to.equal("");
        peer.close();
      }),
    );

    it(
      "A32 a write after close() is dropped, and from the fifth on warned about",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.write(Buffer.alloc(1 << 20));
        writer.close();
        for (let i = 0; i < 4; i++) writer.write("dropped");
        expect(logRecords().filter(({ level }) => level === "warn")).to.deep.equal([]);
        expectLog("general", "warn", /dropped/, 2);
        writer.write("dropped");
        writer.writelines(["dropped"]);
        expect((await drainSocket(loop, peer)).length).to.equal(1 << 20);
        peer.close();
      }),
    );

    it(
      "A32 so is one after the connection was lost",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        peer.close();
        writer.write("first");
        expectLog("general", "warn", /dropped/, 2);
        for (let i = 0; i < 6; i++) writer.write("dropped");
        expect((await failureOf(writer.waitClosed())).code).to.be.oneOf(["EPIPE", "ECONNRESET"]);
      }),
    );
  });

  describe("drain", () => {
    it(
      "A33 is done at once while the protocol is not paused",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        expect(writer.drain().done()).to.equal(true);
        writer.write("x");
        expect(writer.drain().done()).to.equal(true);
        await writer.drain();
        writer.close();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A33 waits from more than 65,536 queued bytes until 16,384 or fewer; ten may wait",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        const { transport } = writer;
        // Fill the kernel's buffer, so that from here on everything is queued.
        while (transport.getWriteBufferSize() === 0) writer.write(Buffer.alloc(4096));
        writer.write(Buffer.alloc(65536 - transport.getWriteBufferSize()));
        expect(transport.getWriteBufferSize()).to.equal(65536);
        expect(writer.drain().done()).to.equal(true);
        writer.write("x");
        const drains = Array.from({ length: 10 }, () => writer.drain());
        // Slowly, so that what is left is seen on the way.
        while (!drains[0]!.done()) {
          expect(transport.getWriteBufferSize()).to.be.above(16384);
          peer.recv(2048);
          await rounds(loop, 1);
        }
        expect(transport.getWriteBufferSize()).to.be.at.most(16384);
        await Promise.all(drains);
        transport.abort();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A34 rejects with the reader's exception",
      onLoop(async (loop) => {
        const [reader, writer, peer] = await pair(loop);
        const error = new Error("broken");
        reader.setException(error);
        expect(await failureOf(writer.drain())).to.equal(error);
        void writer.drain();
        writer.close();
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A34 on a closing transport one iteration passes, then it rejects",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.close();
        const drain = writer.drain();
        expect(drain.done()).to.equal(false);
        const { iterations } = loop.statistics();
        const error = await failureOf(drain);
        expect(error.code).to.equal("ECONNRESET");
        expect(error.message).to.include("Connection lost");
        expect(loop.statistics().iterations).to.be.above(iterations);
        peer.close();
      }),
    );

    it(
      "A34 a loop of write and drain against a peer that has closed ends",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        peer.close();
        expectLog("general", "warn", /dropped/, "any");
        let turns = 0;
        const error = await failureOf(
          (async () => {
            for (;;) {
              writer.write("x".repeat(1000));
              await writer.drain();
              turns++;
            }
          })(),
        );
        expect(error.code).to.be.oneOf(["ECONNRESET", "EPIPE"]);
        expect(turns).to.be.below(10);
      }),
    );

    it(
      "A35 a waiting drain rejects with the error when the connection breaks",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.write(Buffer.alloc(1 << 20));
        const drain = writer.drain();
        const unheard = writer.drain();
        expect(drain.done()).to.equal(false);
        peer.close();
        expect((await failureOf(drain)).code).to.be.oneOf(["EPIPE", "ECONNRESET"]);
        expect(unheard.done()).to.equal(true);
        await writer.waitClosed().catch(() => undefined);
      }),
    );

    it(
      "A35 and resolves when it ends without one",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.write(Buffer.alloc(1 << 20));
        const drain = writer.drain();
        writer.transport.abort();
        await drain;
        await writer.waitClosed();
        peer.close();
      }),
    );

    it(
      "A33 cancelling a drain leaves the others alone",
      onLoop(async (loop) => {
        const [, writer, peer] = await pair(loop);
        writer.write(Buffer.alloc(1 << 20));
        const [one, other] = [writer.drain(), writer.drain()];
        one.cancel();
        writer.transport.abort();
        await other;
        await writer.waitClosed();
        peer.close();
      }),
    );
  });

  describe("flow control on real sockets", () => {
    it(
      "A21 A33 a reader that does not read stops the peer: bounded memory at both ends",
      onLoop(async (loop) => {
        await using connection = await Connection.make({ limit: 4096 });
        const { writer, peerReader } = connection;
        const socket = writer.getExtraInfo("socket") as TransportSocket;
        socket.setsockopt(SOL_SOCKET, SO_SNDBUF, 32768);
        let sent = 0;
        const piece = Buffer.alloc(8192, "x");
        const sending = (async () => {
          while (sent < 64 << 20) {
            writer.write(piece);
            sent += piece.length;
            await writer.drain();
          }
          writer.writeEof();
        })();
        let last = -1;
        while (sent !== last) {
          last = sent;
          await rounds(loop, 20);
        }
        // What the kernel has on both sides, one read of 256 KiB, the queue's mark.
        expect(sent).to.be.below(16 << 20);
        expect(writer.transport.getWriteBufferSize()).to.be.at.most(65536 + piece.length);
        const buffered = Number(/(\d+) bytes/.exec(String(peerReader))?.[1]);
        expect(buffered).to.be.within(2 * 4096 + 1, 2 * 4096 + 262144);
        expect(String(peerReader)).to.include("paused");
        let received = 0;
        for (;;) {
          const bytes = await peerReader.read(65536);
          if (bytes.length === 0) break;
          received += bytes.length;
        }
        await sending;
        expect(received).to.equal(64 << 20);
      }),
    ).timeout(20_000);

    it(
      "A22 readexactly of far more than the limit does not deadlock",
      onLoop(async () => {
        await using connection = await Connection.make({ limit: 1000 });
        const { writer, peerReader } = connection;
        const reading = peerReader.readexactly(1 << 20);
        writer.write(Buffer.alloc(1 << 20, "x"));
        expect((await reading).length).to.equal(1 << 20);
      }),
    );
  });

  it(
    "A25 the writer's text names transport and reader",
    onLoop(async (loop) => {
      const [, writer, peer] = await pair(loop);
      expect(inspect(writer)).to.match(
        /^<StreamWriter transport=<SocketTransport fd=\d+ open write=0> reader=<StreamReader transport=.*>>$/s,
      );
      writer.close();
      await writer.waitClosed();
      peer.close();
    }),
  );

  it(
    "A30 leaving an await using block closes and waits",
    onLoop(async (loop) => {
      const [ours, peer] = socketpair();
      {
        await using writer = (await openConnection({ sock: ours, loop }))[1];
        writer.write("bye");
      }
      expect(ours.closed).to.equal(true);
      expect((await drainSocket(loop, peer)).toString()).to.equal("bye");
      peer.close();
    }),
  );

  it(
    "A26 a writer around something that is no transport is a TypeError; one without a StreamReaderProtocol cannot drain",
    onLoop(async (loop) => {
      const protocol = new StreamReaderProtocol(new StreamReader({ loop }));
      expect(() => new StreamWriter({} as never, protocol, undefined, loop)).to.throw(TypeError, /^transport is/);
      const written: unknown[] = [];
      class Sink extends Transport {
        override write(data: unknown): void {
          written.push(data);
        }

        override isClosing(): boolean {
          return false;
        }
      }
      const foreign = new StreamWriter(new Sink(), {} as never, undefined, loop);
      foreign.write("x");
      expect(written).to.deep.equal(["x"]);
      expect((await failureOf(foreign.drain())).message).to.include("StreamReaderProtocol");
      expect(thrownBy(() => foreign.writeEof()).message).to.include("not implemented");
    }),
  );
});
