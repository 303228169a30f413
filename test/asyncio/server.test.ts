import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect } from "chai";
import { CancelledError } from "../../src/concurrent/index.js";
import { AF_INET, AF_UNIX, hasIpv6, type InetAddress, SOCK_DGRAM, Socket } from "../../src/platform/index.js";
import {
  createServer,
  openConnection,
  openUnixConnection,
  Protocol,
  startServer,
  startUnixServer,
  type StreamWriter,
  TransportSocket,
} from "../../src/asyncio/index.js";
import { openDescriptors } from "../support/descriptors.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { failureOf, onLoop, portOf, rounds, text, until } from "./support.js";

const nobody = (): void => undefined;

describe("startServer", () => {
  it(
    "A61 the callback runs once for each client, inside connectionMade, before data was read; plain and async",
    onLoop(async (loop) => {
      const seen: string[] = [];
      const server = await startServer(
        (reader, writer) => {
          seen.push(String(reader));
          writer.write("welcome\n");
        },
        "127.0.0.1",
        0,
      );
      using client = new Socket();
      client.connect(["127.0.0.1", portOf(server)]);
      client.send("data that is there already");
      await until(loop, () => seen.length > 0);
      expect(seen[0]).not.to.include("bytes");
      const streams = await openConnection("127.0.0.1", portOf(server));
      expect(await text(streams[0].readline())).to.equal("welcome\n");
      expect(seen.length).to.equal(2);
      server.close();
      server.closeClients();
      await server.waitClosed();
      streams[1].close();
      await streams[1].waitClosed().catch(nobody);
      const echo = await startServer(
        async (reader, writer) => {
          for await (const line of reader) writer.write(line);
          writer.close();
        },
        "127.0.0.1",
        0,
      );
      const [reader, writer] = await openConnection("127.0.0.1", portOf(echo));
      writer.write("one\ntwo\n");
      writer.writeEof();
      expect(await text(reader.read())).to.equal("one\ntwo\n");
      writer.close();
      echo.close();
      await echo.waitClosed();
    }),
  );

  for (const kind of ["throws", "rejects"] as const) {
    it(
      `A62 a callback that ${kind} is logged and its connection closed`,
      onLoop(async () => {
        expectLog("application", "error", /^Unhandled exception in client_connected_cb[^]*broken/);
        const fail = (): never => {
          throw new Error("broken");
        };
        const server = await startServer(kind === "throws" ? fail : async () => fail(), "127.0.0.1", 0);
        const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
        expect(await text(reader.read())).to.equal("");
        writer.close();
        server.close();
        await server.waitClosed();
      }),
    );
  }

  it(
    "A62 a CancelledError closes silently, and a callback that returns leaves the connection open",
    onLoop(async (loop) => {
      const server = await startServer(
        async (reader) => {
          if ((await reader.readline()).toString() === "cancel\n") throw new CancelledError();
        },
        "127.0.0.1",
        0,
      );
      const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
      writer.write("return\n");
      await rounds(loop, 5);
      expect(reader.atEof()).to.equal(false);
      const [other, otherWriter] = await openConnection("127.0.0.1", portOf(server));
      otherWriter.write("cancel\n");
      expect(await text(other.read())).to.equal("");
      for (const each of [writer, otherWriter]) each.close();
      server.close();
      server.closeClients();
      await server.waitClosed();
    }),
  );

  it(
    "A63 host: a string, all interfaces, a list with each address once; port 0 is one port for all",
    onLoop(async () => {
      const addresses = async (host: string | string[] | undefined, port?: number): Promise<InetAddress[]> => {
        const server = await startServer(nobody, host, port);
        const names = server.sockets.map((socket) => socket.getsockname() as InetAddress);
        server.close();
        await server.waitClosed();
        expect(new Set(names.map((name) => name[1])).size).to.equal(1);
        expect(names[0]?.[1]).to.be.above(0);
        return names;
      };
      const all = hasIpv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"];
      for (const host of [undefined, ""]) expect((await addresses(host, 0)).map((name) => name[0])).to.deep.equal(all);
      expect((await addresses("127.0.0.1")).map((name) => name[0])).to.deep.equal(["127.0.0.1"]);
      const several = await addresses(["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3"], 0);
      expect(several.map((name) => name[0])).to.deep.equal(["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    }),
  );

  it(
    "A63 a failure closes everything and names address and port",
    onLoop(async () => {
      using taken = new Socket();
      taken.bind(["127.0.0.2", 0]);
      taken.listen();
      const [, port] = taken.getsockname() as InetAddress;
      const before = openDescriptors().size;
      const error = await failureOf(startServer(nobody, ["127.0.0.1", "127.0.0.2"], port));
      expect(error).to.include({ code: "EADDRINUSE", address: "127.0.0.2", port });
      expect(openDescriptors().size).to.equal(before);
    }),
  );

  it(
    "A63 reusePort: two servers share a port",
    onLoop(async () => {
      const one = await startServer(nobody, "127.0.0.1", 0, { reusePort: true });
      const other = await startServer(nobody, "127.0.0.1", portOf(one), { reusePort: true });
      expect((await failureOf(startServer(nobody, "127.0.0.1", portOf(one)))).code).to.equal("EADDRINUSE");
      expect(await failureOf(startServer(nobody, "127.0.0.1", 0, { reuseAddress: false }))).to.be.instanceOf(RangeError);
      one.close();
      other.close();
    }),
  );

  it(
    "A64 serves a bound socket; wrong arguments are rejections and the socket stays the caller's",
    onLoop(async () => {
      const bound = new Socket();
      bound.bind(["127.0.0.1", 0]);
      const [, port] = bound.getsockname() as InetAddress;
      using datagrams = new Socket(AF_INET, SOCK_DGRAM);
      for (const attempt of [
        startServer(nobody, "127.0.0.1", 0, { sock: bound }),
        startServer(nobody, { sock: datagrams }),
        startServer(nobody, {}),
        startServer(nobody, [], 0),
        startServer(nobody, "127.0.0.1", -1),
        startServer(nobody, "127.0.0.1", 0, { backlog: -1 }),
        startServer(nobody, "127.0.0.1", 0, { limit: 0 }),
        startServer(nobody, "127.0.0.1", 0, { sslHandshakeTimeout: 5 }),
      ]) {
        expect(await failureOf(attempt)).to.be.instanceOf(RangeError);
      }
      for (const attempt of [
        startServer(5 as never, "127.0.0.1", 0),
        createServer(5 as never, "127.0.0.1", 0),
        startServer(nobody, 5 as never, 0),
        startServer(nobody, "127.0.0.1", 0, { ssl: true as never }),
        startServer(nobody, "127.0.0.1", 0, { back: 5 } as never),
        startServer(nobody, { sock: {} as never }),
      ]) {
        expect(await failureOf(attempt)).to.be.instanceOf(TypeError);
      }
      expect(bound.closed).to.equal(false);
      const server = await startServer((_, writer) => writer.close(), { sock: bound });
      const [reader, writer] = await openConnection("127.0.0.1", port);
      expect(await text(reader.read())).to.equal("");
      writer.close();
      server.close();
      await server.waitClosed();
      expect(bound.closed).to.equal(true);
      expect((await failureOf(startServer(nobody, { sock: bound }))).code).to.equal("EBADF");
    }),
  );
});

describe("Server", () => {
  it(
    "A65 sockets are TransportSockets, none after close()",
    onLoop(async () => {
      const server = await startServer(nobody, "127.0.0.1", 0);
      expect(server.sockets[0]).to.be.instanceOf(TransportSocket);
      expect(server.sockets[0]?.getsockname()).to.deep.equal(["127.0.0.1", portOf(server)]);
      expect(inspect(server)).to.equal(`<Server sockets=127.0.0.1:${portOf(server)}>`);
      server.close();
      expect(server.sockets).to.deep.equal([]);
      expect(String(server)).to.equal("<Server sockets=none>");
    }),
  );

  it(
    "A66 startServing: false serves nothing until startServing()",
    onLoop(async (loop) => {
      let clients = 0;
      const server = await startServer(() => clients++, "127.0.0.1", 0, { startServing: false });
      expect(server.isServing()).to.equal(false);
      expect(server.getLoop()).to.equal(loop);
      using client = new Socket();
      client.connect(["127.0.0.1", portOf(server)]);
      await rounds(loop, 5);
      expect(clients).to.equal(0);
      await server.startServing();
      await server.startServing();
      expect(server.isServing()).to.equal(true);
      await until(loop, () => clients === 1);
      server.close();
      server.closeClients();
      await server.waitClosed();
    }),
  );

  it(
    "A66 when the Future is done a client can be accepted",
    onLoop(async () => {
      const server = await startServer((_, writer) => writer.close(), "127.0.0.1", 0);
      expect(server.isServing()).to.equal(true);
      const [, writer] = await openConnection("127.0.0.1", portOf(server));
      writer.close();
      server.close();
      await server.waitClosed();
    }),
  );

  it("A59 A66 a server serves on the loop it was given, though another one is current", async () => {
    const current = makeLoop();
    const other = makeLoop();
    const server = await startServer((_, writer) => writer.close(), "127.0.0.1", 0, { loop: other });
    expect(server.getLoop()).to.equal(other);
    await other.runSync(async () => {
      const [reader, writer] = await openConnection("127.0.0.1", portOf(server), { loop: other });
      expect(await text(reader.read())).to.equal("");
      writer.close();
      server.close();
      await server.waitClosed();
    });
    expect(current.statistics().handlers).to.equal(0);
  });

  it(
    "A67 close() stops listening and leaves clients alone",
    onLoop(async () => {
      const server = await startServer(
        async (reader, writer) => {
          writer.write(await reader.readline());
          writer.close();
        },
        "127.0.0.1",
        0,
      );
      const port = portOf(server);
      const [reader, writer] = await openConnection("127.0.0.1", port);
      writer.write("one ");
      server.close();
      server.close();
      expect(server.isServing()).to.equal(false);
      expect((await failureOf(openConnection("127.0.0.1", port))).code).to.equal("ECONNREFUSED");
      expect((await failureOf(server.startServing())).message).to.include("is closed");
      expect((await failureOf(server.serveForever())).message).to.include("is closed");
      // It was accepted or not when the server closed; the kernel resets what was not.
      writer.write("line\n");
      await reader.read().catch(nobody);
      writer.close();
      await server.waitClosed();
    }),
  );

  for (const order of ["closed first", "client gone first"] as const) {
    it(
      `A68 waitClosed waits until it is closed and no client is left: ${order}`,
      onLoop(async (loop) => {
        const clients: StreamWriter[] = [];
        const server = await startServer((_, writer) => clients.push(writer), "127.0.0.1", 0);
        const [, writer] = await openConnection("127.0.0.1", portOf(server));
        await until(loop, () => clients.length === 1);
        const closed = server.waitClosed();
        const steps = [(): void => server.close(), (): void => clients[0]?.close()];
        if (order === "client gone first") steps.reverse();
        steps[0]?.();
        await rounds(loop, 5);
        expect(closed.done()).to.equal(false);
        steps[1]?.();
        await closed;
        expect(server.waitClosed().done()).to.equal(true);
        writer.close();
        await writer.waitClosed().catch(nobody);
      }),
    );
  }

  it(
    "A68 closeClients flushes, abortClients drops",
    onLoop(async (loop) => {
      for (const method of ["closeClients", "abortClients"] as const) {
        let client: StreamWriter | undefined;
        const server = await startServer(
          (_, writer) => {
            client = writer;
            writer.write(Buffer.alloc(8 << 20));
          },
          "127.0.0.1",
          0,
        );
        const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
        await until(loop, () => client !== undefined);
        server.close();
        server[method]();
        const received = (await reader.read()).length;
        if (method === "closeClients") expect(received).to.equal(8 << 20);
        else expect(received).to.be.below(8 << 20);
        writer.close();
        await server.waitClosed();
      }
    }),
  );

  for (const how of ["cancel", "close"] as const) {
    it(
      `A69 serveForever serves until ${how}(), closes the clients, waits, and rejects with CancelledError`,
      onLoop(async () => {
        const server = await startServer((_, writer) => writer.write("hello\n"), "127.0.0.1", 0, { startServing: false });
        const forever = server.serveForever();
        expect(server.isServing()).to.equal(true);
        const twice = await failureOf(server.serveForever());
        expect(twice.message).to.include("running already");
        const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
        expect(await text(reader.readline())).to.equal("hello\n");
        if (how === "cancel") expect(forever.cancel()).to.equal(true);
        else server.close();
        expect(server.isServing()).to.equal(false);
        expect(forever.done()).to.equal(false);
        expect(await failureOf(forever)).to.be.instanceOf(CancelledError);
        expect(forever.cancelled()).to.equal(true);
        expect(server.waitClosed().done()).to.equal(true);
        expect(await text(reader.read())).to.equal("");
        writer.close();
      }),
    );
  }

  it(
    "A69 a serveForever that nobody looks at is no unhandled rejection; await using closes and waits",
    onLoop(async () => {
      let port: number;
      {
        await using server = await startServer(nobody, "127.0.0.1", 0);
        port = portOf(server);
        void server.serveForever();
      }
      expect((await failureOf(openConnection("127.0.0.1", port))).code).to.equal("ECONNREFUSED");
    }),
  );

  it(
    "A70 a client that is gone before it is accepted, or while it is, does not stop the server",
    onLoop(async () => {
      const server = await startServer((_, writer) => writer.close(), "127.0.0.1", 0);
      using _aborted = injectFault("accept4", { errno: "ECONNABORTED", at: 1, times: 1, afterRealCall: false });
      const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
      expect(await text(reader.read())).to.equal("");
      writer.close();
      server.close();
      await server.waitClosed();
    }),
  );

  it(
    "A70 a factory that throws is logged, its connection closed, and the next one served",
    onLoop(async () => {
      expectLog("application", "error", /Exception in accept callback[^]*broken/);
      let calls = 0;
      class Closing extends Protocol {
        override connectionMade(transport: { close(): void }): void {
          transport.close();
        }
      }
      const server = await createServer(
        () => {
          if (calls++ === 0) throw new Error("broken");
          return new Closing();
        },
        "127.0.0.1",
        0,
      );
      for (let i = 0; i < 2; i++) {
        const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
        expect(await text(reader.read()).catch(() => "")).to.equal("");
        writer.close();
        await writer.waitClosed().catch(nobody);
      }
      expect(calls).to.equal(2);
      server.close();
      await server.waitClosed();
    }),
  );

  it(
    "A70 out of descriptors it rests, and close() takes the rest's timer away",
    onLoop(async (loop) => {
      expectLog("general", "warn", /EMFILE/);
      const server = await startServer(nobody, "127.0.0.1", 0);
      using fault = injectFault("accept4", { errno: "EMFILE", times: Infinity });
      using client = new Socket();
      client.connect(["127.0.0.1", portOf(server)]);
      await until(loop, () => fault.injected > 0);
      await rounds(loop);
      expect(fault.injected).to.equal(1);
      const timeouts = loop.statistics().timeouts;
      server.close();
      expect(loop.statistics().timeouts).to.equal(timeouts - 1);
    }),
  );

  it(
    "A72 a thousand connections leave as many descriptors and handlers as before",
    onLoop(async (loop) => {
      const server = await startServer(
        async (reader, writer) => {
          writer.write(await reader.readline());
          await writer.drain();
          writer.close();
        },
        "127.0.0.1",
        0,
      );
      const before = { descriptors: openDescriptors().size, handlers: loop.statistics().handlers };
      for (let round = 0; round < 20; round++) {
        await Promise.all(
          Array.from({ length: 50 }, async () => {
            const [reader, writer] = await openConnection("127.0.0.1", portOf(server));
            writer.write("hello\n");
            expect(await text(reader.read())).to.equal("hello\n");
            writer.close();
            await writer.waitClosed();
          }),
        );
      }
      await until(loop, () => loop.statistics().handlers === before.handlers);
      await until(loop, () => openDescriptors().size === before.descriptors);
      server.close();
      await server.waitClosed();
      expect(loop.statistics().timeouts).to.be.at.most(1); // The run's own limit.
    }),
  ).timeout(20_000);
});

describe("startUnixServer", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ioloop-"));
    path = join(folder, "socket");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it(
    "A71 a stale socket file is replaced, its mode is the umask's, and close() removes it",
    onLoop(async () => {
      const stale = new Socket(AF_UNIX);
      stale.bind(path);
      stale.close();
      const umask = process.umask(0o027);
      const server = await startUnixServer((_, writer) => writer.close(), path).finally(() => process.umask(umask));
      expect(statSync(path).mode & 0o777).to.equal(0o750);
      const [reader, writer] = await openUnixConnection(path);
      expect(await text(reader.read())).to.equal("");
      writer.close();
      server.close();
      expect(existsSync(path)).to.equal(false);
      await server.waitClosed();
    }),
  );

  it(
    "A71 any other file is EADDRINUSE",
    onLoop(async () => {
      writeFileSync(path, "data");
      const link = join(folder, "link");
      symlinkSync(path, link);
      for (const each of [path, link]) {
        const error = await failureOf(startUnixServer(nobody, each));
        expect(error).to.include({ code: "EADDRINUSE", path: each });
        expect(error.message).to.include(`Address '${each}' is already in use`);
      }
      expect(existsSync(path)).to.equal(true);
    }),
  );

  it(
    "A71 cleanupSocket: false leaves the file; somebody else's stays; a vanished one is no error",
    onLoop(async () => {
      const kept = await startUnixServer(nobody, path, { cleanupSocket: false });
      kept.close();
      expect(existsSync(path)).to.equal(true);
      const first = await startUnixServer(nobody, path);
      const second = await startUnixServer(nobody, path);
      first.close();
      expect(existsSync(path)).to.equal(true);
      unlinkSync(path);
      second.close();
    }),
  );

  it(
    "A71 a bound unix socket, and what cannot be",
    onLoop(async () => {
      const bound = new Socket(AF_UNIX);
      bound.bind(path);
      const server = await startUnixServer(nobody, { sock: bound });
      server.close();
      expect(existsSync(path)).to.equal(false);
      using inet = new Socket();
      for (const attempt of [
        startUnixServer(nobody),
        startUnixServer(nobody, "/x", { sock: inet }),
        startUnixServer(nobody, { sock: inet }),
      ]) {
        expect(await failureOf(attempt)).to.be.instanceOf(RangeError);
      }
      expect(await failureOf(startUnixServer(nobody, 5 as never))).to.be.instanceOf(TypeError);
      expect(await failureOf(startUnixServer(nobody, path, { cleanupSocket: 1 as never }))).to.be.instanceOf(TypeError);
      expect((await failureOf(startUnixServer(nobody, join(folder, "none", "socket")))).code).to.equal("ENOENT");
    }),
  );
});
