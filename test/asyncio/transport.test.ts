import { expect } from "chai";
import { IOLoop } from "../../src/ioloop/index.js";
import { AF_UNIX, IPPROTO_TCP, isOpen, type Socket, socketpair, TCP_NODELAY } from "../../src/platform/index.js";
import {
  BaseTransport,
  createConnection,
  getEventLoop,
  Protocol,
  ReadTransport,
  StreamReader,
  StreamReaderProtocol,
  StreamWriter,
  Transport,
  type TransportSocket,
  WriteTransport,
} from "../../src/asyncio/index.js";
import { injectFault, replaceCall } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { realDelay } from "../support/real-timers.js";
import { Connection, drainSocket, failureOf, onLoop, pair, rounds, thrownBy, until } from "./support.js";

/** Notes what it is told. */
class Recorder extends Protocol {
  readonly calls: string[] = [];
  transport: Transport | undefined;
  keepOpen = false;
  lost: Error | undefined;

  override connectionMade(transport: Transport): void {
    this.transport = transport;
    this.calls.push("made");
  }

  override dataReceived(data: Buffer): void {
    this.calls.push(`data ${data.toString()}`);
  }

  override eofReceived(): boolean {
    this.calls.push("eof");
    return this.keepOpen;
  }

  override connectionLost(error?: Error): void {
    this.lost = error;
    this.calls.push("lost");
  }

  override pauseWriting(): void {
    this.calls.push("pause");
  }

  override resumeWriting(): void {
    this.calls.push("resume");
  }
}

async function connected<P extends Protocol>(protocol: P): Promise<[Transport, P, Socket]> {
  const [ours, peer] = socketpair();
  const [transport] = await createConnection(() => protocol, { sock: ours });
  return [transport, protocol, peer];
}

describe("transports and protocols", () => {
  it(
    "A39 made, data, eof, lost, in this order, as callbacks of the loop",
    onLoop(async (loop) => {
      const inLoop: boolean[] = [];
      class Watched extends Recorder {
        override connectionLost(error?: Error): void {
          super.connectionLost(error);
          inLoop.push(IOLoop.current(false) === loop && !inClose);
        }
      }
      let inClose = false;
      const [transport, protocol, peer] = await connected(new Watched());
      expect(protocol.transport).to.equal(transport);
      expect(transport.getProtocol()).to.equal(protocol);
      peer.send("one");
      await until(loop, () => protocol.calls.length > 1);
      peer.close();
      await until(loop, () => protocol.calls.includes("lost"));
      inClose = true;
      transport.close();
      transport.abort();
      inClose = false;
      await rounds(loop);
      expect(protocol.calls).to.deep.equal(["made", "data one", "eof", "lost"]);
      expect(inLoop).to.deep.equal([true]);
    }),
  );

  it(
    "A39 pauseWriting and resumeWriting come from inside write and the write handler",
    onLoop(async (loop) => {
      const [transport, protocol, peer] = await connected(new Recorder());
      transport.write(Buffer.alloc(1 << 20));
      expect(protocol.calls).to.deep.equal(["made", "pause"]);
      transport.write("more");
      transport.close();
      await drainSocket(loop, peer);
      await rounds(loop);
      expect(protocol.calls).to.deep.equal(["made", "pause", "resume", "lost"]);
      peer.close();
    }),
  );

  it(
    "A40 reads nothing before connectionMade returned, and once for each event, up to 256 KiB",
    onLoop(async (loop) => {
      const [ours, peer] = socketpair();
      peer.send("early");
      const sizes: number[] = [];
      using reads = replaceCall("recv", (real) => (fd, buf, n, flags) => {
        if (fd === ours.fileno()) sizes.push(n);
        return real(fd, buf, n, flags);
      });
      let readsWhenMade = -1;
      class Late extends Recorder {
        override connectionMade(transport: Transport): void {
          super.connectionMade(transport);
          readsWhenMade = reads.calls;
        }
      }
      const protocol = new Late();
      const [transport] = await createConnection(() => protocol, { sock: ours });
      expect(readsWhenMade).to.equal(0);
      await until(loop, () => protocol.calls.includes("data early"));
      expect(sizes).to.deep.equal([262144]);
      transport.close();
      await rounds(loop);
      peer.close();
    }),
  );

  it(
    "A41 marks: the defaults, one from the other, and what cannot be",
    onLoop(async (loop) => {
      const [transport, , peer] = await connected(new Recorder());
      const limits = (): number[] => transport.getWriteBufferLimits();
      expect(limits()).to.deep.equal([16384, 65536]);
      transport.setWriteBufferLimits({ high: 1003 });
      expect(limits()).to.deep.equal([250, 1003]);
      transport.setWriteBufferLimits({ low: 100 });
      expect(limits()).to.deep.equal([100, 400]);
      transport.setWriteBufferLimits({ high: 5, low: 5 });
      expect(limits()).to.deep.equal([5, 5]);
      transport.setWriteBufferLimits({ high: 0 });
      expect(limits()).to.deep.equal([0, 0]);
      for (const wrong of [{ high: 1, low: 2 }, { high: -1 }, { low: -4 }, { high: 1.5 }]) {
        expect(() => transport.setWriteBufferLimits(wrong)).to.throw(RangeError);
      }
      expect(() => transport.setWriteBufferLimits({ high: "1" as never })).to.throw(TypeError);
      expect(() => transport.setWriteBufferLimits({ hi: 1 } as never)).to.throw(TypeError, /hi/);
      expect(limits()).to.deep.equal([0, 0]);
      transport.setWriteBufferLimits();
      expect(limits()).to.deep.equal([16384, 65536]);
      transport.close();
      await rounds(loop);
      peer.close();
    }),
  );

  it(
    "A41 pauses above the high mark, once, and at once when the mark is lowered; resumes at the low mark, once",
    onLoop(async (loop) => {
      const [transport, protocol, peer] = await connected(new Recorder());
      using _full = injectFault("send", { errno: "EAGAIN", times: 3 });
      transport.setWriteBufferLimits({ high: 10, low: 4 });
      transport.write("x".repeat(10));
      expect(protocol.calls).to.deep.equal(["made"]);
      transport.write("x");
      transport.write("x");
      expect(protocol.calls).to.deep.equal(["made", "pause"]);
      transport.setWriteBufferLimits({ high: 100, low: 11 });
      expect(protocol.calls.at(-1)).to.equal("pause");
      transport.setWriteBufferLimits({ high: 100, low: 12 });
      expect(protocol.calls.at(-1)).to.equal("resume");
      transport.setWriteBufferLimits({ high: 11 });
      expect(protocol.calls).to.deep.equal(["made", "pause", "resume", "pause"]);
      expect(transport.getWriteBufferSize()).to.equal(12);
      transport.close();
      await rounds(loop);
      expect(protocol.calls.slice(4)).to.deep.equal(["resume", "lost"]);
      peer.close();
    }),
  );

  it(
    "A42 eofReceived true keeps the connection open for writing, anything else closes it",
    onLoop(async (loop) => {
      const protocol = new Recorder();
      protocol.keepOpen = true;
      const [transport, , peer] = await connected(protocol);
      peer.shutdown(1);
      await until(loop, () => protocol.calls.includes("eof"));
      await rounds(loop);
      expect(transport.isClosing()).to.equal(false);
      transport.write("still");
      expect(peer.recv(10)?.toString()).to.equal("still");
      transport.close();
      await rounds(loop);
      peer.close();
      for (const answer of [false, undefined, 1]) {
        const other = new Recorder();
        other.eofReceived = () => answer as never;
        const [, , end] = await connected(other);
        end.shutdown(1);
        await until(loop, () => other.calls.includes("lost"));
        end.close();
      }
    }),
  );

  it(
    "A42 StreamReaderProtocol answers true, and feeds the end",
    onLoop(async (loop) => {
      const [reader, writer, peer] = await pair(loop);
      peer.shutdown(1);
      expect((await reader.read()).length).to.equal(0);
      writer.write("answer");
      expect(peer.recv(10)?.toString()).to.equal("answer");
      writer.close();
      await writer.waitClosed();
      peer.close();
    }),
  );

  it(
    "A43 a half-closed idle connection is out of the poller and costs no CPU, and resumeReading does not put it back",
    onLoop(async (loop) => {
      const [reader, writer, peer] = await pair(loop);
      const { transport } = writer;
      const before = loop.statistics().handlers;
      peer.shutdown(1);
      await reader.read();
      expect(loop.statistics().handlers).to.equal(before - 1);
      transport.pauseReading();
      transport.resumeReading();
      expect(loop.statistics().handlers).to.equal(before - 1);
      // Shut at both ends: epoll would tell of the hang-up in every wait.
      writer.writeEof();
      const { iterations } = loop.statistics();
      await realDelay(50);
      expect(loop.statistics().iterations - iterations).to.be.below(10);
      writer.close();
      await writer.waitClosed();
      peer.close();
    }),
  );

  it(
    "A43 a hang-up while reading is paused costs no CPU either, and resuming finds it",
    onLoop(async (loop) => {
      const [reader, writer, peer] = await pair(loop);
      writer.transport.pauseReading();
      peer.send("last words");
      peer.close();
      await rounds(loop);
      const { iterations } = loop.statistics();
      await realDelay(50);
      expect(loop.statistics().iterations - iterations).to.be.below(10);
      expect(String(reader)).not.to.include("bytes");
      writer.transport.resumeReading();
      expect((await reader.read()).toString()).to.equal("last words");
      writer.close();
      await writer.waitClosed();
    }),
  );

  it(
    "A44 pausing and resuming are idempotent, and nothing after close()",
    onLoop(async (loop) => {
      const [transport, protocol, peer] = await connected(new Recorder());
      expect(transport.isReading()).to.equal(true);
      transport.pauseReading();
      transport.pauseReading();
      expect(transport.isReading()).to.equal(false);
      peer.send("x");
      await rounds(loop);
      expect(protocol.calls).to.deep.equal(["made"]);
      transport.resumeReading();
      transport.resumeReading();
      expect(transport.isReading()).to.equal(true);
      await until(loop, () => protocol.calls.includes("data x"));
      transport.close();
      expect(transport.isReading()).to.equal(false);
      transport.pauseReading();
      transport.resumeReading();
      expect(transport.isReading()).to.equal(false);
      await rounds(loop);
      peer.close();
    }),
  );

  it(
    "A45 abort drops what is queued, and connectionLost follows on the loop",
    onLoop(async (loop) => {
      const [transport, protocol, peer] = await connected(new Recorder());
      transport.write(Buffer.alloc(1 << 20));
      const fd = (transport.getExtraInfo("socket") as TransportSocket).fileno();
      transport.abort();
      expect(transport.getWriteBufferSize()).to.equal(0);
      expect(protocol.calls).not.to.include("lost");
      await rounds(loop, 1);
      expect(protocol.calls.at(-1)).to.equal("lost");
      expect(protocol.lost).to.equal(undefined);
      expect(isOpen(fd)).to.equal(false);
      expect((await drainSocket(loop, peer)).length).to.be.below(1 << 20);
      peer.close();
    }),
  );

  for (const errno of ["ECONNRESET", "ETIMEDOUT", "EPIPE"]) {
    it(
      `A46 ${errno} while reading or writing ends the connection, at debug level only`,
      onLoop(async (loop) => {
        for (const call of ["recv", "send"] as const) {
          const [transport, protocol, peer] = await connected(new Recorder());
          using _fault = injectFault(call, { errno });
          if (call === "recv") peer.send("x");
          else transport.write("x");
          await until(loop, () => protocol.calls.includes("lost"));
          expect((protocol.lost as NodeJS.ErrnoException).code).to.equal(errno);
          peer.close();
        }
        const [reader, writer, peer] = await pair(loop);
        using _fault = injectFault("recv", { errno });
        const read = reader.read(1);
        peer.send("x");
        expect((await failureOf(read)).code).to.equal(errno);
        expect((await failureOf(writer.waitClosed())).code).to.equal(errno);
        peer.close();
      }),
    );
  }

  for (const method of ["connectionMade", "dataReceived", "eofReceived", "pauseWriting", "resumeWriting"] as const) {
    it(
      `A46 what ${method} throws is logged and ends the connection with it`,
      onLoop(async (loop) => {
        expectLog("application", "error", new RegExp(`${method}\\(\\) of a protocol failed[^]*broken`));
        const error = new Error("broken");
        class Broken extends Recorder {}
        Broken.prototype[method] = function () {
          throw error;
        };
        const protocol = new Broken();
        const [ours, peer] = socketpair();
        const connecting = createConnection(() => protocol, { sock: ours });
        if (method === "connectionMade") {
          expect(await failureOf(connecting)).to.equal(error);
        } else {
          const [transport] = await connecting;
          if (method === "dataReceived") peer.send("x");
          if (method === "eofReceived") peer.shutdown(1);
          if (method.endsWith("Writing")) transport.write(Buffer.alloc(1 << 20));
          if (method === "resumeWriting") await Promise.race([drainSocket(loop, peer), until(loop, () => protocol.calls.includes("lost"))]);
        }
        await until(loop, () => protocol.calls.includes("lost"));
        expect(protocol.lost).to.equal(error);
        expect(ours.closed).to.equal(true);
        peer.close();
      }),
    );
  }

  it(
    "A46 what connectionLost throws is logged, and the descriptor closed all the same",
    onLoop(async (loop) => {
      expectLog("application", "error", /connectionLost\(\) of a protocol failed/);
      const protocol = new Recorder();
      protocol.connectionLost = () => {
        throw new Error("broken");
      };
      const [ours, peer] = socketpair();
      const [transport] = await createConnection(() => protocol, { sock: ours });
      transport.close();
      await rounds(loop);
      expect(ours.closed).to.equal(true);
      peer.close();
    }),
  );

  it(
    "A47 TCP sockets get TCP_NODELAY, unix sockets do not",
    onLoop(async (loop) => {
      await using connection = await Connection.make();
      for (const writer of [connection.writer, connection.peerWriter]) {
        expect((writer.getExtraInfo("socket") as TransportSocket).getsockopt(IPPROTO_TCP, TCP_NODELAY)).to.equal(1);
      }
      using options = replaceCall("setsockopt", (real) => real);
      const [, writer, peer] = await pair(loop);
      expect(options.calls).to.equal(0);
      writer.close();
      await writer.waitClosed();
      peer.close();
    }),
  );

  describe("abstract classes", () => {
    const methods: [new () => object, string[]][] = [
      [BaseTransport, ["isClosing", "close", "setProtocol", "getProtocol"]],
      [ReadTransport, ["isReading", "pauseReading", "resumeReading"]],
      [WriteTransport, ["write", "writeEof", "canWriteEof", "abort", "setWriteBufferLimits", "getWriteBufferLimits", "getWriteBufferSize"]],
    ];
    for (const [Class, names] of methods) {
      it(`A48 the methods of ${Class.name} throw`, () => {
        for (const instance of [new Class(), new Transport()] as Record<string, () => void>[]) {
          for (const name of names) expect(() => instance[name]!(), name).to.throw(Error, new RegExp(`${name}\\(\\) is not implemented`));
        }
      });
    }

    it("A48 writelines joins and calls write once", () => {
      const written: string[] = [];
      class Sink extends Transport {
        override write(data: Buffer): void {
          written.push(data.toString());
        }
      }
      new Sink().writelines(["ab", Buffer.from("cd"), "e"]);
      expect(written).to.deep.equal(["abcde"]);
    });

    it("A48 getExtraInfo answers what the constructor was given", () => {
      const transport = new Transport({ a: 1 });
      expect(transport.getExtraInfo("a")).to.equal(1);
      expect(transport.getExtraInfo("b", 2)).to.equal(2);
      expect(new Transport().getExtraInfo("a")).to.equal(undefined);
    });

    it("A48 a Protocol does nothing", () => {
      const protocol = new Protocol();
      protocol.connectionMade(new Transport());
      protocol.dataReceived(Buffer.from("x"));
      expect(protocol.eofReceived()).to.equal(undefined);
      protocol.pauseWriting();
      protocol.resumeWriting();
      protocol.connectionLost();
    });
  });

  it(
    "A49 a TransportSocket can be looked at and not taken away",
    onLoop(async (loop) => {
      const [, writer, peer] = await pair(loop);
      const socket = writer.getExtraInfo("socket") as TransportSocket & Record<string, unknown>;
      for (const name of ["close", "detach", "accept", "connect", "connectEx", "bind", "listen", "send", "recv", "recvInto", "sendmsg"]) {
        expect(socket[name], name).to.equal(undefined);
      }
      expect(socket.family).to.equal(AF_UNIX);
      expect(socket.getsockname()).to.equal("");
      expect(socket.gettimeout()).to.equal(0);
      socket.setblocking(false);
      socket.settimeout(0);
      expect(() => socket.setblocking(true)).to.throw(RangeError);
      expect(() => socket.settimeout(1)).to.throw(RangeError);
      using copy = socket.dup();
      expect(copy.fileno()).not.to.equal(socket.fileno());
      socket.shutdown(1);
      expect(peer.recv(1)?.length).to.equal(0);
      writer.close();
      await writer.waitClosed();
      expect(() => socket.getsockname()).to.throw(Error, /EBADF/);
      peer.close();
    }),
  );

  it(
    "A49 nobody else watches the descriptor of a live transport",
    onLoop(async (loop) => {
      const [reader, writer, peer] = await pair(loop);
      const fd = (writer.getExtraInfo("socket") as TransportSocket).fileno();
      const face = getEventLoop();
      expect(thrownBy(() => face.addReader(fd, () => undefined)).message).to.include("used by a transport");
      expect(thrownBy(() => face.addWriter(fd, () => undefined)).message).to.include("used by a transport");
      expect(thrownBy(() => loop.addHandler(fd, () => undefined, IOLoop.READ))).to.have.property("code", "EEXIST");
      // Also while it is out of the poller.
      peer.shutdown(1);
      await reader.read();
      expect(thrownBy(() => face.addReader(fd, () => undefined)).message).to.include("used by a transport");
      writer.close();
      await writer.waitClosed();
      peer.close();
    }),
  );

  describe("StreamReaderProtocol by hand", () => {
    class Fake extends Transport {
      closes = 0;

      override close(): void {
        this.closes++;
      }

      override isClosing(): boolean {
        return this.closes > 0;
      }

      override pauseReading(): void {
        // Nothing to pause.
      }
    }

    it(
      "A77 connectionMade gives the reader its transport, then calls the callback",
      onLoop(async (loop) => {
        const reader = new StreamReader({ loop });
        const transport = new Fake();
        let got: unknown[] = [];
        const protocol = new StreamReaderProtocol(reader, (...streams) => {
          got = streams;
          expect(() => reader.setTransport(transport)).to.throw(Error, "Transport already set");
        });
        protocol.connectionMade(transport);
        expect(got[0]).to.equal(reader);
        expect(got[1]).to.be.instanceOf(StreamWriter);
        expect((got[1] as StreamWriter).transport).to.equal(transport);
        protocol.dataReceived(Buffer.from("da"));
        protocol.dataReceived(Buffer.from("ta"));
        expect(protocol.eofReceived()).to.equal(true);
        expect((await reader.read()).toString()).to.equal("data");
      }),
    );

    it(
      "A77 connectionLost: the end without an error, the error with one",
      onLoop(async (loop) => {
        const reader = new StreamReader({ loop });
        const protocol = new StreamReaderProtocol(reader);
        protocol.connectionMade(new Fake());
        const read = reader.read();
        protocol.connectionLost();
        expect((await read).length).to.equal(0);
        const other = new StreamReader({ loop });
        const broken = new StreamReaderProtocol(other);
        const transport = new Fake();
        broken.connectionMade(transport);
        const writer = new StreamWriter(transport, broken, other, loop);
        const error = new Error("broken");
        const waiting = other.readline();
        const closed = writer.waitClosed();
        broken.connectionLost(error);
        expect(await failureOf(waiting)).to.equal(error);
        expect(await failureOf(closed)).to.equal(error);
        expect(await failureOf(writer.drain())).to.equal(error);
      }),
    );

    it(
      "A77 pauseWriting while paused and resumeWriting while not are Errors; drain waits in between",
      onLoop(async (loop) => {
        const reader = new StreamReader({ loop });
        const protocol = new StreamReaderProtocol(reader);
        const transport = new Fake();
        protocol.connectionMade(transport);
        const writer = new StreamWriter(transport, protocol, reader, loop);
        expect(() => protocol.resumeWriting()).to.throw(Error, "not paused");
        protocol.pauseWriting();
        expect(() => protocol.pauseWriting()).to.throw(Error, "while paused");
        const drain = writer.drain();
        expect(drain.done()).to.equal(false);
        protocol.resumeWriting();
        await drain;
      }),
    );

    it(
      "A77 wrong arguments are TypeErrors",
      onLoop(async (loop) => {
        const reader = new StreamReader({ loop });
        expect(() => new StreamReaderProtocol({} as never)).to.throw(TypeError, /^streamReader/);
        expect(() => new StreamReaderProtocol(reader, 5 as never)).to.throw(TypeError, /^clientConnectedCb/);
        expect(() => new StreamReaderProtocol(reader, undefined, { lop: loop } as never)).to.throw(TypeError, /lop/);
      }),
    );
  });
});
