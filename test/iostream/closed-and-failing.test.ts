/** 2.G: one read at a time; reads and the closed stream. */
import { expect } from "chai";
import { StreamClosedError } from "../../src/iostream/index.js";
import { closeDescriptor } from "../../src/platform/index.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failingCalls, failure, sendRaw, thrown } from "./kinds.js";

describe("Reads and the closed stream", () => {
  eachStream((it, kind) => {
    const readCall = kind.socket ? "recv" : "read";

    it("S63 a second read throws, the first still completes", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const first = reader.readBytes(3);
      const second: (() => unknown)[] = [
        () => reader.readBytes(1),
        () => reader.readUntil("\n"),
        () => reader.readUntilRegex(/x/),
        () => reader.readInto(Buffer.alloc(1)),
        () => reader.readUntilClose(),
        () => reader.readBytes(1, () => undefined),
      ];
      for (const read of second) expect(read).to.throw(Error, /^Already reading/);
      await turns();
      sendRaw(writer, "abc");
      expect(String(await first)).to.equal("abc");
    });

    it("S64 says closed where the first read is merely not rejected yet", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "x");
      const errors: Error[] = [];
      await new Promise<void>((resolve) => {
        reader.readBytes(1, () => {
          resolve();
        });
      });
      // A callback that is scheduled holds the rejection back.
      sendRaw(writer, "y");
      reader.readBytes(1, () => undefined);
      await turns(0);
      const waiting = reader.reading() ? undefined : reader.readBytes(5);
      if (waiting !== undefined) {
        reader.close();
        expect(waiting.done()).to.equal(false);
        errors.push(
          thrown(() => reader.readBytes(1)),
          thrown(() => reader.readUntilClose()),
        );
        for (const error of errors) expect(error).to.be.instanceOf(StreamClosedError);
        expect(await failure(waiting)).to.be.instanceOf(StreamClosedError);
      }
      expect(errors).to.have.length(2);
    });

    it("S65 a closed stream still gives what is buffered", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "12");
      expect(String(await reader.readBytes(1))).to.equal("1");
      writer.close();
      reader.close();
      await until(() => reader.closed());
      expect(String(await reader.readBytes(1))).to.equal("2");
    });

    it("S66 a read it cannot serve throws and leaves no trace", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "1234");
      await reader.readBytes(1);
      const cause = new Error("why");
      reader.close(cause);
      await until(() => true);
      for (const read of [() => reader.readBytes(9), () => reader.readUntil("\n"), () => reader.readInto(Buffer.alloc(9))]) {
        const error = thrown(read) as StreamClosedError;
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.realError).to.equal(cause);
        expect(reader.reading()).to.equal(false);
      }
      expect(String(await reader.readBytes(3))).to.equal("234");
    });

    it("S67 a write on it throws, also of nothing, also with a callback", ({ pair }) => {
      const { writer } = pair();
      const cause = new Error("why");
      writer.close(cause);
      for (const write of [() => writer.write("x"), () => writer.write(""), () => writer.write("x", () => undefined)]) {
        const error = thrown(write) as StreamClosedError;
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.realError).to.equal(cause);
      }
    });

    it("S68 reads what the kernel has when the other end closes", async ({ pair, turns }) => {
      const { reader, writer } = pair({ readChunkSize: 256 });
      sendRaw(writer, Buffer.alloc(512, "k"));
      expect(await reader.readBytes(256)).to.have.length(256);
      writer.close();
      await turns(3);
      expect(String(await reader.readBytes(256))).to.equal("k".repeat(256));
    });

    it("S69 S71 an error of the first attempt leaves the call; the stream is closed, the slot free", async ({ pair, until }) => {
      const { reader } = pair();
      let closed = 0;
      reader.setCloseCallback(() => closed++);
      using fault = failingCalls(reader, "read", "EIO");
      const error = thrown(() => reader.readBytes(1));
      expect(error).to.include({ code: "EIO", syscall: readCall });
      expect(fault.injected).to.equal(1);
      expect(reader.error).to.equal(error);
      expect([reader.closed(), reader.reading(), closed]).to.deep.equal([true, false, 0]);
      await until(() => closed === 1);
    });

    it("S71 a descriptor that was closed behind the stream: it closes all the same", ({ pair }) => {
      const { reader } = pair();
      closeDescriptor(reader.fileno());
      const first = new Error("first");
      reader.close(first);
      expect(reader.closed()).to.equal(true);
      expect(reader.error).to.equal(first);
    });

    it("S70 a read error in an event: one warning, and the Future fails with it", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      let closed = 0;
      reader.setCloseCallback(() => closed++);
      const read = reader.readBytes(1);
      await turns();
      using fault = failingCalls(reader, "read", "EIO");
      sendRaw(writer, "x");
      const error = (await failure(read)) as StreamClosedError;
      expect(fault.injected).to.equal(1);
      expect(error).to.be.instanceOf(StreamClosedError);
      expect(error.realError).to.include({ code: "EIO" }).and.to.equal(reader.error);
      await until(() => closed === 1);
      expectLog("general", "warn", /error on read/);
    });

    it("S70 whatever readFromFd throws counts", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const read = reader.readBytes(1);
      await turns();
      reader.readFromFd = () => {
        throw new RangeError("odd");
      };
      sendRaw(writer, "x");
      expect(((await failure(read)) as StreamClosedError).realError).to.be.instanceOf(RangeError);
      expectLog("general", "warn", /error on read/);
    });

    for (const code of ["ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT"]) {
      it(`S72 ${code} closes quietly, and is not thrown`, async ({ pair, turns }) => {
        for (const inline of [true, false]) {
          const { reader, writer } = pair();
          let read = inline ? undefined : reader.readBytes(1);
          await turns();
          using fault = failingCalls(reader, "read", code);
          if (inline) read = reader.readBytes(1);
          else sendRaw(writer, "x");
          const error = (await failure(read as PromiseLike<unknown>)) as StreamClosedError;
          expect(fault.injected).to.equal(1);
          expect(error).to.be.instanceOf(StreamClosedError);
          expect(error.realError).to.include({ code }).and.to.equal(reader.error);
        }
      });
    }
  });

  eachStream(
    (it) => {
      it("S69 a descriptor closed behind the stream throws EBADF", async ({ pair, turns }) => {
        const { reader } = pair();
        closeDescriptor(reader.fileno());
        expect(thrown(() => reader.readBytes(1))).to.include({ code: "EBADF" });
        expect(reader.closed()).to.equal(true);
        await turns();
      });
    },
    { kinds: ["tcp", "unix"] },
  );
});
