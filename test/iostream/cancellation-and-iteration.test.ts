/** 2.R: half-closed peers, cancellation, async iteration, fairness. */
import { getEventListeners } from "node:events";
import { expect } from "chai";
import { CancelledError } from "../../src/concurrent/index.js";
import type { IOStream } from "../../src/iostream/index.js";
import { type BaseIOStream, StreamClosedError } from "../../src/iostream/index.js";
import { eachStream, failure, sendRaw, thrown, usual } from "./kinds.js";

const READ = 1;

describe("Cancelling reads", () => {
  eachStream((it) => {
    const reads: [string, (stream: BaseIOStream, signal?: AbortSignal) => ReturnType<typeof start>][] = [];
    const start = (stream: BaseIOStream, signal?: AbortSignal) => stream.readBytes(10, { signal });
    reads.push(
      ["readBytes", start],
      ["readUntil", (stream, signal) => stream.readUntil("\n", { signal })],
      ["readUntilRegex", (stream, signal) => stream.readUntilRegex(/\n/, { signal })],
      ["readUntilClose", (stream, signal) => stream.readUntilClose({ signal })],
    );

    for (const [name, read] of reads) {
      it(`S193 S194 S195 ${name}: an abort withdraws it, and every byte stays`, async ({ pair, turns }) => {
        const { reader, writer } = pair();
        let closed = 0;
        reader.setCloseCallback(() => closed++);
        const controller = new AbortController();
        const waiting = read(reader, controller.signal);
        sendRaw(writer, "abc");
        await turns(2);
        const reason = { any: "object" };
        controller.abort(reason);
        expect([waiting.done(), reader.reading(), waiting.cancelled()]).to.deep.equal([true, false, false]);
        expect(await failure(waiting)).to.equal(reason);
        const next = reader.readBytes(5);
        await turns();
        sendRaw(writer, "de");
        expect(String(await next)).to.equal("abcde");
        expect([reader.closed(), reader.error, closed]).to.deep.equal([false, undefined, 0]);
      });

      it(`S193 S194 ${name}: cancel() does the same with a CancelledError`, async ({ pair, turns }) => {
        const { reader, writer } = pair();
        const waiting = read(reader);
        sendRaw(writer, "abc");
        await turns(2);
        expect(waiting.cancel()).to.equal(true);
        expect([waiting.cancelled(), reader.reading()]).to.deep.equal([true, false]);
        expect(await failure(waiting)).to.be.instanceOf(CancelledError);
        expect(String(await reader.readBytes(3))).to.equal("abc");
      });
    }

    it("S193 a read callback is never called", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const controller = new AbortController();
      reader.readBytes(3, () => expect.fail("called"), { signal: controller.signal });
      await turns();
      controller.abort();
      expect(reader.reading()).to.equal(false);
      sendRaw(writer, "abc");
      await turns(3);
      expect(String(await reader.readBytes(3))).to.equal("abc");
    });

    it("S50 S194 readInto: the bytes are the first of the next read", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const controller = new AbortController();
      const waiting = reader.readInto(Buffer.alloc(10), { signal: controller.signal });
      sendRaw(writer, "abc");
      await turns(2);
      controller.abort();
      expect((await failure(waiting)).name).to.equal("AbortError");
      sendRaw(writer, "de");
      expect(String(await reader.readBytes(5))).to.equal("abcde");
    });

    it("S193 a reason of null", async ({ pair }) => {
      const { reader } = pair();
      const controller = new AbortController();
      const waiting = reader.readBytes(1, { signal: controller.signal });
      controller.abort(null);
      const error = await failure(waiting);
      expect(error).to.include({ name: "AbortError", cause: null });
    });

    it("S195 the next read inherits nothing", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const withdrawn = [
        () => reader.readUntil("\n", { maxBytes: 3 }),
        () => reader.readBytes(9, { partial: true }),
        () => reader.readBytes(9, { streamingCallback: () => expect.fail("streamed") }),
        () => reader.readUntilClose({ streamingCallback: () => expect.fail("streamed") }),
      ];
      for (const read of withdrawn) {
        read().cancel();
        const next = reader.readBytes(5);
        sendRaw(writer, "ab");
        await turns(2);
        expect(next.done()).to.equal(false);
        sendRaw(writer, "cde");
        expect(String(await next)).to.equal("abcde");
      }
    });

    it("S196 streamed chunks stay handed out, the rest stays buffered", async ({ pair, turns, until }) => {
      const { reader, writer } = pair();
      const chunks: string[] = [];
      const waiting = reader.readBytes(20, { streamingCallback: (chunk) => chunks.push(String(chunk)) });
      sendRaw(writer, "abc");
      await until(() => chunks.length > 0);
      waiting.cancel();
      sendRaw(writer, "def");
      await turns(2);
      expect(chunks).to.deep.equal(["abc"]);
      expect(String(await reader.readBytes(3))).to.equal("def");
    });

    it("S197 too late, it changes nothing", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xab");
      await reader.readBytes(1);
      const controller = new AbortController();
      const { signal } = controller;
      const done = reader.readBytes(1, { signal });
      let called = "";
      reader.readBytes(1, (data) => (called = String(data)), { signal });
      controller.abort();
      expect(done.cancel()).to.equal(false);
      expect(String(await done)).to.equal("a");
      await until(() => called === "b");
    });

    it("S198 with a signal already aborted nothing starts", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const signal = AbortSignal.abort(new Error("before"));
      const waiting = reader.readBytes(3, { signal });
      expect([waiting.done(), waiting.cancelled(), reader.reading()]).to.deep.equal([true, false, false]);
      expect((await failure(waiting)).message).to.equal("before");
      reader.readUntil("\n", () => expect.fail("called"), { signal });
      expect(reader.reading()).to.equal(false);
      sendRaw(writer, "abc\n");
      await turns(2);
      expect(String(await reader.readUntil("\n"))).to.equal("abc\n");
    });

    it("S199 the interest follows, and no listener stays", async ({ pair, turns, until }) => {
      const { reader, writer } = pair();
      const { signal } = new AbortController();
      const listeners = (): number => getEventListeners(signal, "abort").length;
      for (let i = 0; i < 1000; i++) {
        const waiting = reader.readBytes(1, { signal });
        if (i % 3 === 0) waiting.cancel();
        else {
          sendRaw(writer, "x");
          await waiting;
        }
      }
      expect(listeners()).to.equal(0);
      const controller = new AbortController();
      sendRaw(writer, "abc");
      const waiting = reader.readBytes(10, { signal: controller.signal });
      await until(() => reader._readBufferSize === 3);
      expect((reader._state ?? 0) & READ).to.equal(READ);
      controller.abort();
      expect((reader._state ?? 0) & READ).to.equal(0);
      await failure(waiting);
      const closing = reader.readBytes(10, { signal });
      reader.close();
      await failure(closing);
      expect(listeners()).to.equal(0);
      await turns();
    });
  });
});

describe("Async iteration of streams", () => {
  eachStream((it) => {
    it("S201 each step is one partial read, and nothing is read ahead", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "abcdefgh");
      const chunks = reader.chunks({ size: 3 });
      expect(String((await chunks.next()).value)).to.equal("abc");
      await turns(2);
      expect(reader.reading()).to.equal(false);
      expect(String(await reader.readBytes(2))).to.equal("de");
      expect(String((await chunks.next()).value)).to.equal("fgh");
      for (const options of [{ size: 0 }, { size: -1 }, { size: 1.5 }]) expect(() => reader.chunks(options)).to.throw(RangeError, "size");
      expect(() => reader.chunks({ length: 1 } as never)).to.throw(TypeError, "'length'");
      expect(() => reader.chunks({ signal: {} } as never)).to.throw(TypeError, "signal");
    });

    it("S202 a plain close ends the loop after the bytes, also on a closed stream", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "abcdef");
      writer.close();
      let text = "";
      for await (const chunk of reader) text += String(chunk);
      expect(text).to.equal("abcdef");
      const other = pair();
      sendRaw(other.writer, "xyz");
      await other.reader.readBytes(1);
      other.reader.close();
      await until(() => other.reader.closed());
      const rest: string[] = [];
      for await (const chunk of other.reader) rest.push(String(chunk));
      expect(rest).to.deep.equal(["yz"]);
    });

    it("S202 a close with an error throws after them", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "xyz");
      await reader.readBytes(1);
      const cause = new Error("why");
      reader.close(cause);
      let text = "";
      const error = await failure(
        (async () => {
          for await (const chunk of reader) text += String(chunk);
        })(),
      );
      expect(text).to.equal("yz");
      expect(error).to.be.instanceOf(StreamClosedError).and.to.have.property("realError", cause);
      await until(() => true);
    });

    it("S203 break leaves the stream open with its bytes; iterating again goes on", async ({ pair }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "abcdef");
      for await (const chunk of reader.chunks({ size: 2 })) {
        expect(String(chunk)).to.equal("ab");
        break;
      }
      expect([reader.closed(), reader.reading()]).to.deep.equal([false, false]);
      for await (const chunk of reader.chunks({ size: 4 })) {
        expect(String(chunk)).to.equal("cdef");
        break;
      }
    });

    it("S203 return() withdraws a step that waits", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const chunks = reader.chunks();
      const step = chunks.next();
      await turns();
      expect(thrown(() => reader.readBytes(1)).message).to.match(/^Already reading/);
      expect((await failure(chunks.next())).message).to.match(/^Already reading/);
      expect(reader.reading()).to.equal(true);
      await chunks.return?.();
      expect(reader.reading()).to.equal(false);
      expect(await step).to.deep.equal({ done: true, value: undefined });
      sendRaw(writer, "abc");
      expect(String(await reader.readBytes(3))).to.equal("abc");
    });

    it("S203 an aborted signal ends it with its reason", async ({ pair, turns }) => {
      const { reader } = pair();
      const controller = new AbortController();
      const ended = failure(
        (async () => {
          for await (const chunk of reader.chunks({ signal: controller.signal })) expect.fail(String(chunk));
        })(),
      );
      await turns();
      const reason = new Error("stop");
      controller.abort(reason);
      expect(await ended).to.equal(reason);
      expect(reader.closed()).to.equal(false);
    });
  });
});

describe("Half-closed peers and fairness", () => {
  eachStream(
    (it) => {
      it("S188 a peer that only stopped sending gets the whole answer", async ({ pair, until }) => {
        const { reader: client, writer: server } = pair();
        let closed = 0;
        server.setCloseCallback(() => closed++);
        const answer = server.write(Buffer.alloc(20_000_000, "a"));
        (client as IOStream).socket.shutdown(1);
        expect((await client.readBytes(20_000_000)).equals(Buffer.alloc(20_000_000, "a"))).to.equal(true);
        await answer;
        await until(() => closed === 1);
      });

      it("S188 the end of file closes the whole stream, and drops what waits to be written", async ({ pair, until }) => {
        const { reader: client, writer: server } = pair();
        const answer = server.write(Buffer.alloc(20_000_000));
        const read = server.readBytes(1);
        (client as IOStream).socket.shutdown(1);
        expect(await failure(read)).to.be.instanceOf(StreamClosedError);
        expect(await failure(answer)).to.be.instanceOf(StreamClosedError);
        await until(() => server.closed());
      });
    },
    { kinds: ["tcp", "unix"], combinations: usual },
  );

  eachStream((it) => {
    it("S208 a program that awaits read after read takes a bounded amount in one turn", async ({ pair, turns }) => {
      const { reader, writer } = pair({ readChunkSize: 1000 });
      sendRaw(writer, Buffer.alloc(60_000, "p"));
      let taken = 0;
      const program = (async () => {
        while (taken < 60_000) taken += (await reader.readBytes(100)).length;
      })();
      // The reactions of everything the first turn can do have run when a Node immediate does.
      await new Promise((resolve) => setImmediate(resolve));
      expect(taken).to.be.at.most(9000);
      let most = 0;
      while (taken < 60_000) {
        const before = taken;
        await turns();
        most = Math.max(most, taken - before);
      }
      expect(most).to.be.at.most(12_000);
      await program;
    });

    it("S208 beside it a second stream is answered, a timer fires, and so does a timeout", async ({ pair, loop }) => {
      const flood = pair();
      const calm = pair();
      let stop = false;
      const line = `${"x".repeat(63)}\n`;
      const requests = Buffer.from(line.repeat(1000));
      const sender = (async () => {
        while (!stop) await flood.writer.write(requests);
        flood.writer.close();
      })();
      const server = (async () => {
        try {
          for (;;) await flood.reader.readUntil("\n");
        } catch (error) {
          if (!(error instanceof StreamClosedError)) throw error;
        }
      })();
      let ticks = 0;
      let timeouts = 0;
      const timer = setInterval(() => ticks++, 10);
      const again = (): void => {
        timeouts++;
        if (!stop) loop.callLater(0.01, again);
      };
      again();
      const answers: number[] = [];
      while (ticks < 8 || timeouts < 8) {
        const asked = performance.now();
        await calm.writer.write("ping");
        await calm.reader.readBytes(4);
        answers.push(performance.now() - asked);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      stop = true;
      clearInterval(timer);
      flood.reader.close();
      await Promise.all([sender.catch(() => undefined), server]);
      await new Promise((resolve) => setTimeout(resolve, 15));
      // 50 ms on a machine of its own; tests share theirs, so a few may take what they take.
      answers.sort((a, b) => a - b);
      expect(answers[answers.length >> 1]).to.be.lessThan(1000);
    });

    it("S209 a program that awaits write after write lets a bounded amount pass in one turn", async ({ pair, loop, turns }) => {
      const { writer } = pair();
      const whole = 160 << 20;
      const block = Buffer.alloc(65_536);
      let sent = 0;
      // The other end keeps pace, so that the kernel never has no room.
      writer.writeToFd = (data) => {
        sent += data.length;
        return data.length;
      };
      const program = (async () => {
        while (sent < whole) await writer.write(block);
      })();
      let timeouts = 0;
      const again = (): void => {
        timeouts++;
        if (sent < whole) loop.callLater(0, again);
      };
      again();
      let most = 0;
      for (let before = 0; sent < whole; before = sent) {
        await turns();
        most = Math.max(most, sent - before);
      }
      await program;
      // `turns()` is two iterations.
      expect(most).to.be.at.most(3 * ((16 << 20) + block.length));
      expect(timeouts).to.be.at.least(5);
    });

    it("S209 what is written after the one that waits comes after it, and closing fails none whose bytes are written", async ({ pair }) => {
      const { writer } = pair();
      const order: string[] = [];
      writer.writeToFd = (data) => {
        order.push(String(data.subarray(0, 1)));
        return data.length;
      };
      const first = writer.write("a".repeat((16 << 20) + 1));
      const second = writer.write("b");
      expect([first.done(), second.done()]).to.deep.equal([false, false]);
      void first.then(() => order.push("a is done"));
      await second.then(() => order.push("b is done"));
      expect(order).to.deep.equal(["a", "b", "a is done", "b is done"]);
      const last = writer.write("c".repeat((16 << 20) + 1));
      writer.close();
      await last;
    });
  });
});
