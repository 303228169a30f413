import { expect } from "chai";
import { Future } from "../../src/concurrent/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { IOStream } from "../../src/iostream/index.js";
import { type Address, Socket } from "../../src/platform/index.js";
import { applicationLog } from "../../src/log.js";
import { bindSockets, TCPServer } from "../../src/net/index.js";
import * as tornado from "../../src/tornado.js";
import { openDescriptors } from "../support/descriptors.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";
import { client, onLoop, portOf, until } from "./loop.js";

type Handler = (stream: IOStream, address: Address) => unknown;

/** A server with a handler of the test's; everything is closed by `dispose`. */
class TestServer extends TCPServer implements Disposable {
  readonly streams: IOStream[] = [];
  readonly addresses: Address[] = [];
  readonly clients: Socket[] = [];
  handler: Handler = () => undefined;

  override handleStream(stream: IOStream, address: Address): void | Promise<void> {
    this.streams.push(stream);
    this.addresses.push(address);
    return this.handler(stream, address) as void;
  }

  /** Binds a port and serves it. */
  serve(): number {
    const [socket] = bindSockets(0, "127.0.0.1");
    this.addSocket(socket!);
    return portOf(socket!);
  }

  call(port: number, count = 1): void {
    for (let i = 0; i < count; i++) this.clients.push(client(port));
  }

  [Symbol.dispose](): void {
    this.stop();
    for (const each of [...this.clients, ...this.streams]) each.close();
  }
}

/** What connecting to a port says. */
async function tryConnect(port: number): Promise<string> {
  using stream = new IOStream(new Socket());
  try {
    await stream.connect(["127.0.0.1", port]);
    return "connected";
  } catch (error) {
    return ((error as Error).cause as NodeJS.ErrnoException).code ?? "";
  }
}

async function served(loop: PollIOLoop, server: TestServer, count: number): Promise<void> {
  await until(loop, () => server.streams.length === count);
}

describe("TCPServer", () => {
  it("N63 serves at once on several ports, with the arguments of bindSockets", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      server.listen(0, "127.0.0.1");
      server.listen(0, { address: "127.0.0.1", backlog: 5 });
      const ports = [...server._sockets.values()].map(portOf);
      expect(ports).to.have.length(2);
      for (const port of ports) server.call(port);
      await served(loop, server, 2);
    });
  });

  it("N63 takes sockets made elsewhere, one or several", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      const sockets = [...bindSockets(0, "127.0.0.1"), ...bindSockets(0, "127.0.0.1")];
      server.addSockets(new Set(sockets));
      const [single] = bindSockets(0, "127.0.0.1");
      server.addSocket(single!);
      for (const socket of [...sockets, single!]) server.call(portOf(socket));
      await served(loop, server, 3);
    });
  });

  it("N64 hands on an IOStream with the server's sizes, and the address", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer({ maxBufferSize: 4096, readChunkSize: 1024 });
      server.call(server.serve());
      await served(loop, server, 1);
      const [stream] = server.streams;
      expect(stream).to.be.instanceOf(IOStream);
      expect(stream).to.include({ maxBufferSize: 4096, readChunkSize: 1024 });
      expect(server.addresses).to.deep.equal([server.clients[0]!.getsockname()]);
    });
  });

  it("N65 goes on accepting while handlers wait", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      const gate = new Future<void>();
      let through = 0;
      server.handler = async () => {
        await gate;
        through++;
      };
      server.call(server.serve(), 10);
      await served(loop, server, 10);
      expect(through).to.equal(0);
      gate.setResult(undefined);
      await until(loop, () => through === 10);
    });
  });

  for (const [how, message, fail] of [
    [
      "throws",
      /^Error in connection callback[^]*boom/,
      () => {
        throw new Error("boom");
      },
    ],
    ["rejects", /^Exception in callback[^]*boom/, () => Promise.reject(new Error("boom"))],
  ] as const) {
    it(`N66 logs a handler that ${how} and closes its stream afterwards, others are unaffected`, async () => {
      await onLoop(async (loop) => {
        const openAtLog: boolean[] = [];
        using server = new TestServer();
        server.handler = () => (server.streams.length === 1 ? fail() : undefined);
        expectLog("application", "error", message);
        const write = applicationLog.error.bind(applicationLog);
        applicationLog.error = (...args) => {
          openAtLog.push(!server.streams[0]!.closed());
          write(...args);
        };
        try {
          server.call(server.serve(), 2);
          await served(loop, server, 2);
          await until(loop, () => server.streams[0]!.closed());
        } finally {
          delete (applicationLog as { error?: unknown }).error;
        }
        expect(openAtLog).to.deep.equal([true]);
        expect(server.streams[1]!.closed()).to.equal(false);
      });
    });
  }

  it("N66 leaves a stream open whose handler returns, at once or later", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      server.handler = () => (server.streams.length === 1 ? 42 : Promise.resolve());
      server.call(server.serve(), 2);
      await served(loop, server, 2);
      await nextRound();
      expect(server.streams.map((stream) => stream.closed())).to.deep.equal([false, false]);
    });
  });

  it("N67 says that handleStream has to be overridden", async () => {
    await onLoop(async () => {
      const server = new TCPServer();
      expectLog("application", "error", /^Error in connection callback[^]*TCPServer does not override handleStream\(\)/);
      server.listen(0, "127.0.0.1");
      const caller = new IOStream(client(portOf([...server._sockets.values()][0]!)));
      expect((await caller.readUntilClose()).length).to.equal(0);
      server.stop();
    });
  });

  it("N67 calls a handler named as in Tornado", async () => {
    await onLoop(async (loop) => {
      const seen: string[] = [];
      class Ported extends tornado.TCPServer {
        async handle_stream(stream: tornado.IOStream): Promise<void> {
          seen.push((await stream.read_until("\n")).toString());
          stream.close();
        }
      }
      const server = new Ported();
      const [socket] = tornado.bind_sockets(0, "127.0.0.1");
      server.add_socket(socket!);
      const caller = client(portOf(socket!));
      caller.send("hello\n");
      await until(loop, () => seen.length === 1);
      expect(seen).to.deep.equal(["hello\n"]);
      server.stop();
      caller.close();
    });
  });

  it("N69 checks its options in the constructor", () => {
    expect(() => new TCPServer({ maxBuffersize: 1 } as object)).to.throw(TypeError, /maxBufferSize/);
    expect(() => new TCPServer({ maxBufferSize: -1 })).to.throw(RangeError);
    expect(() => new TCPServer({ readChunkSize: "1" as never })).to.throw(TypeError);
    expect(() => new TCPServer(5 as never)).to.throw(TypeError);
  });

  it("N70 refuses connections after stop(), leaves streams alone, and stops twice", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      const port = server.serve();
      server.call(port);
      await served(loop, server, 1);
      server.stop();
      server.stop();
      expect(await tryConnect(port)).to.equal("ECONNREFUSED");
      expect(server.streams[0]!.closed()).to.equal(false);
      expect(loop.statistics().handlers).to.equal(0);
    });
  });

  it("N70 may be stopped inside a handler with more clients waiting: no further call, no error", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      server.handler = () => server.stop();
      server.call(server.serve(), 5);
      await served(loop, server, 1);
      await until(loop, () => server._sockets.size === 0);
      expect(server.streams).to.have.length(1);
    });
  });

  it("N71 serves what was bound once it is started, and what is bound then at once", async () => {
    await onLoop(async (loop) => {
      using server = new TestServer();
      server.bind(0, "127.0.0.1");
      const [pending] = server._pendingSockets;
      server.call(portOf(pending!));
      expect(server._sockets.size).to.equal(0);
      expect(server.start()).to.equal(undefined);
      server.bind(0, { address: "127.0.0.1" });
      expect(server._sockets.size).to.equal(2);
      server.call(portOf([...server._sockets.values()][1]!));
      await served(loop, server, 2);
      expect(() => server.start()).to.throw(/start\(\) was called before/);
    });
  });

  it("N71 closes on stop() what was bound and never started", () => {
    makeLoop();
    const before = openDescriptors().size;
    const server = new TCPServer();
    server.bind(0, "127.0.0.1");
    server.stop();
    expect(openDescriptors().size).to.equal(before);
  });

  it("N71 binds nothing after stop()", () => {
    makeLoop();
    const server = new TCPServer();
    server.stop();
    const [socket] = bindSockets(0, "127.0.0.1");
    const before = openDescriptors().size;
    expect(() => server.listen(0)).to.throw(/listen\(\) after stop\(\)/);
    expect(() => server.bind(0)).to.throw(/bind\(\) after stop\(\)/);
    expect(() => server.addSocket(socket!)).to.throw(/after stop\(\)/);
    expect(() => server.addSockets([socket!])).to.throw(/addSockets\(\) after stop\(\)/);
    expect(() => void server.start()).to.throw(/start\(\) after stop\(\)/);
    expect(openDescriptors().size).to.equal(before);
    socket!.close();
  });

  it("N71 closes what it has bound when it cannot be served", () => {
    const loop = makeLoop();
    const before = openDescriptors().size;
    const server = new TCPServer();
    {
      using _fault = injectFault("epoll_ctl", { errno: "ENOSPC" });
      expect(() => server.listen(0, "127.0.0.1"))
        .to.throw()
        .with.property("code", "ENOSPC");
    }
    expect(openDescriptors().size).to.equal(before);
    expect(loop.statistics().handlers).to.equal(0);
  });

  it("N72 serves none of a list with a closed socket, or one that is served", () => {
    const loop = makeLoop();
    const server = new TCPServer();
    const [good] = bindSockets(0, "127.0.0.1");
    const [closed] = bindSockets(0, "127.0.0.1");
    closed!.close();
    expect(() => server.addSockets([good!, closed!]))
      .to.throw()
      .with.property("code", "EBADF");
    expect(() => server.addSockets([good!, good!])).to.throw(/is served already/);
    expect(() => server.addSockets([good!, 5 as never])).to.throw(TypeError);
    expect(loop.statistics().handlers).to.equal(0);
    server.addSocket(good!);
    expect(() => server.addSocket(good!)).to.throw(/is served already/);
    const [another] = bindSockets(0, "127.0.0.1");
    // One that another server has on this loop.
    expect(() => new TCPServer().addSockets([another!, good!]))
      .to.throw()
      .with.property("code", "EEXIST");
    expect(loop.statistics().handlers).to.equal(1);
    server.stop();
    another!.close();
  });
});
