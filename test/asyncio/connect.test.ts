import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { CancelledError, Future } from "../../src/concurrent/index.js";
import { type ResolvedAddress, Resolver } from "../../src/net/index.js";
import { AF_INET, AF_INET6, AF_UNIX, AI_NUMERICHOST, type InetAddress, SOCK_DGRAM, Socket, socketpair } from "../../src/platform/index.js";
import { createConnection, openConnection, openUnixConnection, Protocol, startServer, startUnixServer } from "../../src/asyncio/index.js";
import type { Server, Streams } from "../../src/asyncio/index.js";
import { openDescriptors } from "../support/descriptors.js";
import { injectFault, replaceCall } from "../support/faults.js";
import { makeLoop } from "../support/loop.js";
import { failureOf, onLoop, pair, portOf, rounds, text, until } from "./support.js";

/** Answers with a list, whatever it is asked. */
class Fixed extends Resolver {
  override resolve(_host: string, port: number): Future<ResolvedAddress[]> {
    const future = new Future<ResolvedAddress[]>();
    future.setResult(
      answers.map((host) => [host.includes(":") ? AF_INET6 : AF_INET, host.includes(":") ? [host, port, 0, 0] : [host, port]]),
    );
    return future;
  }
}
let answers: string[] = [];

async function resolvingTo<T>(hosts: string[], body: () => Promise<T>): Promise<T> {
  answers = hosts;
  Resolver.configure(Fixed as never);
  try {
    return await body();
  } finally {
    Resolver.configure(undefined);
  }
}

/** A server that says hello, and closes its clients at the end. */
async function serving<T>(hosts: string | string[], body: (port: number, server: Server) => Promise<T>): Promise<T> {
  const server = await startServer((_, writer) => writer.write("hello\n"), hosts, 0);
  try {
    return await body(portOf(server), server);
  } finally {
    server.close();
    server.abortClients();
    await server.waitClosed();
  }
}

async function hello([reader, writer]: Streams): Promise<InetAddress> {
  expect(await text(reader.readline())).to.equal("hello\n");
  const peer = writer.getExtraInfo("peername") as InetAddress;
  writer.close();
  await writer.waitClosed();
  return peer;
}

/** A port that nobody listens on. */
function refusing(): number {
  using socket = new Socket();
  socket.bind(["127.0.0.1", 0]);
  return (socket.getsockname() as InetAddress)[1];
}

describe("openConnection", () => {
  it(
    "A50 tries the addresses one after the other, and closes those that failed",
    onLoop(() =>
      serving("127.0.0.1", (port) =>
        resolvingTo(["127.0.0.2", "127.0.0.3", "127.0.0.1"], async () => {
          const order: unknown[] = [];
          const before = openDescriptors().size;
          using _connects = replaceCall("connect", (real) => (fd, address, length) => {
            order.push(address[7]);
            return real(fd, address, length);
          });
          expect((await hello(await openConnection("example.com", port)))[0]).to.equal("127.0.0.1");
          expect(order).to.deep.equal([2, 3, 1]);
          expect(openDescriptors().size).to.be.at.most(before + 1);
        }),
      ),
    ),
  );

  it(
    "A50 without a host it is this machine",
    onLoop(() =>
      serving("127.0.0.1", async (port) => expect((await hello(await openConnection(undefined, port)))[0]).to.equal("127.0.0.1")),
    ),
  );

  it(
    "A50 family and AI_NUMERICHOST restrict the lookup",
    onLoop(async () => {
      expect((await failureOf(openConnection("::1", 1, { family: AF_INET }))).code).to.equal("ENOTFOUND");
      expect((await failureOf(openConnection("localhost", 1, { flags: AI_NUMERICHOST }))).code).to.equal("ENOTFOUND");
    }),
  );

  it(
    "A51 with happyEyeballsDelay the next address starts when one fails, families taking turns; losers are closed",
    onLoop(() =>
      serving("127.0.0.1", (port) =>
        resolvingTo(["127.0.0.7", "127.0.0.8", "::1", "127.0.0.1"], async () => {
          const order: string[] = [];
          using _connects = replaceCall("connect", (real) => (fd, address, length) => {
            const name = length > 16 ? "v6" : `v4 ${address[7] ?? ""}`;
            order.push(name);
            return real(fd, address, length);
          });
          const streams = await openConnection("example.com", port, { happyEyeballsDelay: 0.02 });
          expect((await hello(streams))[0]).to.equal("127.0.0.1");
          expect(order).to.deep.equal(["v4 7", "v6", "v4 8", "v4 1"]);
        }),
      ),
    ),
  );

  it(
    "A51 an attempt that hangs does not hold up the others, and is closed when another wins",
    onLoop((loop) =>
      serving("127.0.0.1", (port) =>
        resolvingTo(["127.0.0.9", "127.0.0.1"], async () => {
          // Nothing is sent, so nothing is answered: the descriptor never gets ready.
          let hanging = -1;
          using _connects = replaceCall("connect", (real) => (fd, address, length) => {
            if (address[7] !== 9) return real(fd, address, length);
            hanging = fd;
            const full = fullListener.connectTo;
            return real(fd, full, full.length);
          });
          const fullListener = makeFullListener();
          const start = loop.time();
          const streams = await openConnection("example.com", port, { happyEyeballsDelay: 0.05 });
          expect(loop.time() - start).to.be.within(0.045, 2);
          expect(hanging).to.be.above(-1);
          expect(openDescriptors().has(hanging as never)).to.equal(false);
          expect((await hello(streams))[0]).to.equal("127.0.0.1");
          fullListener.close();
        }),
      ),
    ),
  );

  it(
    "A52 one address: its error; several: an Error with all of them; allErrors: an AggregateError",
    onLoop(async () => {
      const port = refusing();
      const one = await failureOf(openConnection("127.0.0.1", port));
      expect(one).to.include({ code: "ECONNREFUSED", syscall: "connect", address: "127.0.0.1", port });
      await resolvingTo(["127.0.0.1", "127.0.0.2"], async () => {
        const several = await failureOf(openConnection("example.com", port));
        expect(several.message).to.match(/^Multiple exceptions: connect ECONNREFUSED 127.0.0.1:\d+, connect ECONNREFUSED 127.0.0.2:\d+$/);
        expect((several.errors as Error[]).length).to.equal(2);
        const all = await failureOf(openConnection("example.com", port, { allErrors: true }));
        expect(all).to.be.instanceOf(AggregateError);
        expect((all.errors as Error[]).length).to.equal(2);
      });
      await resolvingTo(["127.0.0.1", "127.0.0.1"], async () => {
        expect((await failureOf(openConnection("example.com", port))).code).to.equal("ECONNREFUSED");
      });
      expect((await failureOf(openConnection("no such host.invalid", 1))).code).to.equal("ENOTFOUND");
    }),
  );

  it(
    "A53 localAddr binds the client's end",
    onLoop(() =>
      serving("127.0.0.1", async (port) => {
        const [reader, writer] = await openConnection("127.0.0.1", port, { localAddr: ["127.0.0.5", 0] });
        expect((writer.getExtraInfo("sockname") as InetAddress)[0]).to.equal("127.0.0.5");
        await hello([reader, writer]);
        await hello(await openConnection("127.0.0.1", port, { localAddr: ["", 0] }));
        expect((await failureOf(openConnection("127.0.0.1", port, { localAddr: ["8.8.8.8", 0] }))).code).to.equal("EADDRNOTAVAIL");
        const error = await failureOf(openConnection("127.0.0.1", port, { localAddr: ["::1", 0] }));
        expect(error.code).to.equal("EADDRNOTAVAIL");
        expect(error.message).to.include("no IPv4 address");
        expect(await failureOf(openConnection("127.0.0.1", port, { localAddr: "127.0.0.1" as never }))).to.be.instanceOf(TypeError);
        expect(await failureOf(openConnection("127.0.0.1", port, { localAddr: ["127.0.0.1", -1] }))).to.be.instanceOf(RangeError);
      }),
    ),
  );

  it(
    "A54 sock is taken over on success",
    onLoop(async (loop) => {
      const [reader, writer, peer] = await pair(loop);
      peer.send("data");
      expect(await text(reader.read(10))).to.equal("data");
      writer.close();
      await writer.waitClosed();
      expect(peer.recv(1)?.length).to.equal(0);
      peer.close();
    }),
  );

  it(
    "A54 sock beside a host, neither, a datagram socket, a closed one: the caller keeps it",
    onLoop(async (loop) => {
      const [ours, peer] = socketpair();
      for (const attempt of [
        openConnection("127.0.0.1", 1, { sock: ours }),
        openConnection(undefined, 1, { sock: ours }),
        openConnection(),
        openConnection({ loop }),
        openConnection({ sock: ours, serverHostname: "x" }),
        openConnection({ sock: ours, limit: 0 }),
      ]) {
        expect(await failureOf(attempt)).to.be.instanceOf(RangeError);
      }
      expect(await failureOf(openConnection({ sock: {} as never }))).to.be.instanceOf(TypeError);
      expect(await failureOf(openConnection({ sock: ours, lop: 1 } as never))).to.be.instanceOf(TypeError);
      using datagrams = new Socket(AF_INET, SOCK_DGRAM);
      expect(await failureOf(openConnection({ sock: datagrams }))).to.be.instanceOf(RangeError);
      expect(datagrams.closed).to.equal(false);
      expect(ours.closed).to.equal(false);
      ours.close();
      expect((await failureOf(openConnection({ sock: ours }))).code).to.equal("EBADF");
      peer.close();
    }),
  );

  it(
    "A55 wrong arguments come as rejections",
    onLoop(async () => {
      for (const port of [-1, 65536, 1.5, NaN]) expect(await failureOf(openConnection("127.0.0.1", port))).to.be.instanceOf(RangeError);
      expect(await failureOf(openConnection("127.0.0.1", "80" as never))).to.be.instanceOf(TypeError);
      expect(await failureOf(openConnection("127.0.0.1"))).to.be.instanceOf(RangeError);
      expect(await failureOf(openConnection(5 as never, 80))).to.be.instanceOf(TypeError);
      expect(await failureOf(openConnection("127.0.0.1", 80, { loop: 5 as never }))).to.be.instanceOf(TypeError);
      expect(await failureOf(openConnection("127.0.0.1", 80, { happyEyeballsDelay: NaN }))).to.be.instanceOf(TypeError);
      expect(await failureOf(openConnection("127.0.0.1", 80, { happyEyeballsDelay: -1 }))).to.be.instanceOf(RangeError);
      expect(await failureOf(openConnection("127.0.0.1", 80, { interleave: -1 }))).to.be.instanceOf(RangeError);
      expect(await failureOf(createConnection(5 as never, "127.0.0.1", 80))).to.be.instanceOf(TypeError);
    }),
  );

  it(
    "A55 a factory that makes no protocol rejects and leaves nothing open",
    onLoop(() =>
      serving("127.0.0.1", async (port) => {
        expect(await failureOf(createConnection(() => ({}) as never, "127.0.0.1", port))).to.be.instanceOf(TypeError);
        const error = new Error("broken");
        const failing = createConnection(
          () => {
            throw error;
          },
          "127.0.0.1",
          port,
        );
        expect(await failureOf(failing)).to.equal(error);
      }),
    ),
  );

  it(
    "A58 cancel() while connecting closes the socket at once",
    onLoop(async () => {
      const listener = makeFullListener();
      const before = openDescriptors().size;
      const connecting = openConnection("127.0.0.1", listener.port);
      // It begins in this turn, after a few promise reactions.
      for (let i = 0; i < 10; i++) await Promise.resolve();
      expect(openDescriptors().size).to.equal(before + 1);
      expect(connecting.cancel()).to.equal(true);
      expect(openDescriptors().size).to.equal(before);
      expect(await failureOf(connecting)).to.be.instanceOf(CancelledError);
      listener.close();
    }),
  );

  it(
    "A58 cancel() before the protocol knows of the connection closes it too",
    onLoop(async (loop) => {
      const calls: string[] = [];
      class Watched extends Protocol {
        override connectionMade(): void {
          calls.push("made");
        }
      }
      const [ours, peer] = socketpair();
      const connecting = createConnection(() => new Watched(), { sock: ours });
      await Promise.resolve();
      connecting.cancel();
      await rounds(loop);
      expect(calls).to.deep.equal([]);
      expect(ours.closed).to.equal(true);
      peer.close();
      // At every step of the way: whatever it has begun by then goes with it.
      using listener = new Socket();
      listener.bind(["127.0.0.1", 0]);
      listener.listen();
      const [, port] = listener.getsockname() as InetAddress;
      for (let steps = 0; steps < 12; steps++) {
        const before = openDescriptors().size;
        const other = openConnection("127.0.0.1", port);
        for (let step = 0; step < steps; step++) await Promise.resolve();
        other.cancel();
        expect(await failureOf(other)).to.be.instanceOf(CancelledError);
        await rounds(loop);
        expect(openDescriptors().size).to.equal(before);
      }
    }),
  );

  it(
    "A59 limit reaches the reader",
    onLoop(async (loop) => {
      const [reader, writer, peer] = await pair(loop, 5);
      expect(String(reader)).to.include("limit=5");
      peer.send("too long\n");
      expect(await failureOf(reader.readline())).to.be.instanceOf(RangeError);
      writer.close();
      await writer.waitClosed();
      peer.close();
    }),
  );

  it("A59 loop serves the connection, even if another one is current", async () => {
    const current = makeLoop();
    const other = makeLoop();
    const [ours, peer] = socketpair();
    const connecting = openConnection({ sock: ours, loop: other });
    await other.runSync(async () => {
      const [reader, writer] = await connecting;
      peer.send("x");
      expect(await text(reader.read(1))).to.equal("x");
      expect(current.statistics().handlers).to.equal(0);
      writer.close();
      await writer.waitClosed();
    });
    peer.close();
  });

  it(
    "A72 failures of every kind leave no descriptor behind",
    onLoop(async () => {
      const before = openDescriptors().size;
      await failureOf(openConnection("127.0.0.1", refusing()));
      await failureOf(openConnection("no such host.invalid", 1));
      await failureOf(openConnection("127.0.0.1", 1, { localAddr: ["8.8.8.8", 0] }));
      using _fault = injectFault("socket", { errno: "EMFILE" });
      expect((await failureOf(openConnection("127.0.0.1", 1))).code).to.equal("EMFILE");
      expect(openDescriptors().size).to.equal(before);
    }),
  );
});

describe("openUnixConnection", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ioloop-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it(
    "A60 connects to a path and to an abstract name",
    onLoop(async () => {
      for (const path of [join(folder, "socket"), `\0ioloop-test-${process.pid}`]) {
        const server = await startUnixServer((_, writer) => {
          writer.write("hello\n");
          writer.close();
        }, path);
        const [reader, writer] = await openUnixConnection(path);
        expect(writer.getExtraInfo("peername")).to.equal(path);
        expect(await text(reader.readline())).to.equal("hello\n");
        writer.close();
        await writer.waitClosed();
        server.close();
        await server.waitClosed();
      }
    }),
  );

  it(
    "A60 a missing path and one that nobody listens on are errors with the path",
    onLoop(async () => {
      const path = join(folder, "socket");
      expect(await failureOf(openUnixConnection(path))).to.include({ code: "ENOENT", path });
      using bound = new Socket(AF_UNIX);
      bound.bind(path);
      expect(await failureOf(openUnixConnection(path))).to.include({ code: "ECONNREFUSED", path });
    }),
  );

  it(
    "A60 a full queue is tried again until there is room, or until it is cancelled",
    onLoop(async (loop) => {
      const path = join(folder, "socket");
      using listener = new Socket(AF_UNIX);
      listener.bind(path);
      listener.listen(0);
      using first = new Socket(AF_UNIX);
      first.connect(path);
      const waiting = openUnixConnection(path);
      const given = openUnixConnection(path);
      await rounds(loop);
      expect(waiting.done()).to.equal(false);
      const before = openDescriptors().size;
      given.cancel();
      expect(openDescriptors().size).to.equal(before - 1);
      listener.accept()?.[0].close();
      const [, writer] = await waiting;
      writer.close();
      await writer.waitClosed();
      listener.accept()?.[0].close();
    }),
  );

  it(
    "A60 neither path nor sock, both, a sock of another family, a wrong path",
    onLoop(async () => {
      using inet = new Socket();
      const [ours, peer] = socketpair();
      for (const attempt of [
        openUnixConnection(),
        openUnixConnection("/x", { sock: ours }),
        openUnixConnection({ sock: inet }),
        openUnixConnection({ sock: ours, ssl: true }),
        openUnixConnection("a\0b"),
      ]) {
        expect(await failureOf(attempt)).to.be.instanceOf(RangeError);
      }
      expect(await failureOf(openUnixConnection(5 as never))).to.be.instanceOf(TypeError);
      expect((await failureOf(openUnixConnection("x".repeat(200)))).code).to.equal("ENAMETOOLONG");
      ours.close();
      peer.close();
    }),
  );

  it(
    "A54 a connected unix socket in place of the path",
    onLoop(async (loop) => {
      const [ours, peer] = socketpair();
      const [reader, writer] = await openUnixConnection({ sock: ours, loop });
      peer.send("x");
      expect(await text(reader.read(1))).to.equal("x");
      writer.close();
      await writer.waitClosed();
      peer.close();
      await until(loop, () => ours.closed);
    }),
  );
});

/** A listener whose queue is full: a further connection gets no answer. */
function makeFullListener(): { readonly port: number; readonly connectTo: Uint8Array; close(): void } {
  const listener = new Socket();
  listener.bind(["127.0.0.1", 0]);
  listener.listen(0);
  const address = listener.getsockname() as InetAddress;
  const clients = Array.from({ length: 4 }, () => {
    const client = new Socket();
    client.connect(address);
    return client;
  });
  const connectTo = Buffer.alloc(16);
  connectTo.writeUInt16LE(AF_INET, 0);
  connectTo.writeUInt16BE(address[1], 2);
  connectTo.set([127, 0, 0, 1], 4);
  return {
    port: address[1],
    connectTo,
    close(): void {
      for (const client of clients) client.close();
      listener.close();
    },
  };
}
