/** 2.B: readBytes. */
import { expect } from "chai";
import { StreamClosedError } from "../../src/iostream/index.js";
import { countCalls } from "../support/faults.js";
import { eachStream, failure, sendRaw } from "./kinds.js";

describe("readBytes", () => {
  eachStream((it) => {
    it("S8 gives exactly n bytes and leaves the rest for the next read", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "hello world");
      expect(String(await reader.readBytes(5))).to.equal("hello");
      using recv = countCalls("recv");
      using read = countCalls("read");
      const next = reader.readBytes(6);
      expect(next.done()).to.equal(true);
      expect(recv.calls + read.calls).to.equal(0);
      expect(String(await next)).to.equal(" world");
      await until(() => true);
    });

    it("S9 waits over any number of arrivals", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const read = reader.readBytes(5);
      for (const part of ["he", "l", "lo"]) {
        expect(read.done()).to.equal(false);
        sendRaw(writer, part);
        await turns(2);
      }
      expect(read.done()).to.equal(true);
      expect(String(await read)).to.equal("hello");
    });

    it("S10 reads no bytes at once, open or closed", async ({ pair, until }) => {
      const { reader, writer } = pair();
      expect(reader.readBytes(0).done()).to.equal(true);
      sendRaw(writer, "HTTP/1.1 200");
      const parts = [];
      for (const count of [9, 0, 3]) parts.push(String(await reader.readBytes(count)));
      expect(parts).to.deep.equal(["HTTP/1.1 ", "", "200"]);
      expect(reader.readBytes(0, { partial: true }).result()).to.have.length(0);
      const order: unknown[] = [];
      reader.readBytes(0, (data) => order.push(data));
      expect(order).to.deep.equal([]);
      await until(() => order.length === 1);
      expect(order[0]).to.have.length(0);
      reader.close();
      expect(reader.readBytes(0).result()).to.have.length(0);
      expect(reader.readBytes(0, { partial: true }).done()).to.equal(true);
    });

    it("S11 refuses what counts no bytes, and the slot stays free", async ({ pair }) => {
      const { reader, writer } = pair();
      for (const count of [-1, 0.5, NaN, Infinity, Number.MAX_SAFE_INTEGER + 1]) {
        expect(() => reader.readBytes(count)).to.throw(RangeError, String(count));
      }
      expect(() => reader.readBytes("5" as never)).to.throw(TypeError, "numBytes is '5'");
      expect(reader.reading()).to.equal(false);
      sendRaw(writer, "x");
      expect(String(await reader.readBytes(1))).to.equal("x");
    });

    it("S12 S13 with partial takes what is there, never more than asked for", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const first = reader.readBytes(50, { partial: true });
      expect(first.done()).to.equal(false);
      sendRaw(writer, "hello");
      expect(String(await first)).to.equal("hello");
      const second = reader.readBytes(3, undefined, { partial: true });
      sendRaw(writer, "world");
      expect(String(await second)).to.equal("wor");
      await turns();
      expect(String(await reader.readBytes(5, { partial: true }))).to.equal("ld");
    });

    it("S14 streams chunks that join to n bytes, then completes empty", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const chunks: string[] = [];
      const read = reader.readBytes(6, { streamingCallback: (chunk) => chunks.push(String(chunk)) });
      sendRaw(writer, "1234");
      await until(() => chunks.length > 0);
      expect(chunks).to.deep.equal(["1234"]);
      sendRaw(writer, "5678");
      expect(await read).to.have.length(0);
      await until(() => chunks.length > 1);
      expect(chunks).to.deep.equal(["1234", "56"]);
      expect(String(await reader.readBytes(2))).to.equal("78");
    });

    it("S15 S16 streams what is buffered, scheduled, and calls back last with nothing", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xabcdef");
      await reader.readBytes(1);
      const seen: string[] = [];
      reader.readBytes(5, (data) => seen.push(`final ${data.length}`), { streamingCallback: (chunk) => seen.push(String(chunk)) });
      expect(seen).to.deep.equal([]);
      await until(() => seen.length >= 2);
      expect(seen).to.deep.equal(["abcde", "final 0"]);
      expect(String(await reader.readBytes(1))).to.equal("f");
    });

    it("S17 delivers what came before a close, then fails", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const chunks: string[] = [];
      const read = reader.readBytes(6, { streamingCallback: (chunk) => chunks.push(String(chunk)) });
      sendRaw(writer, "1234");
      await until(() => chunks.length > 0);
      writer.close();
      expect(await failure(read)).to.be.instanceOf(StreamClosedError);
      expect(chunks).to.deep.equal(["1234"]);
    });

    it("S17 tells only the close callback, in the callback form", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("closed"));
      reader.readBytes(6, () => seen.push("final"), { streamingCallback: (chunk) => seen.push(String(chunk)) });
      sendRaw(writer, "1234");
      writer.close();
      await until(() => reader.closed() && seen.includes("closed"));
      expect(seen).to.deep.equal(["1234", "closed"]);
    });

    it("S18 never holds more than the limit", async ({ pair }) => {
      const { reader, writer } = pair({ maxBufferSize: 10240 });
      const sent = writer.write(Buffer.alloc(102400, "q"));
      for (let i = 0; i < 100; i++) {
        expect(await reader.readBytes(1024)).to.have.length(1024);
        expect(reader._readBufferSize).to.be.at.most(10240);
      }
      await sent;
    });

    it("S19 gives bytes that belong to the caller", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "aaaabbbb");
      const first = await reader.readBytes(4);
      first.fill("z");
      const second = await reader.readBytes(4);
      expect(String(second)).to.equal("bbbb");
      sendRaw(writer, "cccccccccccc");
      await turns();
      await reader.readBytes(6);
      expect(String(first)).to.equal("zzzz");
      expect(String(second)).to.equal("bbbb");
    });

    it("S19 gives away a long result without a later one in the same memory", async ({ pair }) => {
      const { reader, writer } = pair();
      const sent = writer.write(Buffer.alloc(300_000, "a"));
      const long = await reader.readBytes(200_000);
      const copy = Buffer.from(long);
      await reader.readBytes(100_000);
      await sent;
      expect(long.equals(copy)).to.equal(true);
      expect(long.every((byte) => byte === 97)).to.equal(true);
    });
  });
});
