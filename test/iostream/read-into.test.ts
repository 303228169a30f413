/** 2.E: readInto. */
import { expect } from "chai";
import { createHash } from "node:crypto";
import { StreamClosedError } from "../../src/iostream/index.js";
import { eachStream, failure, randomNumbers, sendRaw } from "./kinds.js";

declare const gc: () => void;

describe("readInto", () => {
  eachStream((it) => {
    it("S43 S44 S45 fills the target, buffered bytes first", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const ten = Buffer.alloc(10);
      const first = reader.readInto(ten);
      sendRaw(writer, "hello");
      await turns(2);
      expect(reader.reading()).to.equal(true);
      sendRaw(writer, "world!!");
      expect(await first).to.equal(10);
      expect(reader.reading()).to.equal(false);
      expect(String(ten)).to.equal("helloworld");
      const second = reader.readInto(ten);
      sendRaw(writer, "1234567890");
      expect(await second).to.equal(10);
      expect(String(ten)).to.equal("!!12345678");
      sendRaw(writer, "abcdefghi");
      await turns();
      const four = Buffer.alloc(4);
      expect(await reader.readInto(four)).to.equal(4);
      expect(String(four)).to.equal("90ab");
      expect(String(await reader.readBytes(7))).to.equal("cdefghi");
    });

    it("S45 is done at return when the buffer suffices", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xabcdef");
      await reader.readBytes(1);
      const target = Buffer.alloc(4);
      const read = reader.readInto(target);
      expect(read.done()).to.equal(true);
      expect([await read, String(target)]).to.deep.equal([4, "abcd"]);
      expect(String(await reader.readBytes(2))).to.equal("ef");
    });

    it("S46 with partial stores what is there", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const target = Buffer.alloc(10, "-");
      const first = reader.readInto(target, { partial: true });
      sendRaw(writer, "hello");
      expect([await first, String(target)]).to.deep.equal([5, "hello-----"]);
      sendRaw(writer, "world!1234567890");
      await turns();
      expect([await reader.readInto(target, { partial: true }), String(target)]).to.deep.equal([10, "world!1234"]);
      await turns();
      // Whether the rest is buffered or still in the kernel, it is 6 bytes.
      expect([await reader.readInto(target, undefined, { partial: true }), String(target)]).to.deep.equal([6, "5678901234"]);
    });

    it("S47 reads into nothing at once", async ({ pair }) => {
      const { reader } = pair();
      const read = reader.readInto(new Uint8Array(0));
      expect(read.done()).to.equal(true);
      expect(await read).to.equal(0);
    });

    it("S48 keeps to the view", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const memory = new Uint8Array(12).fill(46);
      const read = reader.readInto(memory.subarray(3, 8));
      sendRaw(writer, "ab");
      await turns(2);
      sendRaw(writer, "cdefgh");
      await read;
      expect(String(Buffer.from(memory))).to.equal("...abcde....");
      await reader.readInto(memory.subarray(9, 11));
      expect(String(Buffer.from(memory))).to.equal("...abcde.fg.");
      for (const wrong of ["text", new ArrayBuffer(3), new Uint16Array(2), 5, undefined]) {
        expect(() => reader.readInto(wrong as never)).to.throw(TypeError, "pass a Uint8Array");
      }
      const callback = await new Promise<number>((resolve) => {
        reader.readInto(memory.subarray(0, 1), resolve);
      });
      expect([callback, memory[0]]).to.deep.equal([1, 104]);
    });

    it("S49 S192 touches the target no more once the read has settled, and lets it go", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      let target: Uint8Array | undefined = new Uint8Array(4);
      const reference = new WeakRef(target);
      const read = reader.readInto(target);
      sendRaw(writer, "abcd");
      await read;
      sendRaw(writer, "wxyz");
      await turns(2);
      expect(String(Buffer.from(target))).to.equal("abcd");
      // eslint-disable-next-line no-useless-assignment -- it gives up the last reference but the stream's
      target = undefined;
      await turns();
      gc();
      await turns();
      gc();
      expect(reference.deref()).to.equal(undefined);
      expect(String(await reader.readBytes(4))).to.equal("wxyz");
    });

    it("S50 gives the bytes of an unfinished read to the next", async ({ pair, turns, until }) => {
      const { reader, writer } = pair();
      const target = Buffer.alloc(10);
      const cancelled = reader.readInto(target);
      sendRaw(writer, "abc");
      await turns(2);
      cancelled.cancel();
      target.fill("z");
      expect(String(await reader.readBytes(2))).to.equal("ab");
      const failing = reader.readInto(target);
      sendRaw(writer, "de");
      await turns(2);
      writer.close();
      expect(await failure(failing)).to.be.instanceOf(StreamClosedError);
      await until(() => reader.closed());
      const rest = await reader.readBytes(3);
      expect(Buffer.isBuffer(rest)).to.equal(true);
      expect(String(rest)).to.equal("cde");
    });

    it("S51 fails when the memory is taken away, and loses nothing", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const target = new Uint8Array(10);
      const read = reader.readInto(target);
      sendRaw(writer, "abc");
      await turns(2);
      structuredClone(target.buffer, { transfer: [target.buffer] });
      sendRaw(writer, "de");
      const error = await failure(read);
      expect(error).to.be.instanceOf(TypeError);
      expect(error.message).to.contain("buf has 0 bytes");
      expect(reader.closed()).to.equal(false);
      expect(String(await reader.readBytes(5))).to.equal("abcde");
    });

    it("S51 fails when the memory shrinks", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const memory = new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer & { resize(n: number): void })(8, {
        maxByteLength: 8,
      });
      const read = reader.readInto(new Uint8Array(memory));
      await turns();
      memory.resize(4);
      sendRaw(writer, "abcdefgh");
      expect(await failure(read)).to.be.instanceOf(TypeError);
      expect(String(await reader.readBytes(8))).to.equal("abcdefgh");
    });

    it("S52 fills a target larger than the buffer may be", async ({ pair }) => {
      const { reader, writer } = pair({ maxBufferSize: 1000 });
      const sent = Buffer.alloc(50_000, "ab");
      const target = Buffer.alloc(50_000);
      const written = writer.write(sent);
      expect(await reader.readInto(target)).to.equal(50_000);
      await written;
      expect(target.equals(sent)).to.equal(true);
    });
  });

  eachStream(
    (it) => {
      it("S53 mixes with readBytes over a million random bytes", async ({ pair }) => {
        const { reader, writer } = pair();
        const random = randomNumbers(53);
        const sentHash = createHash("sha1");
        const gotHash = createHash("sha1");
        const total = 1_000_000;
        const sending = (async () => {
          for (let left = total; left > 0;) {
            const piece = Buffer.alloc(Math.min(left, 1 + random(1000)));
            for (let i = 0; i < piece.length; i++) piece[i] = random(256);
            sentHash.update(piece);
            left -= piece.length;
            await writer.write(piece);
          }
        })();
        for (let left = total; left > 0;) {
          const count = Math.min(left, 1 + random(1000));
          if (random(2) === 0) {
            gotHash.update(await reader.readBytes(count));
          } else {
            const target = Buffer.alloc(count);
            expect(await reader.readInto(target)).to.equal(count);
            gotHash.update(target);
          }
          left -= count;
        }
        await sending;
        expect(gotHash.digest("hex")).to.equal(sentHash.digest("hex"));
      });
    },
    { combinations: [{ poller: "epoll", host: "uv-poll" }] },
  );
});
