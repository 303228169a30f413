/** 2.C and 2.D: readUntil and readUntilRegex. */
import { expect } from "chai";
import type { Future } from "../../src/concurrent/index.js";
import { type BaseIOStream, StreamClosedError, UnsatisfiableReadError } from "../../src/iostream/index.js";
import { ReadBuffer } from "../../src/iostream/read-buffer.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, sendRaw, type StreamTest, usual } from "./kinds.js";

describe("readUntil", () => {
  eachStream((it) => {
    it("S20 S23 ends with the first delimiter; what follows stays, one piece after the other", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "one\r\ntwo\r\nthree\r\nfo");
      expect(String(await reader.readUntil("\r\n"))).to.equal("one\r\n");
      const second = reader.readUntil("\r\n");
      const third = reader.readUntil("\r\n");
      expect([second.done(), third.done()]).to.deep.equal([true, true]);
      expect([String(await second), String(await third)]).to.deep.equal(["two\r\n", "three\r\n"]);
      expect(String(await reader.readBytes(2))).to.equal("fo");
    });

    it("S21 finds a delimiter split anywhere", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const text = "xEND!y";
      for (let split = 1; split < 5; split++) {
        const read = reader.readUntil("END!");
        sendRaw(writer, text.slice(0, split));
        await turns();
        sendRaw(writer, text.slice(split, 5));
        expect(String(await read)).to.equal("xEND!");
      }
      const read = reader.readUntil("END!");
      for (const char of "xEND!") {
        expect(read.done()).to.equal(false);
        sendRaw(writer, char);
        await turns(2);
      }
      expect(String(await read)).to.equal("xEND!");
    });

    it("S22 finds a delimiter that overlaps itself at its first occurrence", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      for (let split = 1; split < 4; split++) {
        const read = reader.readUntil("aab");
        sendRaw(writer, "aaab".slice(0, split));
        await turns();
        sendRaw(writer, "aaab".slice(split));
        expect(String(await read)).to.equal("aaab");
      }
    });

    it("S24 takes a string as UTF-8, and copies bytes", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "abcédef");
      expect(String(await reader.readUntil("é"))).to.equal("abcé");
      const delimiter = Buffer.from("E");
      const read = reader.readUntil(delimiter);
      delimiter[0] = 100;
      sendRaw(writer, "ghiE");
      expect(String(await read)).to.equal("defghiE");
      expect(() => reader.readUntil(5 as never)).to.throw(TypeError, "delimiter is 5");
    });

    it("S25 counts from the first unread byte", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "0123456789abc\n");
      await reader.readBytes(10);
      expect(String(await reader.readUntil("\n", { maxBytes: 4 }))).to.equal("abc\n");
      sendRaw(writer, "0123456789abc\n");
      await reader.readBytes(10);
      expect(String(await reader.readUntilRegex(/\n/, { maxBytes: 4 }))).to.equal("abc\n");
    });

    it("S26 refuses an empty delimiter", ({ pair }) => {
      const { reader } = pair();
      expect(() => reader.readUntil("")).to.throw(RangeError, "delimiter is empty");
      expect(() => reader.readUntil(new Uint8Array(0))).to.throw(RangeError, "delimiter is empty");
      expect(reader.reading()).to.equal(false);
    });

    type Read = (stream: BaseIOStream, maxBytes: number) => Future<Buffer>;
    const byDelimiter: Read = (stream, maxBytes) => stream.readUntil("def", { maxBytes });
    const byPattern: Read = (stream, maxBytes) => stream.readUntilRegex(/def/, { maxBytes });

    for (const [also, read] of [
      ["", byDelimiter],
      [" S37 with a pattern:", byPattern],
    ] as const) {
      it(`S27${also} a match that ends on the limit is one`, async ({ pair }) => {
        const { reader, writer } = pair();
        for (const limit of [50, 6]) {
          sendRaw(writer, "abcdef");
          expect(String(await read(reader, limit))).to.equal("abcdef");
        }
      });

      it(`S28${also} one byte over the limit closes the stream`, async ({ pair, until }) => {
        const { reader, writer } = pair();
        let closed = 0;
        reader.setCloseCallback(() => closed++);
        const waiting = read(reader, 5);
        sendRaw(writer, "123456");
        const error = await failure(waiting);
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error).to.have.property("realError", reader.error);
        expect(reader.error).to.be.instanceOf(UnsatisfiableReadError);
        expect(reader.error?.message).to.contain("def").and.to.contain("5");
        await until(() => closed > 0);
        expectLog("general", "info", /Unsatisfiable read, closing connection/);
        expect(closed).to.equal(1);
      });

      it(`S29${also} and never throws when the bytes were there before`, async ({ pair, until }) => {
        const { reader, writer } = pair();
        sendRaw(writer, "x123456");
        await reader.readBytes(1);
        const waiting = read(reader, 5);
        expect(reader.closed()).to.equal(true);
        expect(await failure(waiting)).to.be.instanceOf(StreamClosedError);
        expectLog("general", "info", /Unsatisfiable read/);
        await until(() => true);
      });

      it(`S30${also} exactly the limit waits on`, async ({ pair, turns }) => {
        const { reader, writer } = pair();
        const waiting = read(reader, 5);
        sendRaw(writer, "12345");
        await turns(3);
        expect(waiting.done()).to.equal(false);
        sendRaw(writer, "6");
        expect(await failure(waiting)).to.be.instanceOf(StreamClosedError);
        expectLog("general", "info", /Unsatisfiable read/);
      });

      it(`S31${also} a match that ends beyond the limit is none`, async ({ pair }) => {
        const { reader, writer } = pair();
        const waiting = read(reader, 5);
        sendRaw(writer, "abcdef");
        expect((await failure(waiting)).cause).to.be.instanceOf(UnsatisfiableReadError);
        expectLog("general", "info", /Unsatisfiable read/);
      });

      it(`S32${also} the end of file before it is a plain close`, async ({ pair }) => {
        const { reader, writer } = pair();
        const waiting = read(reader, 50);
        sendRaw(writer, "abc");
        writer.close();
        expect(await failure(waiting))
          .to.be.instanceOf(StreamClosedError)
          .and.to.have.property("realError", undefined);
      });

      it(`S34${also} the limit dies with its read`, async ({ pair }) => {
        const { reader, writer } = pair();
        sendRaw(writer, `abcdef${"x".repeat(50)}\n`);
        await read(reader, 6);
        expect(String(await reader.readUntil("\n"))).to.have.length(51);
        sendRaw(writer, `abcdef${"x".repeat(50)}\n`);
        await read(reader, 6);
        expect(await reader.readBytes(51)).to.have.length(51);
      });
    }

    it("S28 never calls the callback back", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const called: string[] = [];
      reader.setCloseCallback(() => called.push("closed"));
      reader.readUntil("def", () => called.push("read"), { maxBytes: 5 });
      sendRaw(writer, "123456");
      await until(() => reader.closed());
      await turns(2);
      expect(called).to.deep.equal(["closed"]);
      expectLog("general", "info", /Unsatisfiable read/);
    });

    it("S32 S33 searches the last small chunk too", async ({ pair, turns, until }) => {
      const first = pair();
      const missing = first.reader.readUntil("done");
      sendRaw(first.writer, "x".repeat(2048));
      await turns();
      sendRaw(first.writer, "foo");
      first.writer.close();
      expect(await failure(missing)).to.have.property("realError", undefined);
      for (const read of [(s: BaseIOStream) => s.readUntil("done"), (s: BaseIOStream) => s.readUntilRegex(/done/)]) {
        const { reader, writer } = pair();
        const found = read(reader);
        sendRaw(writer, "x".repeat(2048));
        await until(() => reader._readBufferSize === 2048);
        sendRaw(writer, "done");
        writer.close();
        expect(await found).to.have.length(2052);
      }
    });
  });

  eachStream(
    (it) => {
      /** Bytes searched and moved for a read of so many pieces. */
      const workOf = async ({ pair }: StreamTest, pieces: number): Promise<number> => {
        const { reader, writer } = pair();
        const { find, reserve } = ReadBuffer.prototype;
        let work = 0;
        ReadBuffer.prototype.find = function (delimiter, from) {
          work += this.length - from;
          return find.call(this, delimiter, from);
        };
        ReadBuffer.prototype.reserve = function (size) {
          const { memory, length } = this;
          const result = reserve.call(this, size);
          if (result !== memory) work += length;
          return result;
        };
        try {
          for (let i = 0; i < pieces; i++) writer.write(Buffer.alloc(1024, "x"));
          writer.write("\r\n");
          expect(await reader.readUntil("\r\n")).to.have.length(pieces * 1024 + 2);
        } finally {
          Object.assign(ReadBuffer.prototype, { find, reserve });
        }
        return work;
      };
      it("S35 reads 4 MB to a delimiter; twice the size is about twice the work", async (test) => {
        const [half, whole] = [await workOf(test, 2048), await workOf(test, 4096)];
        expect(whole / half).to.be.lessThan(2.6);
        expect(whole).to.be.lessThan(4 * 4_194_306);
      });
    },
    { combinations: usual },
  );

  eachStream(
    (it) => {
      it("S36 searches each byte a bounded number of times", async ({ pair, until }) => {
        const { reader, writer } = pair();
        const original = ReadBuffer.prototype.find;
        let searched = 0;
        ReadBuffer.prototype.find = function (delimiter, from) {
          searched += this.length - from;
          return original.call(this, delimiter, from);
        };
        try {
          const read = reader.readUntil("\r\n");
          for (let i = 1; i <= 500; i++) {
            sendRaw(writer, "x");
            await until(() => reader._readBufferSize === i);
          }
          sendRaw(writer, "\r\n");
          expect(await read).to.have.length(502);
        } finally {
          ReadBuffer.prototype.find = original;
        }
        expect(searched).to.be.at.most(502 * 3);
      });
    },
    { combinations: usual, kinds: ["unix"] },
  );
});

describe("readUntilRegex", () => {
  eachStream((it) => {
    it("S37 runs through the end of the first match, with all that precedes it", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "Host: a\r\nX: 12;rest");
      expect(String(await reader.readUntilRegex(/\r?\n/))).to.equal("Host: a\r\n");
      expect(String(await reader.readUntilRegex(/[0-9]+;/))).to.equal("X: 12;");
      expect(String(await reader.readBytes(4))).to.equal("rest");
      expect(() => reader.readUntilRegex(5 as never)).to.throw(TypeError, "regex is 5");
    });

    it("S38 matches bytes", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, Uint8Array.of(1, 0xc3, 0xff, 0xfe, 2));
      expect([...(await reader.readUntilRegex(/\xff\xfe/))]).to.deep.equal([1, 0xc3, 0xff, 0xfe]);
    });

    it("S39 ignores g and y, and leaves the caller's object alone", async ({ pair }) => {
      const a = pair();
      const b = pair();
      const pattern = /b/gy;
      pattern.lastIndex = 7;
      const reads = [a.reader.readUntilRegex(pattern), b.reader.readUntilRegex(pattern)];
      sendRaw(a.writer, "aab");
      sendRaw(b.writer, "ab");
      expect((await Promise.all(reads)).map(String)).to.deep.equal(["aab", "ab"]);
      expect(pattern.lastIndex).to.equal(7);
      sendRaw(a.writer, "GET /");
      expect(String(await a.reader.readUntilRegex("[A-Z]+ "))).to.equal("GET ");
      expect(() => a.reader.readUntilRegex("(")).to.throw(SyntaxError);
      sendRaw(b.writer, "xAby");
      expect(String(await b.reader.readUntilRegex(/ab/i))).to.equal("xAb");
    });

    it("S40 sees only what has arrived", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const read = reader.readUntilRegex(/\d+/);
      sendRaw(writer, "1");
      await turns(2);
      sendRaw(writer, "23");
      expect(String(await read)).to.equal("1");
    });

    it("S41 completes empty for a match of nothing, once a byte is there", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const read = reader.readUntilRegex(/x*/);
      await turns(2);
      expect(read.done()).to.equal(false);
      sendRaw(writer, "abc");
      expect(await read).to.have.length(0);
      expect(String(await reader.readBytes(3))).to.equal("abc");
    });

    it("S42 leaves JavaScript's own meaning of patterns as it is", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, Uint8Array.of(65, 0xa0, 66));
      expect(await reader.readUntilRegex(/\s/)).to.have.length(2);
      await reader.readBytes(1);
      sendRaw(writer, Uint8Array.of(0xe9));
      expect(await reader.readUntilRegex(/\xc9/i)).to.have.length(1);
      sendRaw(writer, "a\rb");
      expect(String(await reader.readUntilRegex(/^b/m))).to.equal("a\rb");
      sendRaw(writer, "end\n;");
      expect(String(await reader.readUntilRegex(/d$|;/))).to.equal("end\n;");
    });
  });
});
