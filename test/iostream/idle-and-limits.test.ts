/** 2.L: idle streams, backpressure, limits. */
import { expect } from "chai";
import { type IOStream, StreamBufferFullError, StreamClosedError } from "../../src/iostream/index.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, sendRaw, thrown, usual } from "./kinds.js";

const READ = 1;

describe("Idle streams and limits", () => {
  eachStream((it, kind) => {
    it("S122 with a close callback, an idle stream notices the other end's close", async ({ pair, until }) => {
      const { reader, writer } = pair();
      let closed = 0;
      reader.setCloseCallback(() => closed++);
      writer.close();
      await until(() => closed === 1);
      expect(reader.error).to.equal(undefined);
    });

    it("S122 also right after a read", async ({ pair, until }) => {
      for (const callback of [true, false]) {
        const { reader, writer } = pair();
        let closed = 0;
        reader.setCloseCallback(() => closed++);
        sendRaw(writer, "x");
        if (callback) await new Promise((resolve) => reader.readBytes(1, resolve));
        else await reader.readBytes(1);
        writer.close();
        await until(() => closed === 1);
      }
    });

    it("S123 with nobody reading, one chunk is taken and no more", async ({ pair, until, turns }) => {
      const { reader, writer } = pair({ readChunkSize: 4 });
      let closed = 0;
      reader.setCloseCallback(() => closed++);
      sendRaw(writer, "0123456789");
      writer.close();
      await turns(4);
      expect([reader._readBufferSize, reader.closed()]).to.deep.equal([4, false]);
      expect(String(await reader.readBytes(4))).to.equal("0123");
      expect(String(await reader.readBytes(4))).to.equal("4567");
      expect(reader.closed()).to.equal(false);
      expect(String(await reader.readBytes(2))).to.equal("89");
      await until(() => closed === 1);
    });

    it("S124 without one, the next operation notices", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      writer.close();
      await turns(3);
      expect(reader.closed()).to.equal(false);
      expect(await failure(reader.readBytes(1))).to.be.instanceOf(StreamClosedError);
    });

    it("S127 with no read waiting and bytes buffered there is no READ interest, and the sender blocks", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const first = reader.readBytes(1);
      const write = writer.write(Buffer.alloc(kind.much));
      await first;
      await turns(5);
      expect(reader._readBufferSize).to.be.greaterThan(0);
      expect((reader._state ?? 0) & READ).to.equal(0);
      expect(reader._readBufferSize).to.be.at.most(5 * 65536);
      expect(write.done()).to.equal(false);
      await reader.readBytes(kind.much - 1);
      await write;
      await until(() => true);
    });

    it("S129 a waiting read takes at most a chunk more than it needs", async ({ pair, turns }) => {
      const { reader, writer } = pair({ readChunkSize: 100 });
      const read = reader.readBytes(250);
      sendRaw(writer, Buffer.alloc(1000));
      await read;
      await turns(0);
      expect(reader._readBufferSize).to.be.lessThan(100);
      const limited = reader.readUntil("\n", { maxBytes: 250 });
      expect(limited.done() || reader._readBufferSize <= 350).to.equal(true);
      reader.close();
      await failure(limited);
      if (reader.error !== undefined) expectLog("general", "info", /Unsatisfiable/);
    });

    it("S129 100 lines through a buffer of ten", async ({ pair }) => {
      const { reader, writer } = pair({ maxBufferSize: 10240 });
      const write = writer.write(`${"l".repeat(1023)}\n`.repeat(100));
      for (let i = 0; i < 100; i++) expect(await reader.readUntil("\n", { maxBytes: 4096 })).to.have.length(1024);
      await write;
    });

    it("S130 more than the limit, and the read unsatisfied: the stream closes", async ({ pair, until }) => {
      const { reader, writer } = pair({ maxBufferSize: 1000 });
      let closed = 0;
      reader.setCloseCallback(() => closed++);
      const read = reader.readUntil("\n");
      sendRaw(writer, "x".repeat(1500));
      const error = (await failure(read)) as StreamClosedError;
      expect(error).to.be.instanceOf(StreamClosedError);
      expect(error.realError).to.be.instanceOf(StreamBufferFullError).and.to.equal(reader.error);
      await until(() => closed === 1);
      expectLog("general", "error", /^Reached maximum read buffer size/);
      expectLog("general", "warn", /^error on read/);
    });

    it("S130 met in the call, it is thrown", async ({ pair, turns }) => {
      const { reader, writer } = pair({ maxBufferSize: 1000 });
      sendRaw(writer, "x".repeat(1500));
      const error = thrown(() => reader.readUntil("\n"));
      expect(error).to.be.instanceOf(StreamBufferFullError).and.to.equal(reader.error);
      expect([reader.closed(), reader.reading()]).to.deep.equal([true, false]);
      expectLog("general", "error", /^Reached maximum read buffer size/);
      await turns();
    });

    it("S130 S132 a match that ends beyond the limit is none, whatever the arrival sizes", async ({ pair, turns }) => {
      for (const first of [1, 900, 1000]) {
        const { reader, writer } = pair({ maxBufferSize: 1000 });
        const read = reader.readUntil("\n");
        const text = `${"x".repeat(1050)}\n${"y".repeat(100)}`;
        sendRaw(writer, text.slice(0, first));
        await turns(2);
        sendRaw(writer, text.slice(first));
        expect(((await failure(read)) as StreamClosedError).realError).to.be.instanceOf(StreamBufferFullError);
      }
      expectLog("general", "error", /^Reached maximum read buffer size/, 3);
      expectLog("general", "warn", /^error on read/, 3);
    });

    it("S122 it listens only when the callbacks that are scheduled have run, for they may read on", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "ab");
      await reader.readBytes(1);
      let ran = false;
      reader.readBytes(1, () => (ran = true));
      reader.setCloseCallback(() => undefined);
      expect(reader._state).to.equal(undefined);
      await until(() => ran);
      expect((reader._state ?? 0) & READ).to.equal(READ);
    });

    it("S131 exactly the limit is allowed", async ({ pair, turns }) => {
      const { reader, writer } = pair({ maxBufferSize: 1000 });
      sendRaw(writer, "x".repeat(1000));
      expect(await reader.readBytes(1000)).to.have.length(1000);
      const until = reader.readUntil("\n");
      sendRaw(writer, "y".repeat(1000));
      await turns(3);
      expect([until.done(), reader.closed(), reader._readBufferSize]).to.deep.equal([false, false, 1000]);
      reader.close();
      await failure(until);
    });

    it("S132 a read that the first bytes satisfy never overflows", async ({ pair, turns }) => {
      const { reader, writer } = pair({ maxBufferSize: 1000 });
      const bytes = reader.readBytes(1000);
      sendRaw(writer, "x".repeat(900));
      await turns(2);
      sendRaw(writer, `${"x".repeat(100)}${"y".repeat(500)}`);
      expect(String(await bytes)).to.equal("x".repeat(1000));
      await reader.readBytes(500);
      const line = reader.readUntil("\n");
      sendRaw(writer, "x".repeat(900));
      await turns(2);
      sendRaw(writer, `${"x".repeat(49)}\n${"y".repeat(550)}`);
      expect(await line).to.have.length(950);
      const regex = reader.readUntilRegex(/y{550}/);
      expect(await regex).to.have.length(550);
    });
  });

  eachStream(
    (it) => {
      it("S125 a FIN while only writing is noticed when the writes are through", async ({ pair, until }) => {
        const { reader, writer } = pair();
        let closed = 0;
        writer.setCloseCallback(() => closed++);
        const write = writer.write(Buffer.alloc(16_000_000));
        (reader as IOStream).socket.shutdown(1);
        await reader.readBytes(16_000_000);
        await write;
        await until(() => closed === 1);
      });
    },
    { kinds: ["tcp"] },
  );

  eachStream(
    (it) => {
      it("S128 10 MB through a buffer of five, with a pause", async ({ pair, turns }) => {
        const { reader, writer } = pair({ maxBufferSize: 5_000_000 });
        const write = writer.write(Buffer.alloc(10_000_000));
        await reader.readBytes(1_000_000);
        await turns(20);
        for (let i = 0; i < 9; i++) expect(await reader.readBytes(1_000_000)).to.have.length(1_000_000);
        await write;
      });

      it("S133 a sender that never pauses leaves the loop to others", async ({ pair, turns }) => {
        const flood = pair();
        const calm = pair();
        let streamed = 0;
        let ticks = 0;
        let answers = 0;
        let sending = true;
        const read = flood.reader.readUntilClose({ streamingCallback: (chunk) => (streamed += chunk.length) });
        const piece = Buffer.alloc(1_000_000);
        const sender = (async () => {
          while (sending) await flood.writer.write(piece);
          flood.writer.close();
        })();
        const timer = setInterval(() => ticks++, 10);
        // Monopolised, neither would ever get there.
        while (ticks < 10 || answers < 20) {
          calm.writer.write("ping");
          await calm.reader.readBytes(4);
          answers++;
          await turns();
        }
        clearInterval(timer);
        sending = false;
        await sender;
        await read;
        expect(streamed).to.be.greaterThan(1_000_000);
      });
    },
    { combinations: usual },
  );
});
