/** 2.K: close. */
import { expect } from "chai";
import { IOLoop } from "../../src/ioloop/index.js";
import { IOStream, StreamClosedError } from "../../src/iostream/index.js";
import { Socket, SO_LINGER, SOL_SOCKET } from "../../src/platform/index.js";
import { makeLoop } from "../support/loop.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, sendRaw, thrown } from "./kinds.js";

/** Has the kernel answer a close with a reset. */
export function resetOnClose(stream: IOStream): void {
  stream.socket.setsockopt(SOL_SOCKET, SO_LINGER, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
}

describe("close", () => {
  eachStream((it) => {
    it("S108 in the call: closed, the handler removed, then the descriptor closed, once", async ({ pair, loop, turns }) => {
      const { reader } = pair();
      const read = reader.readBytes(1);
      const order: string[] = [];
      const removeHandler = loop.removeHandler.bind(loop);
      loop.removeHandler = (fd) => {
        order.push(`remove, closed ${String(reader.closed())}`);
        removeHandler(fd);
      };
      const closeFd = reader.closeFd.bind(reader);
      reader.closeFd = () => {
        order.push("closeFd");
        closeFd();
      };
      reader.close();
      expect(reader.closed()).to.equal(true);
      reader.close();
      loop.removeHandler = removeHandler;
      expect(order).to.deep.equal(["remove, closed true", "closeFd"]);
      await failure(read);
      await turns();
    });

    it("S109 S110 sets error from what it is given, the first time", async ({ pair }) => {
      const error = new Error("why");
      for (const given of [error, [Error, error], [Error, error, "trace"]] as const) {
        const { reader } = pair();
        reader.close(given);
        expect(reader.error).to.equal(error);
        reader.close(new Error("another"));
        expect(reader.error).to.equal(error);
        expect(thrown(() => reader.readBytes(1))).to.have.property("realError", error);
      }
      for (const given of [undefined, false, true]) {
        const { reader } = pair();
        reader.close(given);
        expect([reader.closed(), reader.error]).to.deep.equal([true, undefined]);
      }
      const { reader } = pair();
      expect(() => reader.close("why" as never)).to.throw(TypeError, "close() was given 'why'");
      expect(() => reader.close([1, 2] as never)).to.throw(TypeError);
      expect(reader.closed()).to.equal(false);
    });

    it("S111 the other end's close leaves error undefined", async ({ pair }) => {
      const { reader, writer } = pair();
      const read = reader.readBytes(1);
      writer.close();
      const error = (await failure(read)) as StreamClosedError;
      expect([error.realError, error.cause, reader.error, reader.closed()]).to.deep.equal([undefined, undefined, undefined, true]);
    });

    it("S112 each outstanding Future fails with an error of its own", async ({ pair, kind }) => {
      const { writer } = pair();
      const writes = [writer.write(Buffer.alloc(kind.much)), writer.write("x")];
      const read = kind.duplex ? [writer.readBytes(1)] : [];
      const cause = new Error("why");
      writer.close(cause);
      const errors = await Promise.all([...read, ...writes].map(failure));
      expect(new Set(errors).size).to.equal(errors.length);
      for (const error of errors) {
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.name).to.equal("StreamClosedError");
        expect(error).to.have.property("realError", writer.error);
        expect(error.cause).to.equal(cause);
        expect(error.message).to.equal("Stream is closed");
      }
    });

    it("S112 its Futures belong to its loop, whichever is current", async ({ pair, loop, until }) => {
      const { reader, writer } = pair();
      const read = reader.readBytes(1);
      const other = makeLoop({ makeCurrent: false });
      let ran = false;
      other.makeCurrent();
      read.addDoneCallback(() => (ran = true));
      IOLoop.clearCurrent();
      loop.makeCurrent();
      expect(other.statistics().callbacks).to.equal(0);
      sendRaw(writer, "x");
      await until(() => ran);
    });

    it("S113 the close callback: no arguments, once, after awaiting code and done callbacks", async ({ pair, until, turns }) => {
      const { reader } = pair();
      const seen: unknown[] = [];
      reader.setCloseCallback((...args: unknown[]) => seen.push(["closed", ...args]));
      const read = reader.readBytes(1);
      read.then(undefined, () => seen.push("awaiting"));
      read.addDoneCallback(() => seen.push("done callback"));
      await turns();
      reader.close();
      expect(seen).to.deep.equal([]);
      await until(() => seen.length === 3);
      await turns(2);
      expect(seen).to.deep.equal(["awaiting", "done callback", ["closed"]]);
    });

    it("S113 the same when the other end closes", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("closed"));
      const awaiting = (async () => {
        try {
          await reader.readBytes(1);
        } catch {
          seen.push("awaiting");
        }
      })();
      await Promise.resolve();
      writer.close();
      await awaiting;
      await until(() => seen.length === 2);
      expect(seen).to.deep.equal(["awaiting", "closed"]);
    });

    it("S114 callbacks that are scheduled run first, with their data", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xab");
      await reader.readBytes(1);
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("close"));
      for (let i = 0; i < 2; i++) reader.readBytes(1, (data) => seen.push(String(data)));
      const waiting = reader.readBytes(9);
      reader.close();
      expect(waiting.done()).to.equal(false);
      waiting.then(undefined, () => seen.push("failed"));
      await until(() => seen.includes("close"));
      expect(seen).to.deep.equal(["a", "b", "failed", "close"]);
    });

    it("S115 a chain of reads from the buffer delays it", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("close"));
      sendRaw(writer, "12");
      reader.readBytes(1, (first) => {
        seen.push(String(first));
        reader.readBytes(1, (second) => seen.push(String(second)));
        writer.close();
      });
      await until(() => seen.includes("close"));
      await turns();
      expect(seen).to.deep.equal(["1", "2", "close"]);
    });

    it("S116 a read that never completes does not keep it back", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      let closed = 0;
      reader.setCloseCallback(() => closed++);
      reader.readBytes(9, () => expect.fail("called"));
      await turns();
      sendRaw(writer, "x");
      writer.close();
      await until(() => closed > 0);
      await turns(2);
      expect(closed).to.equal(1);
    });

    it("S117 a read that the end fails leaves its bytes", async ({ pair }) => {
      const { reader, writer } = pair();
      const read = reader.readBytes(100);
      sendRaw(writer, Buffer.alloc(50, "b"));
      writer.close();
      expect(await failure(read)).to.be.instanceOf(StreamClosedError);
      expect(String(await reader.readBytes(50))).to.equal("b".repeat(50));
    });

    it("S118 set on a closed stream it is scheduled; a further one too", async ({ pair, until, turns }) => {
      const { reader } = pair();
      reader.close();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("first"));
      expect(seen).to.deep.equal([]);
      await until(() => seen.length === 1);
      reader.setCloseCallback(() => seen.push("second"));
      await until(() => seen.length === 2);
      await turns(2);
      expect(seen).to.deep.equal(["first", "second"]);
    });

    it("S119 the last one set is the one that runs; it can be taken back", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("first"));
      reader.setCloseCallback(() => seen.push("last"));
      writer.setCloseCallback(() => seen.push("never"));
      writer.setCloseCallback();
      writer.close();
      reader.close();
      await until(() => seen.length > 0);
      await turns(2);
      expect(seen).to.deep.equal(["last"]);
    });

    it("S120 one that throws is logged; error stays", async ({ pair, turns }) => {
      const { reader } = pair();
      const cause = new Error("why");
      reader.setCloseCallback(() => {
        throw new Error("in the close callback");
      });
      reader.close(cause);
      await turns(2);
      expect(reader.error).to.equal(cause);
      expectLog("application", "error", /Uncaught exception, closing connection\.[^]*in the close callback/);
      expectLog("application", "error", /Exception in callback[^]*in the close callback/);
    });

    it("S121 within it the stream is closed, and what is buffered can be read", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xrest");
      await reader.readBytes(1);
      const seen: unknown[] = [];
      reader.setCloseCallback(() => {
        seen.push(reader.closed(), thrown(() => reader.write("x")).name);
        seen.push(String(reader.readBytes(4).result()));
      });
      reader.close();
      await turns(2);
      expect(seen).to.deep.equal([true, "StreamClosedError", "rest"]);
    });

    it("S207 using closes it on every way out", async ({ pair }) => {
      const { reader, writer } = pair();
      const block = (): void => {
        using stream = reader;
        if (!stream.closed()) throw new Error("out");
      };
      expect(block).to.throw("out");
      expect(reader.closed()).to.equal(true);
      {
        using stream = writer;
        expect(stream.closed()).to.equal(false);
      }
      expect(writer.closed()).to.equal(true);
    });
  });

  eachStream(
    (it) => {
      it("S111 a reset sets it to ECONNRESET, quietly", async ({ pair }) => {
        const { reader, writer } = pair();
        const read = reader.readBytes(1);
        resetOnClose(writer as IOStream);
        writer.close();
        const error = (await failure(read)) as StreamClosedError;
        expect(error.realError).to.include({ code: "ECONNRESET" }).and.to.equal(reader.error);
      });

      it("S189 closing with bytes unread in the kernel resets the connection", async ({ pair, turns }) => {
        const { reader, writer } = pair();
        sendRaw(writer, "unread");
        await turns();
        const read = writer.readBytes(1);
        reader.close();
        expect(((await failure(read)) as StreamClosedError).realError).to.include({ code: "ECONNRESET" });
      });

      it("S59 readUntilClose completes with the bytes before a reset", async ({ pair, until }) => {
        const { reader, writer } = pair();
        const read = reader.readUntilClose();
        sendRaw(writer, "abc");
        await until(() => reader._readBufferSize === 3);
        resetOnClose(writer as IOStream);
        writer.close();
        expect(String(await read)).to.equal("abc");
        expect(reader.error).to.include({ code: "ECONNRESET" });
      });
    },
    { kinds: ["tcp"] },
  );

  it("S108 the loop closing all descriptors closes its streams", async () => {
    const loop = makeLoop();
    const stream = new IOStream(new Socket());
    stream.connect(["127.0.0.1", 9]).then(undefined, () => undefined);
    loop.close({ allFds: true });
    expect(stream.closed()).to.equal(true);
    expect(stream.fileno()).to.equal(-1);
    await Promise.resolve();
  });
});
