import { expect } from "chai";
import { CancelledError, Future, TimeoutError } from "../../src/concurrent/index.js";
import { IOLoop } from "../../src/ioloop/index.js";
import { IOStream } from "../../src/iostream/index.js";
import { AF_INET, AF_INET6, hasIpv6, type InetAddress, Socket } from "../../src/platform/index.js";
import { bindSockets, OverrideResolver, type ResolvedAddress, Resolver, TCPClient, TCPServer } from "../../src/net/index.js";
import { openDescriptors } from "../support/descriptors.js";
import { injectFault } from "../support/faults.js";
import { makeVirtualLoop } from "../ioloop/virtual-time.js";
import { onLoop, portOf, until } from "./loop.js";

/** Answers with a list, at once or when it is told to. */
class Fixed extends Resolver {
  readonly addresses: ResolvedAddress[];
  readonly asked: unknown[][] = [];
  closed = 0;
  gate: Future<void> | undefined;

  constructor(...addresses: ResolvedAddress[]) {
    super();
    this.addresses = addresses;
  }

  override resolve(...asked: [string, number, number?]): Future<ResolvedAddress[]> {
    this.asked.push(asked);
    const future = new Future<ResolvedAddress[]>();
    if (this.gate === undefined) future.setResult(this.addresses);
    else void this.gate.then(() => future.setResult(this.addresses));
    return future;
  }

  override close(): void {
    this.closed++;
  }
}

class Hello extends TCPServer implements Disposable {
  readonly streams: IOStream[] = [];
  port = 0;

  static on(address: string): Hello {
    const server = new Hello();
    const sockets = bindSockets(0, address);
    server.addSockets(sockets);
    server.port = portOf(sockets[0]!);
    return server;
  }

  override handleStream(stream: IOStream): void {
    this.streams.push(stream);
    void stream.write("hello\n");
  }

  [Symbol.dispose](): void {
    this.stop();
    for (const stream of this.streams) stream.close();
  }
}

const v4 = (port: number, host = "127.0.0.1"): ResolvedAddress => [AF_INET, [host, port]];
const v6 = (port: number): ResolvedAddress => [AF_INET6, ["::1", port]];

async function rejection(future: PromiseLike<unknown>): Promise<NodeJS.ErrnoException & { address?: string; port?: number }> {
  try {
    await future;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error("It did not reject");
}

/** A port that nobody listens on, for as long as the socket is open. */
function refusing(): { socket: Socket; port: number } {
  const socket = new Socket();
  socket.bind(["127.0.0.1", 0]);
  return { socket, port: portOf(socket) };
}

/** An address that neither answers nor refuses: a listener whose queue is full. */
class Silent implements Disposable {
  readonly listener = new Socket();
  readonly #callers: Socket[] = [];
  readonly port: number;

  constructor() {
    this.listener.bind(["127.0.0.1", 0]);
    this.listener.listen(0);
    this.port = portOf(this.listener);
    for (let i = 0; i < 3; i++) {
      const socket = new Socket();
      socket.connect(["127.0.0.1", this.port]);
      this.#callers.push(socket);
    }
  }

  [Symbol.dispose](): void {
    for (const socket of [this.listener, ...this.#callers]) socket.close();
  }
}

describe("TCPClient", () => {
  it("N74 connects and gives the stream, with its buffer size", async () => {
    await onLoop(async () => {
      using server = Hello.on("127.0.0.1");
      using stream = await new TCPClient().connect("127.0.0.1", server.port, { maxBufferSize: 2048 });
      expect(stream).to.be.instanceOf(IOStream);
      expect(stream.maxBufferSize).to.equal(2048);
      expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
    });
  });

  for (const host of hasIpv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"]) {
    it(`N74 finds a server on ${host} as localhost`, async () => {
      await onLoop(async () => {
        using server = Hello.on(host);
        // What a machine's hosts file has for localhost is its own affair.
        const resolver = new Fixed(v6(server.port), v4(server.port));
        using stream = await new TCPClient(resolver).connect("localhost", server.port);
        expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
      });
    });
  }

  it("N74 hands the family to the resolver", async () => {
    await onLoop(async () => {
      using server = Hello.on("127.0.0.1");
      const resolver = new Fixed(v4(server.port));
      using stream = await new TCPClient(resolver).connect("somewhere", server.port, { af: AF_INET });
      expect(resolver.asked).to.deep.equal([["somewhere", server.port, AF_INET]]);
      expect((stream.socket.getpeername() as InetAddress)[1]).to.equal(server.port);
      const error = await rejection(new TCPClient().connect("127.0.0.1", server.port, { af: AF_INET6 }));
      expect(error.code).to.equal("ENOTFOUND");
    });
  });

  it("N75 rejects with ENOTFOUND when a resolver knows no address", async () => {
    await onLoop(async () => {
      expect(await rejection(new TCPClient(new Fixed()).connect("nowhere", 80))).to.include({ code: "ENOTFOUND", hostname: "nowhere" });
    });
  });

  it("N76 tries the other family after 0.3 s of silence", async () => {
    const { loop, clock } = makeVirtualLoop();
    using silent = new Silent();
    await loop.runSync(async () => {
      using server = Hello.on(hasIpv6 ? "::1" : "127.0.0.1");
      const second: ResolvedAddress = hasIpv6 ? v6(server.port) : [AF_INET6, ["127.0.0.1", server.port]];
      const began = clock.now;
      using stream = await new TCPClient(new Fixed(v4(silent.port), second)).connect("both", 80);
      expect(clock.now - began).to.be.closeTo(0.3, 1e-6);
      expect((stream.socket.getpeername() as InetAddress)[1]).to.equal(server.port);
    });
  });

  it("N79 rejects with the system's error when all addresses have failed", async () => {
    await onLoop(async () => {
      const { socket, port } = refusing();
      const error = await rejection(new TCPClient(new Fixed(v4(port), v4(port, "127.0.0.2"))).connect("down", port));
      expect(error).to.include({ code: "ECONNREFUSED", syscall: "connect", address: "127.0.0.2", port });
      socket.close();
    });
  });

  it("N79 goes on to the next address", async () => {
    await onLoop(async () => {
      using server = Hello.on("127.0.0.1");
      const { socket, port } = refusing();
      using stream = await new TCPClient(new Fixed(v4(port), v4(server.port))).connect("half", 80);
      expect((stream.socket.getpeername() as InetAddress)[1]).to.equal(server.port);
      socket.close();
    });
  });

  it("N80 bounds the lookup", async () => {
    const { loop } = makeVirtualLoop();
    await loop.runSync(async () => {
      const resolver = new Fixed(v4(1));
      resolver.gate = new Future<void>();
      for (const timeout of [2, { seconds: 2 }, { milliseconds: 2000 }]) {
        const began = loop.time();
        const error = await rejection(new TCPClient(resolver).connect("slow", 80, { timeout }));
        expect(error).to.be.instanceOf(TimeoutError);
        expect(loop.time() - began).to.be.closeTo(2, 1e-6);
      }
      // An answer that comes too late starts nothing.
      const before = openDescriptors().size;
      resolver.gate.setResult(undefined);
      await until(loop, () => true);
      expect(openDescriptors().size).to.equal(before);
    });
  });

  it("N80 bounds the connecting, closes the streams and leaves no timer", async () => {
    const { loop } = makeVirtualLoop();
    using silent = new Silent();
    await loop.runSync(async () => {
      const before = openDescriptors().size;
      const began = loop.time();
      const future = new TCPClient(new Fixed(v4(silent.port), [AF_INET6, ["::1", 1]])).connect("silent", 80, { timeout: 1 });
      const error = await rejection(future);
      expect(error).to.be.instanceOf(TimeoutError);
      expect(error.message).to.equal("Connecting to silent:80 timed out after 1 s");
      expect(loop.time() - began).to.be.closeTo(1, 1e-6);
      expect(openDescriptors().size).to.equal(before);
      expect(loop.statistics().timeouts).to.equal(0);
    });
  });

  it("N80 leaves no timer when it is in time", async () => {
    await onLoop(async (loop) => {
      using server = Hello.on("127.0.0.1");
      const timeouts = loop.statistics().timeouts;
      using _stream = await new TCPClient().connect("127.0.0.1", server.port, { timeout: 5 });
      expect(loop.statistics().timeouts).to.equal(timeouts);
    });
  });

  it("N80 times out at once for no time at all, and refuses what is no time", async () => {
    await onLoop(async () => {
      const resolver = new Fixed(v4(1));
      for (const timeout of [0, -1, { seconds: 0 }]) {
        expect(await rejection(new TCPClient(resolver).connect("a", 1, { timeout }))).to.be.instanceOf(TimeoutError);
      }
      expect(resolver.asked).to.deep.equal([]);
      for (const timeout of ["1", NaN, null, { second: 1 }, new Date()]) {
        expect(await rejection(new TCPClient(resolver).connect("a", 1, { timeout: timeout as never }))).to.be.instanceOf(TypeError);
      }
    });
  });

  it("N81 connects from an address and a port", async () => {
    await onLoop(async () => {
      using server = Hello.on("127.0.0.1");
      const { socket, port } = refusing();
      socket.close();
      const client = new TCPClient();
      {
        using stream = await client.connect("127.0.0.1", server.port, { sourceIp: "127.0.0.2" });
        expect((stream.socket.getsockname() as InetAddress)[0]).to.equal("127.0.0.2");
      }
      using stream = await client.connect("127.0.0.1", server.port, { sourcePort: port });
      expect(stream.socket.getsockname()).to.deep.equal(["127.0.0.1", port]);
    });
  });

  it("N81 binds a port alone on ::1 for IPv6", async function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    await onLoop(async () => {
      using server = Hello.on("::1");
      const [probe] = bindSockets(0, "::1");
      const port = portOf(probe!);
      probe!.close();
      using stream = await new TCPClient().connect("::1", server.port, { sourcePort: port });
      expect((stream.socket.getsockname() as InetAddress).slice(0, 2)).to.deep.equal(["::1", port]);
    });
  });

  it("N81 counts a bind that fails as the address's failure, and closes its socket", async () => {
    await onLoop(async () => {
      using server = Hello.on("127.0.0.1");
      const before = openDescriptors().size;
      const client = new TCPClient();
      expect((await rejection(client.connect("127.0.0.1", server.port, { sourceIp: "8.8.8.8" }))).code).to.equal("EADDRNOTAVAIL");
      expect((await rejection(client.connect("127.0.0.1", server.port, { sourceIp: "::1" }))).code).to.equal("EAFNOSUPPORT");
      {
        // As root, which tests may run as, every port may be bound.
        using _fault = injectFault("bind", { errno: "EACCES" });
        expect(await rejection(client.connect("127.0.0.1", server.port, { sourcePort: 1 }))).to.include({ code: "EACCES", port: 1 });
      }
      expect(openDescriptors().size).to.equal(before);
      // The next address is tried.
      using _fault = injectFault("bind", { errno: "EACCES" });
      const resolver = new Fixed(v4(server.port), v4(server.port));
      using stream = await new TCPClient(resolver).connect("twice", 80, { sourceIp: "127.0.0.3" });
      expect((stream.socket.getsockname() as InetAddress)[0]).to.equal("127.0.0.3");
    });
  });

  it("N81 counts a socket that cannot be made as the address's failure", async () => {
    await onLoop(async () => {
      using _fault = injectFault("socket", { errno: "EMFILE" });
      expect((await rejection(new TCPClient().connect("127.0.0.1", 1))).code).to.equal("EMFILE");
    });
  });

  it("N83 closes every attempt when the Future is cancelled", async () => {
    await onLoop(async (loop) => {
      using silent = new Silent();
      const before = openDescriptors().size;
      const timeouts = loop.statistics().timeouts;
      const future = new TCPClient(new Fixed(v4(silent.port))).connect("silent", 80, { timeout: 5 });
      await until(loop, () => openDescriptors().size > before);
      expect(future.cancel()).to.equal(true);
      expect(openDescriptors().size).to.equal(before);
      expect(loop.statistics().timeouts).to.equal(timeouts);
      expect(await rejection(future)).to.be.instanceOf(CancelledError);
    });
  });

  it("N83 starts nothing when it was cancelled during the lookup", async () => {
    await onLoop(async (loop) => {
      const resolver = new Fixed(v4(1));
      resolver.gate = new Future<void>();
      const before = openDescriptors().size;
      const future = new TCPClient(resolver).connect("slow", 80, { timeout: 5 });
      future.cancel();
      resolver.gate.setResult(undefined);
      await until(loop, () => true);
      expect(openDescriptors().size).to.equal(before);
    });
  });

  it("N83 rejects for wrong arguments, and passes a resolver's failure on", async () => {
    await onLoop(async () => {
      const client = new TCPClient();
      for (const port of [-1, 65536, 0.5]) expect(await rejection(client.connect("127.0.0.1", port))).to.be.instanceOf(RangeError);
      expect(await rejection(client.connect("127.0.0.1", "80" as never))).to.be.instanceOf(TypeError);
      expect(await rejection(client.connect(5 as never, 80))).to.be.instanceOf(TypeError);
      expect((await rejection(client.connect("127.0.0.1", 80, { sourceIP: "x" } as object))).message).to.match(/Unknown option 'sourceIP'/);
      expect(await rejection(client.connect("127.0.0.1", 80, { sourcePort: 70000 }))).to.be.instanceOf(RangeError);
      expect(await rejection(client.connect("no such host", 80))).to.include({ code: "ENOTFOUND", hostname: "no such host" });
      class Throwing extends Resolver {
        override resolve(): never {
          throw new Error("thrown");
        }
      }
      expect((await rejection(new TCPClient(new Throwing()).connect("a", 80))).message).to.equal("thrown");
    });
  });

  it("N83 lets no loser's failure surface", async () => {
    await onLoop(async (loop) => {
      using server = Hello.on("127.0.0.1");
      const { socket, port } = refusing();
      // The first fails, so that two attempts are under way at once, of which one fails too.
      const resolver = new Fixed(v4(port), v4(server.port), [AF_INET6, ["::1", port]]);
      using _stream = await new TCPClient(resolver).connect("race", 80);
      await until(loop, () => true);
      socket.close();
    });
  });

  it("N84 closes only a resolver of its own", () => {
    const given = new Fixed();
    new TCPClient(given).close();
    expect(given.closed).to.equal(0);
    let closed = 0;
    class Own extends Fixed {
      override close(): void {
        closed++;
      }
    }
    Resolver.configure(Own);
    try {
      const client = new TCPClient();
      expect(client.resolver).to.be.instanceOf(Own);
      client.close();
    } finally {
      Resolver.configure(undefined);
    }
    expect(closed).to.equal(1);
    expect(() => new TCPClient({} as never)).to.throw(TypeError, /^resolver is/);
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("N58 connects through an OverrideResolver", async () => {
    await onLoop(async () => {
      using server = Hello.on("127.0.0.1");
      const resolver = new OverrideResolver(new Resolver(), [
        [
          ["example.com", 80],
          ["127.0.0.1", server.port],
        ],
      ]);
      using stream = await new TCPClient(resolver).connect("example.com", 80);
      expect((stream.socket.getpeername() as InetAddress)[1]).to.equal(server.port);
    });
  });
});
