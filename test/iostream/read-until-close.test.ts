/** 2.F: readUntilClose. */
import { expect } from "chai";
import { StreamBufferFullError, StreamClosedError } from "../../src/iostream/index.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failingCalls, failure, sendRaw, thrown, usual } from "./kinds.js";

const collect = (chunks: string[]) => (chunk: Buffer) => chunks.push(String(chunk));

describe("readUntilClose", () => {
  eachStream((it) => {
    it("S54 gives everything: buffered, in the kernel, and what comes later", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xbuffered,");
      await reader.readBytes(1);
      sendRaw(writer, "kernel,");
      const read = reader.readUntilClose();
      await turns(2);
      sendRaw(writer, "later");
      writer.close();
      expect(String(await read)).to.equal("buffered,kernel,later");
    });

    it("S55 streams, then completes empty", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "x00");
      await reader.readBytes(1);
      const chunks: string[] = [];
      const read = reader.readUntilClose({ streamingCallback: collect(chunks) });
      for (const part of ["1234", "5678"]) {
        sendRaw(writer, part);
        await until(() => chunks.join("").endsWith(part));
      }
      writer.close();
      expect(await read).to.have.length(0);
      expect(chunks).to.deep.equal(["00", "1234", "5678"]);
    });

    it("S55 streams in the callback form", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.readUntilClose((data) => seen.push(`final ${data.length}`), { streamingCallback: collect(seen) });
      sendRaw(writer, "1234");
      writer.close();
      await until(() => seen.length > 1);
      expect(seen).to.deep.equal(["1234", "final 0"]);
    });

    it("S57 reads on after a read, to the end", async ({ pair, until }) => {
      for (const streaming of [false, true]) {
        const { reader, writer } = pair();
        sendRaw(writer, "1234");
        writer.close();
        expect(String(await reader.readBytes(1))).to.equal("1");
        const chunks: string[] = [];
        const read = streaming ? reader.readUntilClose({ streamingCallback: collect(chunks) }) : reader.readUntilClose();
        expect(String(await read)).to.equal(streaming ? "" : "234");
        await until(() => chunks.length === (streaming ? 1 : 0));
        if (streaming) expect(chunks).to.deep.equal(["234"]);
      }
    });

    it("S57 S58 on a closed stream gives what is buffered, and never an empty chunk", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "1234");
      await reader.readBytes(1);
      reader.close();
      const read = reader.readUntilClose();
      expect(read.done()).to.equal(true);
      expect(String(await read)).to.equal("234");
      expect(reader.readUntilClose().result()).to.have.length(0);
      const seen: string[] = [];
      reader.readUntilClose((data) => seen.push(`final ${data.length}`), { streamingCallback: collect(seen) });
      expect(seen).to.deep.equal([]);
      await until(() => seen.length > 0);
      await turns();
      expect(seen).to.deep.equal(["final 0"]);
    });

    it("S59 S112 a local close ends it with the bytes so far", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const read = reader.readUntilClose();
      sendRaw(writer, "abc");
      await until(() => reader._readBufferSize === 3);
      const cause = new Error("enough");
      reader.close(cause);
      expect(String(await read)).to.equal("abc");
      expect(reader.error).to.equal(cause);
    });

    it("S59 so does a read error", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const read = reader.readUntilClose();
      sendRaw(writer, "abc");
      await until(() => reader._readBufferSize === 3);
      using fault = failingCalls(reader, "read", "EIO");
      sendRaw(writer, "d");
      expect(String(await read)).to.equal("abc");
      expect(fault.injected).to.equal(1);
      expect(reader.error).to.have.property("code", "EIO");
      expectLog("general", "warn", /error on read/);
    });

    it("S60 S130 an overflow fails it instead of cutting it short", async ({ pair }) => {
      const { reader, writer } = pair({ maxBufferSize: 100 });
      const read = reader.readUntilClose();
      sendRaw(writer, "x".repeat(150));
      const error = await failure(read);
      expect(error).to.be.instanceOf(StreamClosedError);
      expect(error.cause).to.be.instanceOf(StreamBufferFullError).and.to.equal(reader.error);
      expectLog("general", "error", /Reached maximum read buffer size/);
      expectLog("general", "warn", /error on read/);
    });

    it("S61 after the end a read throws, with no turn in between", async ({ pair }) => {
      const { reader, writer } = pair();
      const read = reader.readUntilClose();
      writer.close();
      await read;
      expect(thrown(() => reader.readBytes(1))).to.be.instanceOf(StreamClosedError);
    });

    it("S62 an error of the first attempt leaves the call, and no callback runs", async ({ pair, turns }) => {
      for (const callback of [undefined, (): never => expect.fail("called")]) {
        const { reader } = pair();
        using fault = failingCalls(reader, "read", "EIO");
        expect(thrown(() => reader.readUntilClose(callback as never)))
          .to.include({ code: "EIO" })
          .and.to.equal(reader.error);
        expect(fault.injected).to.equal(1);
        expect([reader.closed(), reader.reading()]).to.deep.equal([true, false]);
        await turns();
      }
    });
  });

  eachStream(
    (it) => {
      it("S56 what is streamed does not accumulate: 100 MB through 1 MB", async ({ pair }) => {
        const { reader, writer } = pair({ maxBufferSize: 1_000_000 });
        let got = 0;
        const read = reader.readUntilClose({ streamingCallback: (chunk) => (got += chunk.length) });
        const piece = Buffer.alloc(1_000_000);
        for (let i = 0; i < 100; i++) await writer.write(piece);
        writer.close();
        await read;
        expect(got).to.equal(100_000_000);
      });
    },
    { combinations: usual, kinds: ["unix"] },
  );
});
