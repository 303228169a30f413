/** 2.P: pipes, subclasses, and the write queue. */
import { expect } from "chai";
import type { StreamClosedError } from "../../src/iostream/index.js";
import { _mergePrefix, _StreamBuffer, BaseIOStream, PipeIOStream, type StreamOptions } from "../../src/iostream/index.js";
import { closeDescriptor, pipe, readDescriptor, writeDescriptor } from "../../src/platform/index.js";
import { runSource, typescriptLoader } from "../support/child.js";
import { makeLoop } from "../support/loop.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, sendRaw, thrown } from "./kinds.js";

/** A stream with no more than a subclass must provide. */
class Minimal extends BaseIOStream {
  readonly asked: number[] = [];
  readonly given: number[] = [];
  #fd: number;

  constructor(fd: number, options?: StreamOptions) {
    super(options);
    this.#fd = fd;
  }
  fileno(): number {
    return this.#fd;
  }
  closeFd(): void {
    closeDescriptor(this.#fd);
    this.#fd = -1;
  }
  readFromFd(buf: Uint8Array): number | undefined {
    this.asked.push(buf.length);
    return readDescriptor(this.#fd, buf);
  }
  writeToFd(data: Uint8Array): number | undefined {
    this.given.push(data.length);
    return writeDescriptor(this.#fd, data);
  }
}

describe("Pipes and subclasses", () => {
  eachStream(
    (it) => {
      it("S178 reads, and reads the rest when the writer has gone", async ({ pair }) => {
        const { reader, writer } = pair();
        await writer.write("hel");
        await writer.write("lo world");
        expect(String(await reader.readUntil(" "))).to.equal("hello ");
        expect(String(await reader.readBytes(3))).to.equal("wor");
        writer.close();
        expect(String(await reader.readUntilClose())).to.equal("ld");
      });

      it("S179 a megabyte in one write arrives whole", async ({ pair }) => {
        const { reader, writer } = pair();
        const data = Buffer.alloc(1_048_576, "0123456789abcde");
        const write = writer.write(data);
        expect((await reader.readBytes(data.length)).equals(data)).to.equal(true);
        await write;
      });

      it("S180 S190 with the reader gone a write fails with EPIPE, quietly, and no signal comes", async ({ pair, until }) => {
        const { reader, writer } = pair();
        // No listener counts signals here: taking one off again puts the default in place of Node's SIG_IGN, and the next EPIPE in this
        // process would end it. A signal that is not ignored ends this test run.
        const queued = [writer.write(Buffer.alloc(1_000_000)), writer.write("more")];
        reader.close();
        for (const write of queued) expect(((await failure(write)) as StreamClosedError).realError).to.include({ code: "EPIPE" });
        const direct = pair();
        direct.reader.close();
        expect(((await failure(direct.writer.write("x"))) as StreamClosedError).realError).to.include({ code: "EPIPE" });
        await until(() => true);
      });

      it("S181 an idle writing end notices that the reader has gone", async ({ pair, until }) => {
        const { reader, writer } = pair();
        let closed = 0;
        writer.setCloseCallback(() => closed++);
        await until(() => writer._state !== undefined || writer.closed());
        expect(writer.closed()).to.equal(false);
        reader.close();
        await until(() => closed === 1);
        expect(writer.error).to.equal(undefined);
      });

      it("S182 reading from a writing end closes with EBADF, told by the Future", async ({ pair }) => {
        const { writer } = pair();
        const error = (await failure(writer.readBytes(1))) as StreamClosedError;
        expect(error.realError).to.include({ code: "EBADF" }).and.to.equal(writer.error);
      });

      it("S182 S95 so does writing to a reading end, with a warning", async ({ pair }) => {
        const { reader } = pair();
        const error = (await failure(reader.write("x"))) as StreamClosedError;
        expect(error.realError).to.include({ code: "EBADF" });
        expectLog("general", "warn", /Write error on \d+/);
      });

      it("S183 a subclass with the four methods alone works", async ({ loop, track }) => {
        const [readEnd, writeEnd] = pipe();
        const reader = track(new Minimal(readEnd, { ioLoop: loop, readChunkSize: 100 }));
        const writer = track(new Minimal(writeEnd, { ioLoop: loop }));
        let closed = 0;
        reader.setCloseCallback(() => closed++);
        const write = writer.write(Buffer.alloc(200_000, "m"));
        expect(await reader.readBytes(199_990)).to.have.length(199_990);
        await write;
        expect(Math.max(...reader.asked)).to.equal(100);
        expect(Math.min(...reader.asked, ...writer.given)).to.be.greaterThan(0);
        await reader.readBytes(10);
        reader.asked.length = 0;
        const target = reader.readInto(Buffer.alloc(1000));
        sendRaw(writer, Buffer.alloc(1000));
        expect(await target).to.equal(1000);
        expect(Math.max(...reader.asked)).to.equal(1000);
        writer.close();
        await new Promise<void>((resolve) => {
          reader.setCloseCallback(resolve);
        });
        expect(closed).to.equal(0);
      });

      it("S191 a regular file: the operation that would have to wait throws, and the stream closes with it", async ({
        loop,
        track,
        turns,
      }) => {
        const { openSync, writeFileSync, rmSync, mkdtempSync } = await import("node:fs");
        const folder = mkdtempSync("/tmp/ioloop-");
        writeFileSync(`${folder}/file`, Buffer.alloc(1000, "f"));
        const stream = track(new PipeIOStream(openSync(`${folder}/file`, "r"), { ioLoop: loop, readChunkSize: 10 }));
        expect(await stream.readBytes(30)).to.have.length(30);
        const error = thrown(() => {
          for (;;) stream.readBytes(30);
        });
        expect(error).to.include({ code: "EPERM" }).and.to.equal(stream.error);
        expect([stream.closed(), stream.reading()]).to.deep.equal([true, false]);
        rmSync(folder, { recursive: true });
        await turns();
      });
    },
    { kinds: ["pipe"] },
  );

  it("S190 no EPIPE in a worker ends the process", async () => {
    const { stdout, code } = await runSource(`
      import { isMainThread, parentPort, Worker } from "node:worker_threads";
      import { closeDescriptor, pipe, sys } from "../src/platform/index.js";
      if (isMainThread) {
        // The loader's threads do not inherit it on every Node.
        const start = 'import(${JSON.stringify(typescriptLoader)}).then(() => import(' + JSON.stringify(import.meta.url) + '))';
        const worker = new Worker(start, { eval: true });
        worker.on("message", (result) => console.log("write answered", result));
      } else {
        const [readEnd, writeEnd] = pipe();
        closeDescriptor(readEnd);
        parentPort?.postMessage(sys.write(writeEnd, Buffer.from("x"), 1));
        closeDescriptor(writeEnd);
      }`);
    expect([stdout, code]).to.deep.equal(["write answered -1\n", 0]);
  });

  it("S5 a pipe's fd is its property", () => {
    makeLoop();
    const [readEnd, writeEnd] = pipe();
    const stream = new PipeIOStream(readEnd);
    expect(stream.fd).to.equal(readEnd);
    stream.close();
    expect(stream.fd).to.equal(-1);
    closeDescriptor(writeEnd);
  });
});

describe("The write queue", () => {
  const piece = (text: string): Buffer => Buffer.from(text);

  it("S184 joins small pieces up to the threshold, and leaves large ones alone", () => {
    const buffer = new _StreamBuffer();
    buffer._largeBufThreshold = 10;
    const lengths: number[] = [];
    for (let i = 0; i < 9; i++) buffer.append(piece("x"));
    lengths.push(buffer.pieces);
    for (let i = 0; i < 9; i++) buffer.append(piece("x"));
    lengths.push(buffer.pieces);
    buffer.advance(10);
    lengths.push(buffer.pieces);
    buffer.advance(8);
    lengths.push(buffer.pieces);
    expect(lengths).to.deep.equal([1, 2, 1, 0]);
    for (let i = 0; i < 3; i++) buffer.append(piece("x".repeat(11)));
    expect(buffer.pieces).to.equal(3);
    buffer.append(piece("y"));
    expect(buffer.pieces).to.equal(4);
    buffer.append(piece("z"));
    expect([buffer.pieces, buffer._buffers.length]).to.deep.equal([4, 4]);
    buffer.advance(33);
    expect([buffer.pieces, buffer._buffers.length]).to.deep.equal([1, 1]);
    expect(String(buffer.peek(5))).to.equal("yz");
  });

  it("S184 against a plain string, whatever the sizes", () => {
    let seed = 184;
    const random = (limit: number): number => (seed = (seed * 48271) % 2147483647) % limit;
    for (const threshold of [10, 2048]) {
      const buffer = new _StreamBuffer();
      buffer._largeBufThreshold = threshold;
      let model = "";
      for (let i = 0; i < 3000; i++) {
        if (random(2) === 0) {
          const text = String.fromCharCode(97 + random(26)).repeat(random(3 * threshold));
          buffer.append(piece(text));
          model += text;
        } else if (model.length > 0) {
          const want = 1 + random(4 * threshold);
          const seen = String(buffer.peek(want));
          expect(seen.length).to.be.within(1, want);
          expect(model.startsWith(seen)).to.equal(true);
          const count = 1 + random(model.length);
          buffer.advance(count);
          model = model.slice(count);
        }
        expect(buffer.length).to.equal(model.length);
      }
      let rest = "";
      while (buffer.length > 0) {
        const view = buffer.peek(1 << 20);
        rest += String(view);
        buffer.advance(view.length);
      }
      expect(rest).to.equal(model);
    }
    const empty = new _StreamBuffer();
    expect(empty.peek(5)).to.have.length(0);
    expect(() => empty.peek(0)).to.throw(RangeError);
    expect(() => {
      empty.advance(1);
    }).to.throw(RangeError);
  });

  it("_mergePrefix makes the first chunk as long as asked, by joining or splitting", () => {
    const chunks = ["abc", "de", "fghi", "j"].map(piece);
    const after = (size: number): string[] => {
      _mergePrefix(chunks, size);
      return chunks.map(String);
    };
    expect(after(5)).to.deep.equal(["abcde", "fghi", "j"]);
    expect(after(7)).to.deep.equal(["abcdefg", "hi", "j"]);
    expect(after(3)).to.deep.equal(["abc", "defg", "hi", "j"]);
    expect(after(100)).to.deep.equal(["abcdefghij"]);
    const none: Buffer[] = [];
    _mergePrefix(none, 5);
    expect(none.map(String)).to.deep.equal([""]);
    const one = [piece("ab")];
    _mergePrefix(one, 2);
    expect(one.map(String)).to.deep.equal(["ab"]);
  });
});
