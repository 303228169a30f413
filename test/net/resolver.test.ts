import { expect } from "chai";
import dns from "node:dns";
import sinon from "sinon";
import { Future } from "../../src/concurrent/index.js";
import { AF_INET, AF_INET6, AF_UNSPEC, hasIpv6, type InetAddress } from "../../src/platform/index.js";
import {
  BlockingResolver,
  DefaultExecutorResolver,
  DefaultLoopResolver,
  ExecutorResolver,
  isValidIp,
  OverrideResolver,
  type OverrideMapping,
  type ResolvedAddress,
  Resolver,
  ThreadedResolver,
} from "../../src/net/index.js";
import { onLoop } from "./loop.js";

async function rejection(future: PromiseLike<unknown>): Promise<NodeJS.ErrnoException & { hostname?: string }> {
  try {
    await future;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error("It did not reject");
}

/** Answers with what it was asked. */
class Echo extends Resolver {
  readonly asked: [string, number, number | undefined][] = [];
  closed = 0;

  override resolve(host: string, port: number, family?: number): Future<ResolvedAddress[]> {
    this.asked.push([host, port, family]);
    const future = new Future<ResolvedAddress[]>();
    future.setResult([]);
    return future;
  }

  override close(): void {
    this.closed++;
  }
}

describe("isValidIp", () => {
  it("N53 tells literals from everything else", () => {
    for (const ip of ["127.0.0.1", "4.4.4.4", "::1", "2620:0:1cfe:face:b00c::3", "::ffff:1.2.3.4", "fe80::1%eth0"]) {
      expect(isValidIp(ip), ip).to.equal(true);
    }
    const others = [
      "www.google.com",
      "localhost",
      "4.4.4.4<",
      " 127.0.0.1",
      "",
      " ",
      "\n",
      "127.0.0.1\n",
      "\0",
      "::1\0",
      "fe80::1%eth0\0",
      "fe80::1%",
      "127.0.0.1%eth0",
      "[::1]",
      "a".repeat(100),
      "127.1",
      "1",
      "0x7f.1",
      "01.2.3.4",
    ];
    for (const other of others) expect(isValidIp(other), JSON.stringify(other)).to.equal(false);
    for (const other of [undefined, null, 5, {}, ["127.0.0.1"]]) expect(isValidIp(other as unknown as string)).to.equal(false);
  });
});

describe("Resolver", () => {
  afterEach(() => Resolver.configure(undefined));

  it("N54 finds localhost, in the order of the system", async () => {
    const resolver = new Resolver();
    const lookup = sinon.spy(dns, "lookup");
    const addresses = await resolver.resolve("localhost", 80);
    const wanted = [
      [AF_INET, ["127.0.0.1", 80]],
      [AF_INET6, ["::1", 80, 0, 0]],
    ];
    expect(addresses.some((each) => wanted.some((one) => JSON.stringify(one) === JSON.stringify(each)))).to.equal(true);
    expect((lookup.firstCall.args as unknown[])[1]).to.include({ verbatim: true, all: true });
    lookup.restore();
    const answer = [
      { address: "::1", family: 6 },
      { address: "127.0.0.1", family: 4 },
    ];
    sinon
      .stub(dns, "lookup")
      .callsFake(((_host: string, _options: object, done: (error: null, found: object) => void) => done(null, answer)) as never);
    expect((await resolver.resolve("both", 80)).map(([family]) => family)).to.deep.equal([AF_INET6, AF_INET]);
  });

  it("N54 answers a literal with itself, at once and without asking anybody", () => {
    const lookup = sinon.spy(dns, "lookup");
    const resolver = new Resolver();
    expect(resolver.resolve("127.0.0.1", 80).result()).to.deep.equal([[AF_INET, ["127.0.0.1", 80]]]);
    expect(resolver.resolve("::1", 80).result()).to.deep.equal([[AF_INET6, ["::1", 80, 0, 0]]]);
    expect(resolver.resolve("fe80::1%1", 80).result()).to.deep.equal([[AF_INET6, ["fe80::1", 80, 0, 1]]]);
    expect(lookup.callCount).to.equal(0);
  });

  it("N55 filters by family", async () => {
    const resolver = new Resolver();
    const found = await resolver.resolve("localhost", 80, AF_INET);
    expect(found).to.deep.equal([[AF_INET, ["127.0.0.1", 80]]]);
    if (hasIpv6) {
      const six = await resolver.resolve("::1", 80, AF_INET6);
      expect(six[0]![1][0]).to.equal("::1");
    }
    expect(await rejection(resolver.resolve("::1", 80, AF_INET))).to.include({ code: "ENOTFOUND" });
    expect(await rejection(resolver.resolve("127.0.0.1", 80, AF_INET6))).to.include({ code: "ENOTFOUND" });
  });

  it("N55 rejects what cannot be found with ENOTFOUND, never with an empty list", async () => {
    const resolver = new Resolver();
    for (const host of ["no-such-host.invalid", "an invalid domain", "", "localhost\0", "127.0.0.1 x"]) {
      const error = await rejection(resolver.resolve(host, 80));
      expect(error, JSON.stringify(host)).to.be.instanceOf(Error);
      expect(error, JSON.stringify(host)).to.include({ code: "ENOTFOUND", syscall: "getaddrinfo", hostname: host });
    }
    sinon
      .stub(dns, "lookup")
      .callsFake(((_host: string, _options: object, done: (error: null, found: object[]) => void) => done(null, [])) as never);
    expect(await rejection(resolver.resolve("empty", 80))).to.include({ code: "ENOTFOUND" });
  });

  it("N56 rejects wrong arguments", async () => {
    const resolver = new Resolver();
    for (const port of [-1, 65536, 1.5]) expect(await rejection(resolver.resolve("127.0.0.1", port))).to.be.instanceOf(RangeError);
    expect(await rejection(resolver.resolve("127.0.0.1", "80" as unknown as number))).to.be.instanceOf(TypeError);
    expect(await rejection(resolver.resolve(5 as unknown as string, 80))).to.be.instanceOf(TypeError);
    expect(await rejection(resolver.resolve("localhost", 80, 1))).to.be.instanceOf(RangeError);
  });

  it("N56 lets the loop run on during a lookup, and works after close()", async () => {
    await onLoop(async (loop) => {
      let answer: (error: null, found: object[]) => void = () => undefined;
      sinon.stub(dns, "lookup").callsFake(((_host: string, _options: object, done: typeof answer) => (answer = done)) as never);
      const resolver = new Resolver();
      resolver.close();
      const future = resolver.resolve("slow", 80);
      let turns = 0;
      await new Promise<void>((resolve) => loop.callLater(0.01, () => (turns++, resolve())));
      expect(turns).to.equal(1);
      expect(future.done()).to.equal(false);
      answer(null, [{ address: "10.0.0.1", family: 4 }]);
      expect(await future).to.deep.equal([[AF_INET, ["10.0.0.1", 80]]]);
      // Cancelled while the answer is under way: it is dropped.
      const cancelled = resolver.resolve("slow", 80);
      cancelled.cancel();
      answer(null, [{ address: "10.0.0.1", family: 4 }]);
      expect(cancelled.cancelled()).to.equal(true);
    });
  });

  it("N57 makes what was configured, with its options", () => {
    expect(new Resolver()).to.be.instanceOf(DefaultLoopResolver);
    const inner = new Echo();
    Resolver.configure(OverrideResolver, { resolver: inner, mapping: { a: "b" } });
    expect(Resolver.configuredClass()).to.equal(OverrideResolver);
    void new Resolver().resolve("a", 1);
    expect(inner.asked).to.deep.equal([["b", 1, AF_UNSPEC]]);
    Resolver.configure("ThreadedResolver", { numThreads: 3 });
    expect(new Resolver()).to.be.instanceOf(ThreadedResolver);
    const saved = Resolver._saveConfiguration();
    Resolver.configure(undefined);
    expect(new Resolver()).to.be.instanceOf(DefaultLoopResolver);
    Resolver._restoreConfiguration(saved);
    expect(new Resolver()).to.be.instanceOf(ThreadedResolver);
    expect(Resolver.configurableBase()).to.equal(Resolver);
    expect(Resolver.configurableDefault()).to.equal(DefaultLoopResolver);
  });

  it("N57 refuses a class that is no Resolver, an unknown name, unknown options", () => {
    expect(() => Resolver.configure(class {} as never)).to.throw(RangeError);
    expect(() => Resolver.configure(Resolver)).to.throw(RangeError);
    expect(() => Resolver.configure("tornado.platform.caresresolver.CaresResolver")).to.throw(RangeError, /use one of DefaultLoopResolver/);
    expect(() => new ThreadedResolver({ threads: 3 } as object)).to.throw(TypeError, /numThreads/);
    expect(new ExecutorResolver({ executor: {}, closeExecutor: true })).to.be.instanceOf(DefaultLoopResolver);
    expect(new BlockingResolver()).to.be.instanceOf(Resolver);
    expect(new DefaultExecutorResolver()).to.be.instanceOf(Resolver);
  });

  it("N57 says what a class without resolve() lacks", async () => {
    class Nothing extends Resolver {}
    expect((await rejection(new Nothing().resolve("a", 1))).message).to.match(/^Nothing does not provide resolve\(\)/);
  });
});

describe("OverrideResolver", () => {
  const mapping: OverrideMapping = [
    ["google.com", "1.2.3.4"],
    [
      ["google.com", 80],
      ["5.6.7.8", 8080],
    ],
    [
      ["google.com", 80, AF_INET6],
      ["::1", 8081],
    ],
    ["1.2.3.4", "chained"],
  ];

  for (const [form, given] of [
    ["pairs", mapping],
    ["a Map", new Map(mapping)],
  ] as const) {
    it(`N58 looks for family, port and host in that order, replaces once and compares keys by value (${form})`, () => {
      const inner = new Echo();
      const resolver = new OverrideResolver(inner, given);
      void resolver.resolve("google.com", 443);
      void resolver.resolve("google.com", 80);
      void resolver.resolve("google.com", 80, AF_INET6);
      void resolver.resolve("google.com", 80, AF_INET);
      void resolver.resolve("example.com", 25, AF_INET);
      expect(inner.asked).to.deep.equal([
        ["1.2.3.4", 443, AF_UNSPEC],
        ["5.6.7.8", 8080, AF_UNSPEC],
        ["::1", 8081, AF_INET6],
        ["5.6.7.8", 8080, AF_INET],
        ["example.com", 25, AF_INET],
      ]);
    });
  }

  it("N58 takes a plain object by host, and closes the inner resolver", () => {
    const inner = new Echo();
    const resolver = new OverrideResolver(inner, { a: "b", constructor: "c" });
    void resolver.resolve("a", 1);
    void resolver.resolve("toString", 1);
    expect(inner.asked.map(([host]) => host)).to.deep.equal(["b", "toString"]);
    resolver.close();
    expect(inner.closed).to.equal(1);
  });

  it("N58 gives addresses through a real resolver", async () => {
    const resolver = new OverrideResolver(new Resolver(), { "example.com": "127.0.0.1" });
    const [found] = await resolver.resolve("example.com", 80);
    expect(found).to.deep.equal([AF_INET, ["127.0.0.1", 80] satisfies InetAddress]);
  });

  it("N58 refuses what is no resolver or no mapping", () => {
    expect(() => new OverrideResolver(5 as never, {})).to.throw(TypeError);
    expect(() => new OverrideResolver(new Resolver(), 5 as never)).to.throw(TypeError, /^mapping is 5/);
    expect(() => new OverrideResolver(new Resolver(), [["a", ["b", 1]]])).to.throw(TypeError, /pass a host/);
    expect(() => new OverrideResolver(new Resolver(), [[["a", 1], "b"]])).to.throw(TypeError, /pass \[host, port\]/);
    expect(() => new OverrideResolver({ resolver: new Resolver(), map: {} } as never)).to.throw(TypeError, /Unknown option 'map'/);
  });
});
