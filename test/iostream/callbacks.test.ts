/** 2.H: user callbacks. */
import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "chai";
import { IOStream } from "../../src/iostream/index.js";
import { Socket } from "../../src/platform/index.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, listenTcp, sendRaw } from "./kinds.js";

describe("User callbacks of streams", () => {
  eachStream((it, kind) => {
    it("S73 none runs inline, even if its result is at hand", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "x1\n1234567");
      await reader.readBytes(1);
      const seen: string[] = [];
      const note = (name: string) => () => seen.push(name);
      reader.readUntil("\n", note("until"));
      reader.readBytes(1, note("bytes"));
      reader.readInto(Buffer.alloc(1), note("into"));
      reader.readUntilRegex(/3/, note("regex"));
      reader.readBytes(1, note("streamed"), { streamingCallback: note("chunk") });
      writer.write("x", note("write"));
      writer.setCloseCallback(note("writer closed"));
      reader.setCloseCallback(note("closed"));
      reader.close();
      reader.readUntilClose(note("until close"));
      expect(seen).to.deep.equal([]);
      await until(() => seen.includes("closed"));
      expect(seen.filter((name) => name !== "writer closed")).to.deep.equal([
        "until",
        "bytes",
        "into",
        "regex",
        "chunk",
        "streamed",
        "write",
        "until close",
        "closed",
      ]);
    });

    it("S74 they run in the order in which the operations completed", async ({ pair, until }) => {
      const a = pair();
      const b = pair();
      sendRaw(a.writer, "x123");
      sendRaw(b.writer, "xABC");
      await a.reader.readBytes(1);
      await b.reader.readBytes(1);
      const seen: string[] = [];
      for (const stream of [a.reader, b.reader, a.reader, b.reader, a.reader]) stream.readBytes(1, (data) => seen.push(String(data)));
      await until(() => seen.length === 5);
      expect(seen).to.deep.equal(["1", "A", "2", "B", "3"]);
    });

    it("S74 each in the async context of its call, and none passes to the next read", async ({ pair, until, loop }) => {
      const { reader, writer } = pair();
      const store = new AsyncLocalStorage<string>();
      const seen: [string, string | undefined][] = [];
      const note = (name: string) => () => {
        seen.push([name, store.getStore()]);
      };
      // This read registers the handler: its context must not stay with the stream.
      store.run("first", () => {
        reader.readBytes(1, note("read"));
        reader.setCloseCallback(note("close"));
      });
      await until(() => reader._state !== undefined);
      sendRaw(writer, "a");
      await until(() => seen.length === 1);
      store.run("second", () => {
        reader.readBytes(2, note("read"), { streamingCallback: note("chunk") });
      });
      sendRaw(writer, "bc");
      await until(() => seen.length === 3);
      let handler: string | undefined = "not run";
      const handleEvents = reader._handleEvents.bind(reader);
      reader._handleEvents = (fd, events) => {
        handler = store.getStore();
        handleEvents(fd, events);
      };
      store.run("third", () => {
        writer.write("d", note("write"));
      });
      await until(() => seen.length === 4 && handler !== "not run");
      store.run("closing", () => {
        loop.addCallback(() => {
          reader.close();
        });
      });
      await until(() => seen.length === 5);
      expect(seen).to.deep.equal([
        ["read", "first"],
        ["chunk", "second"],
        ["read", "second"],
        ["write", "third"],
        ["close", "first"],
      ]);
      expect(handler).to.equal(undefined);
    });

    it("S75 between completion and callback the next read may start; its callback comes after", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "x12");
      await reader.readBytes(1);
      const seen: string[] = [];
      reader.readBytes(1, (data) => seen.push(String(data)));
      expect(reader.reading()).to.equal(false);
      reader.readBytes(1, (data) => seen.push(String(data)));
      await until(() => seen.length === 2);
      expect(seen).to.deep.equal(["1", "2"]);
    });

    it("S76 a callback may start the next read", async ({ pair, until }) => {
      const { reader, writer } = pair();
      let lines = 0;
      const next = (): void => {
        reader.readUntil("\n", () => {
          if (++lines < 1000) next();
        });
      };
      next();
      const sent = writer.write("line\n".repeat(1000));
      await until(() => lines === 1000);
      await sent;
    });

    it("S77 one that throws: logged, the stream closed with it, and the loop told", async ({ pair, until, loop }) => {
      const { reader, writer } = pair();
      let closed = 0;
      const told: unknown[] = [];
      loop.handleCallbackException = (_callback, error) => {
        told.push(error);
      };
      reader.setCloseCallback(() => closed++);
      const error = new Error("thrown by the callback");
      reader.readBytes(1, () => {
        throw error;
      });
      sendRaw(writer, "x");
      await until(() => closed === 1);
      expect(reader.error).to.equal(error);
      expect(told).to.deep.equal([error]);
      expectLog("application", "error", /Uncaught exception, closing connection\.[^]*thrown by the callback/);
    });

    it("S78 one whose promise rejects: logged by the loop, and the stream stays open", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      let called = false;
      reader.readBytes(1, () => {
        called = true;
        return Promise.reject(new Error("rejected later"));
      });
      sendRaw(writer, "x");
      await until(() => called);
      await turns(2);
      expect(reader.closed()).to.equal(false);
      expectLog("application", "error", /Exception in callback[^]*rejected later/);
    });

    it("S79 close() within one: it finishes, those scheduled still run, then the close callback", async ({ pair, until }) => {
      const { reader, writer } = pair();
      sendRaw(writer, "x12");
      await reader.readBytes(1);
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("closed"));
      reader.readBytes(1, (data) => {
        reader.close();
        seen.push(`${String(data)} finished`);
      });
      reader.readBytes(1, (data) => seen.push(String(data)));
      await until(() => seen.includes("closed"));
      expect(seen).to.deep.equal(["1 finished", "2", "closed"]);
    });

    it("S80 an operation that the close ends never calls back", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("reader closed"));
      reader.readBytes(1, () => seen.push("read"));
      writer.setCloseCallback(() => seen.push("writer closed"));
      // More than the kernel takes.
      writer.write(Buffer.alloc(kind.much), () => seen.push("write"));
      await turns();
      reader.readBytes = () => expect.fail();
      writer.close();
      reader.close();
      await until(() => seen.filter((name) => name.endsWith("closed")).length === 2);
      expect(seen.filter((name) => name === "write")).to.deep.equal([]);
    });
  });

  eachStream(
    (it) => {
      it("S76 100 000 reads chained from the buffer do not grow the stack", async ({ pair, until }) => {
        const { reader, writer } = pair();
        const count = 100_000;
        let done = 0;
        const sent = writer.write(Buffer.alloc(count, "x"));
        await reader.readBytes(1);
        const next = (): void => {
          reader.readBytes(1, () => {
            if (++done < count - 1) next();
          });
        };
        next();
        await until(() => done === count - 1);
        await sent;
        // Awaited ones neither.
        const again = writer.write(Buffer.alloc(count, "x"));
        for (let i = 0; i < count; i++) await reader.readBytes(1);
        await again;
      });
    },
    { combinations: [{ poller: "epoll", host: "uv-poll" }], kinds: ["unix"] },
  );

  eachStream(
    (it) => {
      it("S73 S80 the connect callback: scheduled, or never", async ({ track, until, loop }) => {
        const [listener, port] = listenTcp();
        const seen: string[] = [];
        const stream = track(new IOStream(new Socket(), { ioLoop: loop }));
        stream.connect(["127.0.0.1", port], () => seen.push("connected"));
        expect(seen).to.deep.equal([]);
        await until(() => seen.length > 0);
        const other = track(new IOStream(new Socket(), { ioLoop: loop }));
        other.setCloseCallback(() => seen.push("closed"));
        other.connect(["127.0.0.1", port], () => seen.push("never"));
        other.close();
        await until(() => seen.length > 1);
        expect(seen).to.deep.equal(["connected", "closed"]);
        listener.close();
      });
    },
    { kinds: ["tcp"] },
  );
});
