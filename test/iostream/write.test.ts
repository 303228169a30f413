/** 2.I: write. */
import { createHash } from "node:crypto";
import { expect } from "chai";
import { BaseIOStream, IOStream, StreamBufferFullError, StreamClosedError, type StreamOptions } from "../../src/iostream/index.js";
import { AF_INET, readDescriptor, SOCK_DGRAM, Socket } from "../../src/platform/index.js";
import { replaceCall } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failingCalls, failure, receiveRaw, sendRaw, thrown, usual } from "./kinds.js";

/** A stream whose descriptor takes as many bytes as it is allowed to. */
class Throttled extends BaseIOStream {
  allowed = 0;
  taken = "";
  fd: number;
  readonly refusal: "undefined" | "zero" | "EAGAIN" | "EWOULDBLOCK";

  constructor(options: StreamOptions, fd: number, refusal: Throttled["refusal"] = "undefined") {
    super(options);
    this.fd = fd;
    this.refusal = refusal;
  }
  fileno(): number {
    return this.fd;
  }
  closeFd(): void {
    this.fd = -1;
  }
  readFromFd(): undefined {
    return undefined;
  }
  writeToFd(data: Uint8Array): number | undefined {
    if (data.length === 0) throw new Error("called with nothing");
    const count = Math.min(this.allowed, data.length);
    this.allowed -= count;
    this.taken += String(Buffer.from(data.subarray(0, count)));
    if (count > 0) return count;
    if (this.refusal === "undefined") return undefined;
    if (this.refusal === "zero") return 0;
    throw Object.assign(new Error("not now"), { code: this.refusal });
  }
}

describe("write", () => {
  eachStream((it, kind) => {
    const writeCall = kind.socket ? "send" : "write";

    it("S81 what the kernel takes at once is done at return, with no interest registered", async ({ pair, loop, until }) => {
      const { reader, writer } = pair();
      const before = loop.statistics().handlers;
      const write = writer.write("small");
      expect([write.done(), writer.writing()]).to.deep.equal([true, false]);
      expect(loop.statistics().handlers).to.equal(before);
      let called = 0;
      writer.write("!", () => called++);
      expect(called).to.equal(0);
      await until(() => called === 1);
      expect(writer._state).to.equal(undefined);
      expect(await write).to.equal(undefined);
      expect(String(await reader.readBytes(6))).to.equal("small!");
    });

    it("S82 what it refuses stays queued, with WRITE interest until it is gone", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const write = writer.write(Buffer.alloc(kind.much, "w"));
      expect([write.done(), writer.writing()]).to.deep.equal([false, true]);
      expect((writer._state ?? 0) & 4).to.equal(4);
      const got = await reader.readBytes(kind.much);
      expect(got.equals(Buffer.alloc(kind.much, "w"))).to.equal(true);
      await write;
      await until(() => ((writer._state ?? 0) & 4) === 0);
      expect(writer.writing()).to.equal(false);
    });

    it("S83 a later callback takes the place of one that has not run", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      writer.write(Buffer.alloc(kind.much), () => seen.push("first"));
      writer.write("x", () => seen.push("second"));
      await reader.readBytes(kind.much + 1);
      await until(() => seen.length > 0);
      await turns(2);
      expect(seen).to.deep.equal(["second"]);
    });

    it("S84 a Future does not", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      writer.write(Buffer.alloc(kind.much), () => seen.push("callback"));
      const write = writer.write("x");
      await turns(2);
      expect(seen).to.deep.equal([]);
      await Promise.all([reader.readBytes(kind.much + 1), write]);
      await until(() => seen.length > 0);
      expect(seen).to.deep.equal(["callback"]);
    });

    it("S86 nothing to write completes without a call, behind what waits", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      using calls = replaceCall(writeCall, (real) => real as never);
      expect(writer.write("").done()).to.equal(true);
      expect(writer.write(new Uint8Array(0)).done()).to.equal(true);
      expect(calls.calls).to.equal(0);
      const big = writer.write(Buffer.alloc(kind.much));
      const empty = writer.write("");
      await turns(2);
      expect([big.done(), empty.done()]).to.deep.equal([false, false]);
      await reader.readBytes(kind.much);
      await Promise.all([big, empty]);
    });

    it("S87 takes strings, views and buffers by their bytes, and nothing else", async ({ pair }) => {
      const { reader, writer } = pair();
      writer.write("é");
      expect(await reader.readBytes(2)).to.deep.equal(Buffer.from("é"));
      writer.write(new Float64Array(10));
      expect(await reader.readBytes(80)).to.have.length(80);
      writer.write(Uint8Array.of(0, 1, 2, 3).buffer);
      writer.write(new DataView(Uint8Array.of(7, 8, 9).buffer, 1, 1));
      writer.write(Buffer.from("abc").subarray(1));
      expect([...(await reader.readBytes(7))]).to.deep.equal([0, 1, 2, 3, 8, 98, 99]);
      for (const data of [5, null, undefined, {}, ["x"], true]) expect(() => writer.write(data as never)).to.throw(TypeError, "data is");
      expect(writer.writing()).to.equal(false);
    });

    it("S88 sends the bytes as they were at the call", async ({ pair }) => {
      const { reader, writer } = pair();
      const data = Buffer.alloc(kind.much, "a");
      const small = Buffer.from("b");
      const writes = [writer.write(data), writer.write(small)];
      data.fill("z");
      small.fill("z");
      const got = await reader.readBytes(kind.much + 1);
      await Promise.all(writes);
      expect(got.includes("z")).to.equal(false);
      expect(got.at(-1)).to.equal(98);
    });

    it("S90 refuses what would make too much wait, and takes exactly the limit", async ({ pair }) => {
      const { reader, writer } = pair({}, { maxWriteBufferSize: 100 });
      expect(thrown(() => writer.write("x".repeat(101)))).to.be.instanceOf(StreamBufferFullError);
      expect(receiveRaw(reader)).to.have.length(0);
      let total = 0;
      const full = Buffer.alloc(100, "f");
      for (let done = true; done; total += 100) done = writer.write(full).done();
      const room = 100 - (writer._writeBuffer?.length ?? 0);
      const exact = writer.write(full.subarray(0, room));
      total += room;
      expect(thrown(() => writer.write("y"))).to.be.instanceOf(StreamBufferFullError);
      expect(thrown(() => writer.write("y", () => undefined))).to.be.instanceOf(StreamBufferFullError);
      expect([writer.closed(), exact.done()]).to.deep.equal([false, false]);
      const got = await reader.readBytes(total);
      await exact;
      expect(got.every((byte) => byte === 102)).to.equal(true);
    });

    it("S92 EINTR is retried", async ({ pair }) => {
      const { reader, writer } = pair();
      using fault = failingCalls(writer, "write", "EINTR", 2);
      expect(writer.write("abc").done()).to.equal(true);
      expect(fault.injected).to.equal(2);
      expect(String(await reader.readBytes(3))).to.equal("abc");
      using again = failingCalls(reader, "read", "EINTR", 2);
      sendRaw(writer, "d");
      expect(String(await reader.readBytes(1))).to.equal("d");
      expect(again.injected).to.equal(2);
    });

    for (const code of ["ECONNRESET", "EPIPE", "ETIMEDOUT", "ECONNABORTED"]) {
      it(`S93 S94 ${code} closes quietly; the write does not throw, its Future fails`, async ({ pair, until }) => {
        const { writer } = pair();
        let closed = 0;
        writer.setCloseCallback(() => closed++);
        using fault = failingCalls(writer, "write", code);
        const write = writer.write("x");
        expect(fault.injected).to.equal(1);
        const error = (await failure(write)) as StreamClosedError;
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.realError).to.include({ code }).and.to.equal(writer.error);
        await until(() => closed === 1);
      });
    }

    it("S95 any other error: a warning, and the same", async ({ pair, until }) => {
      for (const inline of [true, false]) {
        const { reader, writer } = pair();
        const first = inline ? undefined : writer.write(Buffer.alloc(kind.much));
        using fault = failingCalls(writer, "write", "EIO");
        const write = writer.write("x");
        if (!inline) receiveRaw(reader);
        for (const each of first === undefined ? [write] : [first, write]) {
          expect(((await failure(each)) as StreamClosedError).realError).to.include({ code: "EIO" });
        }
        expect(fault.injected).to.equal(1);
        await until(() => writer.closed());
      }
      expectLog("general", "warn", /Write error on \d+/, 2);
    });

    it("S94 S96 on closing, writes that wait fail in order, and their bytes are dropped", async ({ pair, until }) => {
      const { writer } = pair();
      const seen: string[] = [];
      const writes = [writer.write(Buffer.alloc(kind.much)), writer.write("b"), writer.write("c")];
      for (const [index, write] of writes.entries()) {
        write.then(
          () => seen.push("written"),
          (error: unknown) => seen.push(`${index} ${(error as Error).name}`),
        );
      }
      writer.write("d", () => seen.push("callback"));
      // Let the awaiting code begin before the stream closes.
      await Promise.resolve();
      writer.close();
      await until(() => seen.length >= 3);
      expect(seen).to.deep.equal(["0 StreamClosedError", "1 StreamClosedError", "2 StreamClosedError"]);
      expect(writer._writeBuffer).to.equal(undefined);
      const errors = await Promise.all(writes.map(failure));
      expect(new Set(errors).size).to.equal(3);
    });

    it("S97 what was awaited is in the kernel", async ({ pair }) => {
      const { reader, writer } = pair();
      await writer.write("all of it");
      writer.close();
      expect(String(await reader.readUntilClose())).to.equal("all of it");
    });

    it("S200 cancelling a write withdraws nothing", async ({ pair }) => {
      const { reader, writer } = pair();
      const first = writer.write(Buffer.alloc(kind.much, "a"));
      const second = writer.write("b");
      const third = writer.write("c");
      expect(second.cancel()).to.equal(true);
      const got = await reader.readBytes(kind.much + 2);
      await first;
      await third;
      expect(String(got.subarray(-2))).to.equal("bc");
      expect(second.cancelled()).to.equal(true);
      expect((await failure(second)).name).to.equal("CancelledError");
    });
  });

  eachStream(
    (it) => {
      const data = Buffer.alloc(20_000_000);
      for (let i = 0; i < data.length; i += 4) data.writeUInt32LE((i * 2654435761) >>> 0, i);
      const digest = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex");

      for (const pieces of [1, 20]) {
        it(`S89 20 MB to a slow reader arrive unchanged, in ${pieces}`, async ({ pair, turns }) => {
          const { reader, writer } = pair();
          const size = data.length / pieces;
          const writes = Array.from({ length: pieces }, (_, i) => writer.write(data.subarray(i * size, (i + 1) * size)));
          const hash = createHash("sha1");
          for (let left = data.length, round = 0; left > 0; round++) {
            const chunk = await reader.readBytes(65536, { partial: true });
            hash.update(chunk);
            left -= chunk.length;
            if (round % 50 === 0) await turns();
          }
          await Promise.all(writes);
          expect(hash.digest("hex")).to.equal(digest(data));
        });
      }

      it("S91 ten producers against one reader: every Future settles, every byte arrives", async ({ pair }) => {
        const { reader, writer } = pair();
        const counts = new Array<number>(10).fill(0);
        const producers = counts.map(async (_, i) => {
          const piece = Buffer.alloc(5000, i);
          for (let k = 0; k < 1000; k++) await writer.write(piece);
        });
        for (let left = 50_000_000; left > 0; left -= 5000) {
          const piece = await reader.readBytes(5000);
          const first = piece[0] as number;
          counts[first] = (counts[first] ?? 0) + 1;
          if (piece.at(-1) !== first) throw new Error("A write was torn");
        }
        await Promise.all(producers);
        expect(counts).to.deep.equal(new Array<number>(10).fill(1000));
      });
    },
    { combinations: usual, kinds: ["tcp", "pipe"] },
  );

  eachStream(
    (it) => {
      it("S85 Futures complete in order, each when its bytes are taken", async ({ loop, track, pair }) => {
        const { reader } = pair();
        const stream = track(new Throttled({ ioLoop: loop }, reader.fileno()));
        stream.allowed = 3;
        const writes = ["ab", "cde", "fghi"].map((text) => stream.write(text));
        const done = (): boolean[] => writes.map((write) => write.done());
        expect(done()).to.deep.equal([true, false, false]);
        stream.allowed = 2;
        stream._handleWrite();
        expect(done()).to.deep.equal([true, true, false]);
        stream.allowed = 9;
        stream._handleWrite();
        expect(done()).to.deep.equal([true, true, true]);
        expect(stream.taken).to.equal("abcdefghi");
        await Promise.all(writes);
      });

      for (const refusal of ["undefined", "zero", "EAGAIN", "EWOULDBLOCK"] as const) {
        it(`S92 "not now" as ${refusal} keeps the data and waits for WRITE`, async ({ loop, track, pair }) => {
          const { reader } = pair();
          const stream = track(new Throttled({ ioLoop: loop }, reader.fileno(), refusal));
          const write = stream.write("abc");
          expect([write.done(), stream.writing(), (stream._state ?? 0) & 4]).to.deep.equal([false, true, 4]);
          stream.allowed = 9;
          await write;
          expect(stream.taken).to.equal("abc");
        });
      }

      it("S82 a refused write is not tried again before WRITE is reported", async ({ loop, track, pair }) => {
        const { reader } = pair();
        const stream = track(new Throttled({ ioLoop: loop }, reader.fileno()));
        stream.allowed = 1;
        const writes = [stream.write("ab")];
        stream.allowed = 9;
        writes.push(stream.write("cd"));
        expect(stream.taken).to.equal("a");
        await Promise.all(writes);
        expect(stream.taken).to.equal("abcd");
      });
    },
    { kinds: ["unix"] },
  );

  eachStream(
    (it, kind) => {
      const held = kind.name === "tcp";

      it("S81 answers to lines that came together are written each at once, and leave with the last where the kernel can wait", async ({
        pair,
      }) => {
        const { reader, writer: peer } = pair();
        sendRaw(peer, "a\nb\nc\n");
        const arrived: string[] = [];
        for (let line = 0; line < 3; line++) {
          const asked = await reader.readUntil("\n");
          expect([reader.write(asked).done(), reader.writing()]).to.deep.equal([true, false]);
          arrived.push(String(receiveRaw(peer)));
        }
        expect(arrived).to.deep.equal(held ? ["", "", "a\nb\nc\n"] : ["a\n", "b\n", "c\n"]);
      });

      it("S81 an answer leaves at the next iteration though more is unread, and no write follows", async ({ pair, turns }) => {
        const { reader, writer: peer } = pair();
        sendRaw(peer, "a\nunread");
        await reader.write(await reader.readUntil("\n"));
        expect(String(receiveRaw(peer))).to.equal(held ? "" : "a\n");
        await turns();
        expect(String(receiveRaw(peer))).to.equal(held ? "a\n" : "");
      });

      it("S81 S97 an answer leaves at the close though more is unread, also where a reset ends the connection", async ({ pair }) => {
        for (const behind of ["", "and unread in the kernel"]) {
          const { reader, writer: peer } = pair();
          sendRaw(peer, "a\nunread");
          await reader.write(await reader.readUntil("\n"));
          sendRaw(peer, behind);
          reader.close();
          const memory = Buffer.alloc(9);
          expect(String(memory.subarray(0, readDescriptor(peer.fileno(), memory)))).to.equal("a\n");
        }
      });
    },
    { kinds: ["tcp", "unix"], combinations: usual },
  );

  eachStream(
    (it) => {
      it("S81 over a datagram socket each write is a datagram of its own, whatever is unread", async ({ loop, track }) => {
        const [ours, peer] = [new Socket(AF_INET, SOCK_DGRAM), new Socket(AF_INET, SOCK_DGRAM)];
        for (const socket of [ours, peer]) socket.bind(["127.0.0.1", 0]);
        ours.connect(peer.getsockname());
        peer.connect(ours.getsockname());
        const stream = track(new IOStream(ours, { ioLoop: loop }));
        peer.send("ab");
        await stream.readBytes(1);
        for (const data of ["x", "y"]) await stream.write(data);
        expect([String(peer.recv(9)), String(peer.recv(9))]).to.deep.equal(["x", "y"]);
        peer.close();
      });
    },
    { kinds: ["tcp"], combinations: usual },
  );
});
