/** 2.Q: what streams leave behind, which is nothing. */
import { expect } from "chai";
import { IOStream, PipeIOStream } from "../../src/iostream/index.js";
import { openDescriptors, pipe, Socket } from "../../src/platform/index.js";
import { eachStream, failure, listenTcp, tcpSockets, usual } from "./kinds.js";

declare const gc: () => void;

describe("Resources of streams", () => {
  eachStream(
    (it) => {
      it("S185 1000 rounds of connecting, exchanging, closing, of refusals and timed-out reads leave nothing open", async ({
        loop,
        turns,
      }) => {
        const [listener, port] = listenTcp();
        const [unused, nobody] = listenTcp();
        unused.close();
        await turns();
        const before = [openDescriptors().length, loop.statistics().handlers];
        for (let round = 0; round < 1000; round++) {
          const client = new IOStream(new Socket(), { ioLoop: loop });
          if (round % 4 === 3) {
            await failure(client.connect(["127.0.0.1", nobody]));
            continue;
          }
          await client.connect(["127.0.0.1", port]);
          const server = new IOStream((listener.accept() as [Socket, unknown])[0], { ioLoop: loop });
          await client.write("ping\n");
          await server.readUntil("\n");
          if (round % 4 === 2) {
            const controller = new AbortController();
            const read = client.readBytes(1, { signal: controller.signal });
            controller.abort();
            await failure(read);
          }
          server.close();
          client.close();
        }
        await turns();
        expect([openDescriptors().length, loop.statistics().handlers]).to.deep.equal(before);
        listener.close();
      });
    },
    { kinds: ["tcp"], combinations: usual },
  );

  eachStream((it, kind) => {
    it("S186 a closed stream is collectable, though it had a read, a write and a close callback", async ({ loop, turns }) => {
      const make = (): WeakRef<object>[] => {
        const { reader, writer } = kind.connect({ ioLoop: loop }, { ioLoop: loop });
        reader.setCloseCallback(() => undefined);
        const { signal } = new AbortController();
        reader.readBytes(10, { signal });
        writer.write(Buffer.alloc(kind.much));
        loop.addCallback(() => {
          reader.close();
          writer.close();
        });
        return [new WeakRef(reader), new WeakRef(writer)];
      };
      const references = make();
      await turns(3);
      await new Promise((resolve) => setImmediate(resolve));
      gc();
      await turns();
      gc();
      expect(references.map((each) => each.deref())).to.deep.equal([undefined, undefined]);
    });

    it("S186 what was queued is released at close, though a callback still waits and the stream is kept", async ({ pair, turns }) => {
      const { writer } = pair();
      writer.write("x", () => undefined);
      writer.write(Buffer.alloc(kind.much)).then(undefined, () => undefined);
      expect(writer._writeBuffer).to.not.equal(undefined);
      writer.close();
      expect(writer._writeBuffer).to.equal(undefined);
      await turns();
    });

    it("S187 failures that nobody looks at make no noise", async ({ pair, turns }) => {
      // An unhandled rejection or a log line would fail this test in the hooks.
      for (let round = 0; round < 3; round++) {
        const { reader, writer } = pair();
        reader.readBytes(10);
        writer.write(Buffer.alloc(kind.much));
        writer.write("x");
        if (round === 0) reader.readBytes = () => expect.fail();
        reader.close();
        writer.close();
        const other = pair();
        other.reader.readBytes(5).cancel();
        other.reader.readBytes(5, { signal: AbortSignal.abort(new Error("unseen")) });
        const controller = new AbortController();
        other.reader.readBytes(5, { signal: controller.signal });
        controller.abort(new Error("unseen"));
      }
      await turns(3);
      await new Promise((resolve) => setImmediate(resolve));
      gc();
      await turns();
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
      // Awaiting one still throws.
      const { reader } = pair();
      const read = reader.readBytes(10);
      reader.close();
      await turns(3);
      expect((await failure(read)).name).to.equal("StreamClosedError");
    });

    it("S192 delimiters and written arrays are not kept", async ({ pair, turns }) => {
      const { reader, writer } = pair();
      const references: WeakRef<object>[] = [];
      const use = (): void => {
        const delimiter = Buffer.from("\n");
        const data = new Uint8Array(kind.much);
        references.push(new WeakRef(delimiter), new WeakRef(data.buffer));
        reader.readUntil(delimiter).then(undefined, () => undefined);
        writer.write(data).then(undefined, () => undefined);
      };
      use();
      await turns(2);
      gc();
      await turns();
      gc();
      expect(references.map((each) => each.deref())).to.deep.equal([undefined, undefined]);
    });

    it("S192 results stay as they are while later reads go on, the small and those as large as a whole read call", async ({ pair }) => {
      const { reader, writer } = pair();
      const given: (readonly [result: Buffer, byte: number])[] = [];
      for (let round = 0; round < 12; round++) {
        const size = [5, 65536, 131072][round % 3] ?? 0;
        const written = writer.write(Buffer.alloc(size, round));
        for (let missing = size; missing > 0; missing -= given.at(-1)?.[0].length ?? 0) {
          given.push([await reader.readBytes(missing, { partial: true }), round]);
        }
        await written;
      }
      for (const [result, byte] of given) expect(result.equals(Buffer.alloc(result.length, byte))).to.equal(true);
    });
  });

  eachStream(
    (it) => {
      it("S187 nor does a connection that fails unseen", async ({ loop, track, turns, until }) => {
        const [unused, nobody] = listenTcp();
        unused.close();
        const stream = track(new IOStream(new Socket(), { ioLoop: loop }));
        stream.connect(["127.0.0.1", nobody]);
        await until(() => stream.closed());
        await turns(2);
        gc();
        await new Promise((resolve) => setTimeout(resolve, 5));
      });

      it("S3 S81 a stream whose operations all complete at once costs no poller call", async ({ loop, track }) => {
        const [a, b] = tcpSockets();
        const [one, two] = [track(new IOStream(a, { ioLoop: loop })), track(new IOStream(b, { ioLoop: loop }))];
        for (let i = 0; i < 3; i++) {
          await one.write("ping\n");
          expect(String(await two.readUntil("\n"))).to.equal("ping\n");
        }
        expect([one._state, two._state]).to.deep.equal([undefined, undefined]);
      });
    },
    { kinds: ["tcp"] },
  );

  eachStream(
    (it) => {
      it("S186 an idle stream owns no buffer", async ({ loop, track }) => {
        const [readEnd, writeEnd] = pipe();
        const reader = track(new PipeIOStream(readEnd, { ioLoop: loop }));
        const writer = track(new PipeIOStream(writeEnd, { ioLoop: loop }));
        const sent = writer.write(Buffer.alloc(500_000));
        await reader.readBytes(500_000);
        await sent;
        expect([reader._readBuffer, writer._writeBuffer, writer._writeFutures]).to.deep.equal([undefined, undefined, undefined]);
      });
    },
    { kinds: ["pipe"], combinations: usual },
  );
});
