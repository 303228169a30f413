/** 2.M and 2.N: event dispatch, interest, setNodelay. */
import { expect } from "chai";
import sinon from "sinon";
import { IOLoop, type PollIOLoop } from "../../src/ioloop/index.js";
import { type BaseIOStream, IOStream, StreamClosedError } from "../../src/iostream/index.js";
import { IPPROTO_TCP, Socket, TCP_NODELAY } from "../../src/platform/index.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { resetOnClose } from "./close.test.js";
import { eachStream, failure, listenTcp, sendRaw } from "./kinds.js";

const { READ, WRITE, ERROR } = IOLoop;
const ALL = READ | WRITE | ERROR;

/** Calls of the loop for one stream. */
function watchLoop(loop: PollIOLoop): { added: sinon.SinonSpy; updated: sinon.SinonSpy; removed: sinon.SinonSpy } {
  return {
    added: sinon.spy(loop, "_addBareHandler"),
    updated: sinon.spy(loop, "updateHandler"),
    removed: sinon.spy(loop, "removeHandler"),
  };
}

describe("Event dispatch of streams", () => {
  eachStream((it, kind) => {
    it("S134 S135 the steps in order, with a closed check after each", async ({ pair, until }) => {
      const steps = ["_handleConnect", "_handleRead", "_handleWrite", "_handleError"] as const;
      for (let closing = 0; closing <= steps.length; closing++) {
        const { reader } = pair();
        reader._connecting = true;
        const seen: string[] = [];
        for (const [index, step] of steps.entries()) {
          Object.defineProperty(reader, step, {
            value: () => {
              seen.push(step);
              if (index === closing) reader.close();
              return false;
            },
          });
        }
        reader._handleEvents(reader.fileno(), ALL);
        expect(seen).to.deep.equal(steps.slice(0, closing + 1));
        reader.close();
      }
      await until(() => true);
    });

    it("S134 connects only while connecting", ({ pair }) => {
      const { reader } = pair();
      const connect = sinon.spy(reader, "_handleConnect");
      reader._handleEvents(reader.fileno(), WRITE);
      expect(connect.called).to.equal(false);
    });

    it("S136 S137 asks for what it waits for, and tells the loop only of changes", async ({ pair, loop, turns, until }) => {
      const { reader, writer } = pair();
      const { updated, removed } = watchLoop(loop);
      const first = reader.readBytes(1);
      expect(reader._state).to.equal(ERROR | READ);
      for (const char of "abc") {
        sendRaw(writer, char);
        await turns(2);
      }
      // Read, then idle with bytes buffered, then idle with none.
      expect(String(await first)).to.equal("a");
      expect(reader._state).to.equal(ERROR);
      await reader.readBytes(reader._readBufferSize);
      const rest = reader.readBytes(9);
      expect(reader._state).to.equal(ERROR | READ);
      const before = updated.callCount;
      for (const char of "defg") {
        sendRaw(writer, char);
        await turns(2);
      }
      expect(updated.callCount).to.equal(before);
      rest.cancel();
      // With a close callback an idle stream listens, until a chunk is there.
      reader.setCloseCallback(() => undefined);
      await reader.readBytes(reader._readBufferSize, { partial: true });
      expect(reader._state).to.equal(ERROR | READ);
      sendRaw(writer, "h");
      await until(() => reader._readBufferSize > 0);
      await turns();
      expect(reader._state).to.equal(ERROR);
      const many = writer.write(Buffer.alloc(kind.much));
      expect(writer._state).to.equal(ERROR | WRITE);
      if (kind.duplex) {
        const read = writer.readBytes(1);
        expect(writer._state).to.equal(ERROR | WRITE | READ);
        read.cancel();
      }
      expect(writer._state).to.equal(ERROR | WRITE);
      await reader.readBytes(kind.much + 1);
      await many;
      await until(() => (writer._state ?? 0) !== (ERROR | WRITE));
      expect(removed.called).to.equal(false);
    });

    it("S138 adds a bit once; registers at the first", ({ pair, loop }) => {
      const { reader } = pair();
      const { added, updated } = watchLoop(loop);
      reader._addIoState(READ);
      expect(added.args.map((args: unknown[]) => args[2])).to.deep.equal([ERROR | READ]);
      reader._addIoState(READ);
      expect(updated.called).to.equal(false);
      reader._addIoState(WRITE);
      expect(updated.args).to.deep.equal([[reader.fileno(), ERROR | READ | WRITE]]);
      reader.close();
      reader._addIoState(READ);
      expect([added.callCount, updated.callCount, reader._state]).to.deep.equal([1, 1, undefined]);
    });

    it("S139 events for a closed stream are a warning and nothing else", ({ pair }) => {
      const { reader } = pair();
      reader.close();
      const read = sinon.spy(reader, "_handleRead");
      reader._handleEvents(77, ALL);
      expect(read.called).to.equal(false);
      expectLog("general", "warn", /Got events for closed stream 77/);
    });

    it("S140 an error closes with it, after the callbacks that are queued; what is buffered stays", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "x1rest");
      await reader.readBytes(1);
      const seen: string[] = [];
      const error = new Error("of the descriptor");
      reader.getFdError = () => error;
      reader.setCloseCallback(() => seen.push("closed"));
      reader.readBytes(1, (data) => seen.push(String(data)));
      reader._handleEvents(reader.fileno(), IOLoop._EPOLLERR);
      expect([reader.error, reader.closed()]).to.deep.equal([error, false]);
      await until(() => seen.includes("closed"));
      expect(seen).to.deep.equal(["1", "closed"]);
      expect(String(await reader.readBytes(4))).to.equal("rest");
    });

    it("S142 the end may come as a hang-up alone: a waiting read sees it", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const read = reader.readBytes(5);
      await turns();
      writer.close();
      expect(await failure(read)).to.be.instanceOf(StreamClosedError);
    });

    for (const maxBufferSize of [undefined, 600]) {
      const sizes = maxBufferSize === undefined ? [2000] : [500, 500, 500, 500];
      it(`S136 S143 a hang-up loses nothing and does not spin, buffer ${String(maxBufferSize)}`, async ({ pair, turns, until, loop }) => {
        const { reader, writer } = pair({ readChunkSize: 256, maxBufferSize });
        let closed = 0;
        reader.setCloseCallback(() => closed++);
        sendRaw(writer, Buffer.alloc(2000, "h"));
        writer.close();
        await until(() => reader._readBufferSize > 0);
        await turns(5);
        expect([closed, reader.closed(), reader._readBufferSize]).to.deep.equal([0, false, 256]);
        // Nobody reads: whatever the kernel reports, the stream is not woken.
        const events = sinon.spy(reader, "_handleEvents");
        const idleTurns = loop.statistics().iterations;
        await new Promise((resolve) => setTimeout(resolve, 30));
        expect(events.callCount).to.equal(0);
        expect(loop.statistics().iterations - idleTurns).to.be.lessThan(20);
        if (kind.name !== "tcp" && kind.name !== "tls") expect(reader._state).to.equal(undefined);
        let got = "";
        for (const size of sizes) got += String(await reader.readBytes(size));
        expect(got).to.equal("h".repeat(2000));
        await until(() => closed === 1);
        expect(reader.error).to.equal(undefined);
      });
    }

    it("S144 a throw inside the steps: logged, closed with it, rethrown to the loop", async ({ pair, turns, until, loop }) => {
      const { reader, writer } = pair();
      const error = new Error("inside a step");
      let closed = 0;
      const told: unknown[] = [];
      loop.handleCallbackException = (_callback, thrown) => {
        told.push(thrown);
      };
      reader.setCloseCallback(() => closed++);
      reader.readBytes(1).then(undefined, () => undefined);
      await turns();
      reader._handleRead = () => {
        throw error;
      };
      sendRaw(writer, "x");
      await until(() => closed === 1);
      expect([reader.error, told]).to.deep.equal([error, [error]]);
      expectLog("general", "error", /Uncaught exception, closing connection\.[^]*inside a step/);
    });

    it("S145 setNodelay has no effect where there is no TCP, nor on a closed stream", ({ pair }) => {
      const { reader } = pair();
      if (kind.name !== "tcp") reader.setNodelay(true);
      reader.close();
      reader.setNodelay(true);
      expect(reader.error).to.equal(undefined);
    });
  });

  const sockets = { kinds: ["tcp", "unix"] } as const;
  eachStream((it) => {
    it("S140 SO_ERROR 0 is no error", ({ pair }) => {
      const { reader } = pair();
      expect(reader.getFdError()).to.equal(undefined);
      reader._handleEvents(reader.fileno(), ERROR);
      expect([reader.closed(), reader.error]).to.deep.equal([false, undefined]);
    });
  }, sockets);

  eachStream(
    (it) => {
      const reset = (writer: BaseIOStream): void => {
        resetOnClose(writer as IOStream);
        writer.close();
      };

      it("S141 a reset while bytes are unread and nobody reads closes promptly; buffered bytes stay", async ({ pair, until }) => {
        const { reader, writer } = pair({ readChunkSize: 4 });
        let closed = 0;
        reader.setCloseCallback(() => closed++);
        sendRaw(writer, "buffered and not");
        await until(() => reader._readBufferSize === 4);
        reset(writer);
        await until(() => closed === 1);
        expect(reader.error).to.include({ code: "ECONNRESET" });
        expect(String(await reader.readBytes(4))).to.equal("buff");
      });

      it("S141 a waiting read is first given what the kernel still has", async ({ pair, turns }) => {
        const { reader, writer } = pair({ readChunkSize: 100 });
        const read = reader.readBytes(2000);
        await turns();
        sendRaw(writer, Buffer.alloc(1500, "k"));
        reset(writer);
        expect(await failure(read))
          .to.have.property("realError")
          .that.includes({ code: "ECONNRESET" });
        expect(await reader.readBytes(1500)).to.have.length(1500);
        const whole = pair({ readChunkSize: 100 });
        const satisfied = whole.reader.readBytes(1500);
        await turns();
        sendRaw(whole.writer, Buffer.alloc(1500, "k"));
        reset(whole.writer);
        expect(await satisfied).to.have.length(1500);
      });

      it("S142 a TCP connection that both ends have shut down hangs up too", async ({ pair, turns }) => {
        const { reader, writer } = pair();
        (reader as IOStream).socket.shutdown(1);
        const read = reader.readUntilClose();
        await turns();
        sendRaw(writer, "last");
        (writer as IOStream).socket.shutdown(1);
        expect(String(await read)).to.equal("last");
      });

      it("S145 setNodelay sets TCP_NODELAY, and takes it back", ({ pair }) => {
        const { reader } = pair();
        const { socket } = reader as IOStream;
        reader.setNodelay(true);
        expect(socket.getsockopt(IPPROTO_TCP, TCP_NODELAY)).to.not.equal(0);
        reader.setNodelay(false);
        expect(socket.getsockopt(IPPROTO_TCP, TCP_NODELAY)).to.equal(0);
      });

      for (const code of ["EINVAL", "ECONNRESET"]) {
        it(`S146 ${code} is swallowed`, ({ pair }) => {
          const { reader } = pair();
          using fault = injectFault("setsockopt", { errno: code });
          reader.setNodelay(true);
          expect(fault.injected).to.equal(1);
        });
      }

      it("S146 other errors are thrown", ({ pair }) => {
        const { reader } = pair();
        using fault = injectFault("setsockopt", { errno: "ENOPROTOOPT" });
        expect(() => {
          reader.setNodelay(true);
        }).to.throw("ENOPROTOOPT");
        expect(fault.injected).to.equal(1);
      });

      it("S134 connects before anything else, and S135 stops when that fails", async ({ loop, track }) => {
        const [listener, port] = listenTcp();
        listener.close();
        const stream = track(new IOStream(new Socket(), { ioLoop: loop }));
        const read = sinon.spy(stream, "_handleRead");
        const error = (await failure(stream.connect(["127.0.0.1", port]))) as StreamClosedError;
        expect(error.realError).to.include({ code: "ECONNREFUSED" });
        expect(read.called).to.equal(false);
      });
    },
    { kinds: ["tcp"] },
  );
});
