import { inspect } from "node:util";
import { expect } from "chai";
import { CancelledError, Future } from "../../src/concurrent/index.js";
import { IncompleteReadError, LimitOverrunError, StreamReader } from "../../src/asyncio/index.js";
import { nextRound } from "../support/real-timers.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { failureOf, text, thrownBy } from "./support.js";

/** A transport that notes what it is told. */
class Recorder {
  readonly calls: string[] = [];

  pauseReading(): void {
    this.calls.push("pause");
  }

  resumeReading(): void {
    this.calls.push("resume");
  }
}

function fed(...pieces: string[]): StreamReader {
  return limited(undefined, ...pieces);
}

function limited(limit: number | undefined, ...pieces: string[]): StreamReader {
  const reader = new StreamReader({ limit });
  for (const piece of pieces) reader.feedData(piece);
  return reader;
}

/** What is left in the buffer. */
async function rest(reader: StreamReader): Promise<string> {
  if (!reader.atEof()) reader.feedEof();
  return text(reader.read());
}

describe("StreamReader", () => {
  beforeEach(() => void makeLoop());

  describe("limit", () => {
    for (const limit of [0, -1, 1.5, NaN, Infinity]) {
      it(`A1 a limit of ${limit} is a RangeError that says so`, () => {
        expect(() => new StreamReader({ limit })).to.throw(RangeError, /limit/);
        expect(() => new StreamReader(limit)).to.throw(RangeError, /limit/);
      });
    }

    it("A1 a limit that is no number, a wrong loop and an unknown option are TypeErrors", () => {
      expect(() => new StreamReader({ limit: "9" as never })).to.throw(TypeError, /limit is '9'/);
      expect(() => new StreamReader({ loop: {} as never })).to.throw(TypeError, /loop/);
      expect(() => new StreamReader({ size: 1 } as never)).to.throw(TypeError, /size/);
    });

    it("A1 both forms of the constructor, and the current loop without one", () => {
      const loop = makeLoop();
      loop.makeCurrent();
      expect(new StreamReader()._loop).to.equal(loop);
      const other = makeLoop();
      expect(new StreamReader(10, other)._loop).to.equal(other);
      expect(new StreamReader({ limit: 10, loop: other })._loop).to.equal(other);
      expect(String(new StreamReader(10))).to.equal("<StreamReader limit=10>");
    });
  });

  describe("feeding", () => {
    it("A2 feedData takes a copy", async () => {
      const reader = new StreamReader();
      const bytes = Buffer.from("abc");
      reader.feedData(bytes);
      bytes.fill("x");
      expect(await text(reader.read(3))).to.equal("abc");
      const view = new Uint8Array([1, 97, 98, 2]).subarray(1, 3);
      reader.feedData(view);
      expect(await text(reader.read(3))).to.equal("ab");
    });

    it("A2 feedData of nothing does nothing, and anything after feedEof is an Error", async () => {
      const reader = new StreamReader();
      const read = reader.read(1);
      reader.feedData("");
      await nextRound();
      expect(read.done()).to.equal(false);
      reader.feedEof();
      reader.feedEof();
      expect((await read).length).to.equal(0);
      expect(() => reader.feedData("")).to.throw(Error, "feedData after feedEof");
      expect(() => reader.feedData("x")).to.throw(Error, "feedData after feedEof");
      expect(() => new StreamReader().feedData(5 as never)).to.throw(TypeError, /data is 5/);
    });

    it("A2 a woken read sees all that was fed in the same turn, in a microtask", async () => {
      const reader = new StreamReader();
      const read = reader.read(10);
      reader.feedData("ab");
      expect(read.done()).to.equal(false);
      reader.feedData("cd");
      expect(await text(read)).to.equal("abcd");
    });
  });

  describe("read", () => {
    it("A3 read(0) is empty at once and takes nothing", async () => {
      const reader = fed("abc");
      const read = reader.read(0);
      expect(read.done()).to.equal(true);
      expect((await read).length).to.equal(0);
      expect((await new StreamReader().read(0)).length).to.equal(0);
      expect(await rest(reader)).to.equal("abc");
    });

    it("A3 read(n) gives at most n of what is there", async () => {
      const reader = fed("line1line2");
      expect(await text(reader.read(5))).to.equal("line1");
      expect(await text(reader.read(5))).to.equal("line2");
    });

    it("A3 read(n) waits for the first bytes alone, whatever the limit", async () => {
      const reader = limited(3);
      const read = reader.read(30);
      reader.feedData("some more than three");
      expect(await text(read)).to.equal("some more than three");
    });

    it("A4 read() and read(-1) collect until the end, whatever the limit", async () => {
      for (const n of [undefined, -1, -7]) {
        const reader = limited(2, "chunk1 ");
        const read = n === undefined ? reader.read() : reader.read(n);
        reader.feedData("chunk2");
        await nextRound();
        expect(read.done()).to.equal(false);
        reader.feedEof();
        expect(await text(read)).to.equal("chunk1 chunk2");
        expect((await reader.read()).length).to.equal(0);
      }
    });

    it("A4 a waiting read(n) is empty at the end", async () => {
      const reader = new StreamReader();
      const read = reader.read(1024);
      reader.feedEof();
      expect((await read).length).to.equal(0);
    });

    it("A5 wrong counts are rejections and take nothing", async () => {
      const reader = fed("abc");
      for (const method of ["read", "readexactly"] as const) {
        expect(await failureOf(reader[method]("3" as never))).to.be.instanceOf(TypeError);
        for (const n of [1.5, NaN]) expect(await failureOf(reader[method](n))).to.be.instanceOf(RangeError);
      }
      const error = await failureOf(reader.readexactly(-1));
      expect(error).to.be.instanceOf(RangeError);
      expect(error.message).to.include("less than zero");
      expect(await rest(reader)).to.equal("abc");
    });
  });

  describe("readline", () => {
    it("A6 returns through the newline, pieces joined", async () => {
      const reader = fed("chunk1 ", "chunk2 ");
      const line = reader.readline();
      reader.feedData("\n chunk4");
      expect(await text(line)).to.equal("chunk1 chunk2 \n");
      expect(await rest(reader)).to.equal(" chunk4");
    });

    it("A6 the rest at the end, and then nothing", async () => {
      const reader = fed("some data");
      const line = reader.readline();
      reader.feedEof();
      expect(await text(line)).to.equal("some data");
      expect(await text(reader.readline())).to.equal("");
    });

    it("A7 the limit counts the bytes before the newline", async () => {
      expect(await text(limited(7, "1234567\n").readline())).to.equal("1234567\n");
      const error = await failureOf(limited(7, "12345678\n").readline());
      expect(error).to.be.instanceOf(RangeError);
      expect(error.cause).to.be.instanceOf(LimitOverrunError);
      expect((error.cause as LimitOverrunError).consumed).to.equal(8);
    });

    it("A7 a line that is too long goes as a whole, and the next one is readable", async () => {
      const reader = limited(3, "line1\nline2\nab\n");
      expect(await failureOf(reader.readline())).to.be.instanceOf(RangeError);
      expect(await failureOf(reader.readline())).to.be.instanceOf(RangeError);
      expect(await text(reader.readline())).to.equal("ab\n");
    });

    it("A8 too long and no newline yet: the whole buffer goes", async () => {
      const reader = limited(7, "12345678");
      const error = await failureOf(reader.readline());
      expect(error).to.be.instanceOf(RangeError);
      expect((error.cause as LimitOverrunError).message).to.include("Separator is not found");
      reader.feedData("ab\n");
      expect(await text(reader.readline())).to.equal("ab\n");
      // Exactly the limit is not too much.
      const enough = limited(7, "1234567");
      const line = enough.readline();
      await nextRound();
      expect(line.done()).to.equal(false);
      enough.feedData("\n");
      expect(await text(line)).to.equal("1234567\n");
    });
  });

  describe("readexactly", () => {
    it("A9 gives exactly n and leaves the rest, whatever the limit", async () => {
      const reader = limited(2, "abc");
      const read = reader.readexactly(7);
      reader.feedData("defghi");
      expect(await text(read)).to.equal("abcdefg");
      expect(await text(reader.readexactly(0))).to.equal("");
      expect(await rest(reader)).to.equal("hi");
    });

    it("A9 the end before n is an IncompleteReadError with what came", async () => {
      const reader = fed("some data, 18 byte");
      const read = reader.readexactly(36);
      reader.feedEof();
      const error = await failureOf(read);
      expect(error).to.be.instanceOf(IncompleteReadError);
      expect(String(error.partial)).to.equal("some data, 18 byte");
      expect(error.expected).to.equal(36);
      expect(error.message).to.equal("18 bytes read on a total of 36 expected bytes");
      expect(error.name).to.equal("IncompleteReadError");
      expect(reader.atEof()).to.equal(true);
    });
  });

  describe("readuntil", () => {
    it("A10 finds the separator across pieces and gives it too", async () => {
      const reader = new StreamReader();
      const read = reader.readuntil("aaa");
      for (const piece of ["QWEaa", "XYaa", "a"]) {
        reader.feedData(piece);
        await nextRound();
      }
      expect(await text(read)).to.equal("QWEaaXYaaa");
      reader.feedData("line\nmore");
      expect(await text(reader.readuntil())).to.equal("line\n");
      expect(await text(reader.readuntil(new Uint8Array([0x65])))).to.equal("more");
    });

    it("A10 an empty separator or list is a RangeError, no bytes a TypeError", async () => {
      const reader = fed("abc");
      for (const separator of ["", new Uint8Array(0), ["a", ""]]) {
        const error = await failureOf(reader.readuntil(separator));
        expect(error).to.be.instanceOf(RangeError);
        expect(error.message).to.include("Separator should be");
      }
      const error = await failureOf(reader.readuntil([]));
      expect(error).to.be.instanceOf(RangeError);
      expect(error.message).to.include("Separator should contain");
      expect(await failureOf(reader.readuntil(5 as never))).to.be.instanceOf(TypeError);
      expect(await rest(reader)).to.equal("abc");
    });

    it("A11 the end without it is an IncompleteReadError with everything", async () => {
      const reader = fed("some dataAA");
      const read = reader.readuntil("AAA");
      reader.feedEof();
      const error = await failureOf(read);
      expect(error).to.be.instanceOf(IncompleteReadError);
      expect(String(error.partial)).to.equal("some dataAA");
      expect(error.expected).to.equal(undefined);
      expect(error.message).to.match(/a total of undefined expected bytes$/);
      expect(reader.atEof()).to.equal(true);
    });

    it("A11 a separator that the last piece completes is found", async () => {
      const reader = fed("dataA");
      const read = reader.readuntil("AB");
      reader.feedData("B");
      reader.feedEof();
      expect(await text(read)).to.equal("dataAB");
    });

    it("A12 over the limit and not found: consumed, and the buffer untouched", async () => {
      const reader = limited(3, "some dataAA");
      const error = await failureOf(reader.readuntil("AAA"));
      expect(error).to.be.instanceOf(LimitOverrunError);
      expect(error.message).to.include("Separator is not found");
      expect(error.consumed).to.equal(9);
      // Not before the bytes that cannot be a separator's beginning exceed the limit.
      const waiting = limited(3, "someA");
      const read = waiting.readuntil("AAA");
      await nextRound();
      expect(read.done()).to.equal(false);
      read.cancel();
      expect((await failureOf(limited(3, "some data").readuntil(["A", "ABCDE"]))).consumed).to.equal(5);
      expect(await rest(reader)).to.equal("some dataAA");
    });

    it("A13 over the limit and found: consumed bytes can be skipped", async () => {
      const reader = limited(3, "some dataAAA");
      const error = await failureOf(reader.readuntil("AAA"));
      expect(error).to.be.instanceOf(LimitOverrunError);
      expect(error.message).to.include("Separator is found");
      expect(error.consumed).to.equal(9);
      expect(await text(reader.readexactly(9))).to.equal("some data");
      expect(await text(reader.readuntil("AAA"))).to.equal("AAA");
    });

    it("A14 of several separators the match that ends first wins", async () => {
      expect(await text(fed("ABCDEFG").readuntil(["DEF", "BCDE"]))).to.equal("ABCDE");
      expect(await text(fed("ABCDEFG").readuntil(["BCDE", "DEF"]))).to.equal("ABCDE");
      expect(await text(fed("aXbYc").readuntil(["Y", "X"]))).to.equal("aX");
    });

    it("A14 of two that end together the shorter counts", async () => {
      const error = await failureOf(limited(3, "some dataA").readuntil(["A", "ome dataA"]));
      expect(error.message).to.include("Separator is found");
      expect(error.consumed).to.equal(9);
    });

    it("A14 separators are found across pieces though the longest has been looked for further back", async () => {
      const reader = new StreamReader();
      const read = reader.readuntil(["\r\n", "END-OF-ALL"]);
      for (const piece of ["data END-OF", "-AL", "x\r", "\nrest"]) {
        reader.feedData(piece);
        await nextRound();
      }
      expect(await text(read)).to.equal("data END-OF-ALx\r\n");
    });
  });

  describe("exception", () => {
    it("A15 every read fails with the very object, buffered data or not", async () => {
      const reader = fed("abc\n");
      expect(reader.exception()).to.equal(undefined);
      const error = new Error("broken");
      reader.setException(error);
      expect(reader.exception()).to.equal(error);
      for (const read of [reader.read(1), reader.read(0), reader.read(), reader.readexactly(0), reader.readline(), reader.readuntil("b")]) {
        expect(await failureOf(read)).to.equal(error);
      }
    });

    it("A15 a wrong argument is reported first", async () => {
      const reader = new StreamReader();
      reader.setException(new Error("broken"));
      expect(await failureOf(reader.readexactly(-1))).to.be.instanceOf(RangeError);
      expect(await failureOf(reader.read("1" as never))).to.be.instanceOf(TypeError);
      expect(await failureOf(reader.readuntil(""))).to.be.instanceOf(RangeError);
    });

    it("A15 a waiting read fails, also when data came in the same turn; a cancelled one is left alone", async () => {
      const error = new Error("broken");
      const reader = new StreamReader();
      const read = reader.read(1);
      reader.feedData("x");
      reader.setException(error);
      expect(await failureOf(read)).to.equal(error);
      const other = new StreamReader();
      const cancelled = other.read(1);
      cancelled.cancel();
      other.setException(error);
      expect(cancelled.cancelled()).to.equal(true);
    });

    it("A16 a second read while one waits fails at once and harms nothing", async () => {
      const reader = new StreamReader();
      const first = reader.readline();
      const methods = { read: reader.read(1), readuntil: reader.readuntil("x"), readexactly: reader.readexactly(1) };
      for (const [name, second] of Object.entries(methods)) {
        expect((await failureOf(second)).message).to.match(
          new RegExp(`^${name}\\(\\) called while another coroutine is already waiting for incoming data`),
        );
      }
      expect((await failureOf(reader.readline())).message).to.match(/^readuntil\(\)/);
      reader.feedData("line\n");
      // Also one whose data has come, and that has not gone on yet.
      expect((await failureOf(reader.read(1))).message).to.match(/already waiting/);
      expect(await text(first)).to.equal("line\n");
    });

    it("A17 cancelling a read loses no bytes", async () => {
      const reader = fed("par");
      const line = reader.readline();
      await nextRound();
      line.cancel();
      expect(await failureOf(line)).to.be.instanceOf(CancelledError);
      reader.feedData("tial\nrest");
      expect(await text(reader.readline())).to.equal("partial\n");
      const all = reader.read();
      reader.feedData(" of it");
      await nextRound();
      all.cancel();
      expect(await rest(reader)).to.equal("rest of it");
    });

    it("A17 a read that is cancelled in the turn its data comes loses none either", async () => {
      const reader = new StreamReader();
      const line = reader.readline();
      reader.feedData("one\n");
      line.cancel();
      expect(await text(reader.readline())).to.equal("one\n");
    });
  });

  describe("the end", () => {
    it("A18 atEof needs the end and an empty buffer", async () => {
      const reader = fed("some data\n");
      expect(reader.atEof()).to.equal(false);
      reader.feedEof();
      expect(reader.atEof()).to.equal(false);
      await reader.readline();
      expect(reader.atEof()).to.equal(true);
    });

    it("A19 for await gives lines, the last one perhaps without a newline", async () => {
      const reader = fed("one\n\ntwo\nthree");
      reader.feedEof();
      const lines: string[] = [];
      for await (const line of reader) lines.push(line.toString());
      expect(lines).to.deep.equal(["one\n", "\n", "two\n", "three"]);
    });

    it("A19 for await throws what readline rejects with", async () => {
      const reader = limited(3, "ab\nmuch too long\n");
      const lines: string[] = [];
      const error = await failureOf(
        (async () => {
          for await (const line of reader) lines.push(line.toString());
        })(),
      );
      expect(error).to.be.instanceOf(RangeError);
      expect(lines).to.deep.equal(["ab\n"]);
    });
  });

  describe("memory", () => {
    it("A20 what was read does not change any more, and a small part pins no big buffer", async () => {
      const reader = new StreamReader({ limit: 1 << 20 });
      reader.feedData(`head\n${"x".repeat(1 << 20)}`);
      const head = await reader.readline();
      expect(head.buffer.byteLength).to.be.below(1 << 18);
      const body = await reader.read(10);
      reader.feedData("y".repeat(1 << 20));
      await reader.read(1 << 21);
      reader.feedData("zzzzzzzzzzzzzzzzzzzz");
      expect(head.toString()).to.equal("head\n");
      expect(body.toString()).to.equal("xxxxxxxxxx");
      body.fill("!");
      expect(await rest(reader)).to.equal("zzzzzzzzzzzzzzzzzzzz");
    });

    it("A21 pauses above twice the limit, once, and resumes at the limit, once", async () => {
      const transport = new Recorder();
      const reader = new StreamReader({ limit: 10 });
      reader.setTransport(transport);
      reader.feedData("x".repeat(20));
      expect(transport.calls).to.deep.equal([]);
      reader.feedData("x");
      reader.feedData("x");
      expect(transport.calls).to.deep.equal(["pause"]);
      await reader.read(11);
      expect(transport.calls).to.deep.equal(["pause"]);
      await reader.read(1);
      expect(transport.calls).to.deep.equal(["pause", "resume"]);
      await reader.read(1);
      expect(transport.calls).to.deep.equal(["pause", "resume"]);
    });

    it("A21 a piece under a waiting read counts before the read has taken its share", async () => {
      const transport = new Recorder();
      const reader = new StreamReader({ limit: 10 });
      reader.setTransport(transport);
      const read = reader.read(21);
      reader.feedData("x".repeat(21));
      expect(transport.calls).to.deep.equal(["pause"]);
      await read;
      expect(transport.calls).to.deep.equal(["pause", "resume"]);
    });

    it("A22 a read that must wait resumes the transport first", async () => {
      const transport = new Recorder();
      const reader = new StreamReader({ limit: 3 });
      reader.setTransport(transport);
      reader.feedData("x".repeat(7));
      expect(transport.calls).to.deep.equal(["pause"]);
      const read = reader.readexactly(20);
      expect(transport.calls).to.deep.equal(["pause", "resume"]);
      reader.feedData("x".repeat(7));
      expect(transport.calls).to.deep.equal(["pause", "resume", "pause"]);
      await nextRound();
      expect(transport.calls.at(-1)).to.equal("resume");
      reader.feedData("x".repeat(6));
      expect((await read).length).to.equal(20);
    });

    it("A23 a transport that cannot pause is forgotten", async () => {
      let asked = 0;
      const transport = {
        pauseReading(): void {
          asked++;
          throw new Error("not implemented");
        },
        resumeReading(): void {
          throw new Error("not to be called");
        },
      };
      const reader = new StreamReader({ limit: 1 });
      reader.setTransport(transport);
      reader.feedData("abcdef");
      reader.feedData("ghi");
      expect(asked).to.equal(1);
      expect(await rest(reader)).to.equal("abcdefghi");
    });

    it("A23 one that cannot resume is logged and harms no read", async () => {
      expectLog("application", "error", /resumeReading\(\) .* failed/);
      const reader = new StreamReader({ limit: 1 });
      reader.setTransport({
        pauseReading: () => undefined,
        resumeReading: () => {
          throw new Error("cannot");
        },
      });
      reader.feedData("abcdef");
      expect(await text(reader.read(6))).to.equal("abcdef");
    });

    it("A23 a second transport is an Error", () => {
      const reader = new StreamReader();
      reader.setTransport(new Recorder());
      expect(thrownBy(() => reader.setTransport(new Recorder())).message).to.include("Transport already set");
    });

    it("A24 lines of ten bytes take time linear in their number", async () => {
      const time = async (bytes: number): Promise<number> => {
        const reader = new StreamReader({ limit: bytes });
        reader.feedData("123456789\n".repeat(bytes / 10));
        reader.feedEof();
        const start = performance.now();
        let lines = 0;
        while ((await reader.readline()).length > 0) lines++;
        expect(lines).to.equal(bytes / 10);
        return performance.now() - start;
      };
      await time(100_000);
      const small = Math.min(await time(250_000), await time(250_000));
      const large = Math.min(await time(2_000_000), await time(2_000_000));
      // Eight times the bytes; quadratic would be 64 times the time.
      expect(large / small).to.be.below(24);
    }).timeout(20_000);

    it("A24 readuntil with input byte by byte does not search again what it has searched", async () => {
      const time = async (bytes: number): Promise<number> => {
        const reader = new StreamReader({ limit: bytes + 10 });
        const start = performance.now();
        const read = reader.readuntil("\r\n\r\n");
        const byte = Buffer.from("x");
        for (let i = 0; i < bytes; i++) {
          reader.feedData(byte);
          await null;
          await null;
        }
        reader.feedData("\r\n\r\n");
        expect((await read).length).to.equal(bytes + 4);
        return performance.now() - start;
      };
      await time(5_000);
      const small = Math.min(await time(10_000), await time(10_000));
      const large = Math.min(await time(80_000), await time(80_000));
      expect(large / small).to.be.below(24);
    }).timeout(20_000);
  });

  describe("text", () => {
    it("A25 says what matters, in this order", () => {
      expect(String(new StreamReader())).to.equal("<StreamReader>");
      const reader = limited(123, "data");
      reader.feedEof();
      expect(inspect(reader)).to.equal("<StreamReader 4 bytes eof limit=123>");
      const broken = limited(1, "abc");
      broken.setException(new Error("no"));
      broken.setTransport({ pauseReading: () => undefined, resumeReading: () => undefined });
      broken.feedData("d");
      expect(String(broken)).to.match(/^<StreamReader 4 bytes limit=1 exception=Error: no transport=.* paused>$/s);
    });
  });

  it("A2 a read that waits is a Future whose done callback comes with the reader's loop", async () => {
    const loop = makeLoop();
    const reader = new StreamReader({ loop });
    const read = reader.read(1);
    expect(read).to.be.instanceOf(Future);
    let called = false;
    read.addDoneCallback(() => (called = true));
    reader.feedData("x");
    await read;
    expect(called).to.equal(false);
    loop.runIteration();
    expect(called).to.equal(true);
  });
});
