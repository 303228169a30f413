/** 2.R: conversions to a Node Duplex and to web streams. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, get, Agent } from "node:http";
import type { Socket as NetSocket } from "node:net";
import { PassThrough, Readable, Writable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { expect } from "chai";
import { IOStream, StreamClosedError } from "../../src/iostream/index.js";
import { eachStream, failure, listenTcp, sendRaw, usual } from "./kinds.js";

const READ = 1;
const sha1 = (data: Uint8Array): string => createHash("sha1").update(data).digest("hex");

describe("toDuplex", () => {
  eachStream((it, kind) => {
    it("S204 reads to the end, writes and ends", async ({ pair, until }) => {
      const { reader, writer } = pair();
      const readable = reader.toDuplex();
      const writable = writer.toDuplex();
      const got = text(readable);
      for (const part of ["one ", "two ", "three"]) writable.write(part);
      writable.end();
      expect(await got).to.equal("one two three");
      if (kind.duplex) readable.end();
      writable.resume();
      await until(() => reader.closed() && (writer.closed() || !kind.duplex));
    });

    it("S204 a paused consumer stops the READ interest", async ({ pair, turns, until }) => {
      const { reader, writer } = pair();
      const duplex = reader.toDuplex();
      const write = writer.write(Buffer.alloc(kind.much));
      duplex.once("readable", () => undefined);
      await turns(20);
      expect((reader._state ?? 0) & READ).to.equal(0);
      expect(write.done()).to.equal(false);
      duplex.destroy();
      await failure(write);
      await until(() => reader.closed());
    });

    it("S204 a write's callback waits for the write", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const duplex = writer.toDuplex();
      let done = 0;
      duplex.write(Buffer.alloc(kind.much), () => done++);
      await turns(5);
      expect(done).to.equal(0);
      await reader.readBytes(kind.much);
      await turns(3);
      expect(done).to.equal(1);
      duplex.destroy();
      await turns();
    });

    it("S204 what piles up behind a write goes out as one", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const sizes: number[] = [];
      const writeToFd = writer.writeToFd.bind(writer);
      writer.writeToFd = (data) => {
        sizes.push(data.length);
        return writeToFd(data);
      };
      const duplex = writer.toDuplex();
      for (let i = 0; i < 100; i++) duplex.write("0123456789");
      expect(await reader.readBytes(1000)).to.have.length(1000);
      expect(sizes).to.deep.equal([10, 990]);
      duplex.destroy();
      await turns();
    });

    it("S204 destroy(error) closes the stream with it; an error of the stream destroys the Duplex", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const error = new Error("destroyed");
      const duplex = reader.toDuplex();
      const seen: unknown[] = [];
      duplex.on("error", (each) => seen.push(each));
      duplex.destroy(error);
      await turns();
      expect([reader.closed(), reader.error, seen[0]]).to.deep.equal([true, error, error]);
      const other = writer.toDuplex();
      other.on("error", (each) => seen.push(each));
      const cause = new Error("of the stream");
      writer.close(cause);
      await turns();
      expect([other.destroyed, seen[1]]).to.deep.equal([true, cause]);
    });

    it("S204 after the end of file writes fail", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const duplex = reader.toDuplex();
      writer.close();
      duplex.resume();
      await once(duplex, "end");
      const error = await new Promise((resolve) => {
        duplex.on("error", () => undefined);
        duplex.write("x", resolve);
      });
      expect(error).to.be.instanceOf(StreamClosedError);
      await turns();
    });

    it("S206 leaves the close callback to the user, and the read slot to its reads", async ({ pair, until, turns }) => {
      const { reader, writer } = pair();
      const seen: string[] = [];
      reader.setCloseCallback(() => seen.push("before"));
      const duplex = reader.toDuplex();
      duplex.resume();
      await turns();
      expect(() => reader.readBytes(1)).to.throw(/^Already reading/);
      writer.setCloseCallback(() => seen.push("replaced"));
      const web = writer.toWeb();
      writer.setCloseCallback(() => seen.push("after"));
      await web.writable.abort();
      web.readable.cancel().catch(() => undefined);
      await until(() => seen.length === 2);
      expect(seen.sort()).to.deep.equal(["after", "before"]);
    });
  });

  eachStream(
    (it, kind) => {
      it("S204 pipeline() copies 50 MB intact, in both directions", async ({ pair }) => {
        for (const back of [false, true]) {
          const { reader, writer } = pair();
          const [from, to] = back && reader instanceof IOStream ? [reader, writer] : [writer, reader];
          const block = randomBytes(1_000_000);
          const hash = createHash("sha1");
          const source = Readable.from(
            (function* () {
              for (let i = 0; i < 50; i++) {
                hash.update(block);
                yield block;
              }
            })(),
          );
          const gotHash = createHash("sha1");
          let got = 0;
          const sink = new Writable({
            write(chunk: Buffer, _encoding, done) {
              got += chunk.length;
              gotHash.update(chunk);
              done();
            },
          });
          const sending = pipeline(source, from.toDuplex());
          const duplex = to.toDuplex();
          const receiving = pipeline(duplex, new PassThrough(), sink);
          // The other half of a connection ends too; a pipe has none.
          if (kind.duplex) duplex.end();
          await Promise.all([receiving, sending.catch(() => undefined)]);
          expect(got).to.equal(50_000_000);
          expect(gotHash.digest("hex")).to.equal(hash.digest("hex"));
        }
      });
    },
    { combinations: usual },
  );

  eachStream(
    (it) => {
      it("S204 serves HTTP: fetch, keep-alive, and 50 MB", async ({ loop, track, until }) => {
        const big = randomBytes(50_000_000);
        const server = createServer((request, response) => {
          if (request.url === "/big") response.end(big);
          else request.pipe(response);
        });
        const [listener, port] = listenTcp();
        let connections = 0;
        loop.addHandler(
          listener,
          () => {
            for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) {
              connections++;
              const stream = track(new IOStream(pending[0], { ioLoop: loop }));
              server.emit("connection", stream.toDuplex() as unknown as NetSocket);
            }
          },
          READ,
        );
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        const ask = async (path: string): Promise<Buffer> =>
          new Promise((resolve, reject) => {
            get({ port, host: "127.0.0.1", path, agent }, (response) => {
              buffer(response).then(resolve, reject);
            }).on("error", reject);
          });
        expect(sha1(await ask("/big"))).to.equal(sha1(big));
        expect(await ask("/")).to.have.length(0);
        expect(connections).to.equal(1);
        const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "echo me", headers: { connection: "close" } });
        expect(await answer.text()).to.equal("echo me");
        agent.destroy();
        loop.removeHandler(listener);
        listener.close();
        server.closeAllConnections();
        server.close();
        await until(() => true);
      });
    },
    { combinations: usual, kinds: ["tcp"] },
  );
});

describe("toWeb", () => {
  eachStream((it, kind) => {
    it("S205 reads to the end and writes", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const { readable } = reader.toWeb();
      const { writable } = writer.toWeb();
      const sink = writable.getWriter();
      await sink.write(Buffer.from("one "));
      await sink.write(new Uint8Array(Buffer.from("two")));
      await sink.close();
      let got = "";
      for await (const chunk of readable) got += String(Buffer.from(chunk));
      expect(got).to.equal("one two");
      await turns();
      if (!kind.duplex) expect(writer.closed()).to.equal(true);
    });

    it("S205 BYOB reads have their own memory filled", async ({ pair }) => {
      const { reader, writer } = pair();
      const { readable } = reader.toWeb();
      const byob = readable.getReader({ mode: "byob" });
      sendRaw(writer, "hello world");
      const first = await byob.read(new Uint8Array(5));
      expect(String(Buffer.from(first.value as Uint8Array))).to.equal("hello");
      const second = await byob.read(new Uint8Array(20));
      expect(String(Buffer.from(second.value as Uint8Array))).to.equal(" world");
      writer.close();
      expect((await byob.read(new Uint8Array(5))).done).to.equal(true);
    });

    it("S205 cancel() and abort() close", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      await reader.toWeb().readable.cancel();
      const error = new Error("aborted");
      await writer.toWeb().writable.abort(error);
      await turns();
      expect([reader.closed(), writer.closed(), writer.error]).to.deep.equal([true, true, error]);
    });

    it("S205 backpressure reaches both ways", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const { readable } = reader.toWeb();
      const { writable } = writer.toWeb();
      const sink = writable.getWriter();
      let done = false;
      const write = sink.write(Buffer.alloc(kind.much)).then(() => (done = true));
      await turns(20);
      expect(done).to.equal(false);
      expect((reader._state ?? 0) & READ).to.equal(0);
      let got = 0;
      const source = readable.getReader();
      while (got < kind.much) got += ((await source.read()).value as Uint8Array).length;
      await write;
      expect(got).to.equal(kind.much);
    });

    it("S205 an error of the stream reaches both", async ({ pair, turns }) => {
      const { reader } = pair();
      const { readable, writable } = reader.toWeb();
      const cause = new Error("of the stream");
      const read = readable.getReader().read();
      await turns();
      reader.close(cause);
      const error = (await failure(read)) as StreamClosedError;
      expect(error === cause || error.realError === cause).to.equal(true);
      expect(await failure(writable.getWriter().closed)).to.be.instanceOf(StreamClosedError);
    });
  });
});
