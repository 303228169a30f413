import { expect } from "chai";
import { Future, TimeoutError } from "../../src/concurrent/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { StreamClosedError } from "../../src/iostream/index.js";
import type { InetAddress } from "../../src/platform/index.js";
import { _Connector, type ResolvedAddress } from "../../src/net/index.js";
import { FakePoller } from "../support/fake-poller.js";
import { makeLoop } from "../support/loop.js";

class FakeStream {
  closed = false;

  close(): void {
    this.closed = true;
  }
}

const [AF1, AF2] = [1, 2] as const;
const address = (name: string): InetAddress => [name, 80];
const [a, b, c, d] = ["a", "b", "c", "d"].map(address) as [InetAddress, InetAddress, InetAddress, InetAddress];

/** A race over addresses whose attempts the test itself ends, on a loop it turns by hand. */
class Race {
  readonly attempts = new Map<string, Future<FakeStream>>();
  readonly streams = new Map<string, FakeStream>();
  readonly connector: _Connector<FakeStream>;
  readonly future: Future<[number, InetAddress, FakeStream]>;
  readonly loop: PollIOLoop;
  readonly #clock: FakePoller;

  constructor(addresses: readonly ResolvedAddress[], connectTimeout?: number) {
    this.#clock = new FakePoller();
    this.loop = makeLoop({ impl: this.#clock, timeFunc: this.#clock.time });
    this.loop.makeCurrent();
    this.connector = new _Connector<FakeStream>(addresses, (_af, [name]) => {
      const stream = new FakeStream();
      const future = new Future<FakeStream>();
      this.attempts.set(name, future);
      this.streams.set(name, stream);
      return [stream, future];
    });
    this.future = this.connector.start(undefined, connectTimeout === undefined ? undefined : { seconds: connectTimeout });
  }

  /** The attempts that are under way. */
  pending(): string[] {
    return [...this.attempts].filter(([, future]) => !future.done()).map(([name]) => name);
  }

  succeed(name: string): void {
    this.attempts.get(name)!.setResult(this.streams.get(name)!);
    this.turn();
  }

  fail(name: string): void {
    this.attempts.get(name)!.setException(new Error(name));
    this.turn();
  }

  turn(): void {
    this.loop.runIteration();
  }

  /** Time passes. */
  pass(seconds: number): void {
    this.#clock.now += seconds;
    this.turn();
  }

  closed(): string[] {
    return [...this.streams].filter(([, stream]) => stream.closed).map(([name]) => name);
  }

  timeouts(): number {
    return this.loop.statistics().timeouts;
  }
}

const one: ResolvedAddress[] = [[AF1, a]];
const four: ResolvedAddress[] = [
  [AF1, a],
  [AF1, b],
  [AF2, c],
  [AF2, d],
];

describe("_Connector", () => {
  it("N75 splits by the first entry's family, in order", () => {
    expect(
      _Connector.split([
        [1, "a"],
        [2, "b"],
        [1, "c"],
        [2, "d"],
      ]),
    ).to.deep.equal([
      [
        [1, "a"],
        [1, "c"],
      ],
      [
        [2, "b"],
        [2, "d"],
      ],
    ]);
    expect(_Connector.split([])).to.deep.equal([[], []]);
  });

  it("N75 fails with ENOTFOUND for no address at all", () => {
    const race = new Race([]);
    expect(race.future.exception()).to.include({ code: "ENOTFOUND" });
    expect(race.timeouts()).to.equal(0);
  });

  it("N76 takes the first address alone when it answers in time", () => {
    const race = new Race(four);
    race.pass(0.29);
    expect(race.pending()).to.deep.equal(["a"]);
    race.succeed("a");
    expect(race.future.result()).to.deep.equal([AF1, a, race.streams.get("a")]);
    expect(race.timeouts()).to.equal(0);
    expect(race.closed()).to.deep.equal([]);
  });

  it("N76 lets the other family join in after 0.3 s, with one attempt for each", () => {
    const race = new Race(four);
    race.pass(0.3);
    expect(race.pending()).to.deep.equal(["a", "c"]);
    race.pass(10);
    expect(race.pending()).to.deep.equal(["a", "c"]);
    race.fail("a");
    expect(race.pending()).to.deep.equal(["c", "b"]);
    race.fail("c");
    expect(race.pending()).to.deep.equal(["b", "d"]);
    race.succeed("d");
    expect(race.future.result()[1]).to.equal(d);
    expect(race.closed()).to.deep.equal(["b"]);
    race.fail("b");
  });

  it("N77 starts the next of its family and the first of the other when the first fails early", () => {
    const race = new Race(four);
    race.fail("a");
    expect(race.pending()).to.deep.equal(["b", "c"]);
    // Instead of the timeout, not besides it.
    expect(race.timeouts()).to.equal(0);
    race.fail("b");
    expect(race.pending()).to.deep.equal(["c"]);
    race.succeed("c");
    expect(race.future.result()[1]).to.equal(c);
  });

  it("N77 does so when the first attempt fails within the call", () => {
    const clock = new FakePoller();
    makeLoop({ impl: clock, timeFunc: clock.time });
    const tried: string[] = [];
    const connector = new _Connector<FakeStream>(four, (_af, [name]) => {
      tried.push(name);
      const future = new Future<FakeStream>();
      if (name === "a") future._fail(new Error(name));
      return [undefined, future];
    });
    const future = connector.start();
    expect(tried).to.deep.equal(["a", "b", "c"]);
    future.cancel();
  });

  it("N78 closes what comes in later, and starts nothing for what fails later", () => {
    const race = new Race(four);
    race.pass(0.3);
    race.succeed("c");
    expect(race.future.result()[1]).to.equal(c);
    expect(race.closed()).to.deep.equal(["a"]);
    race.streams.get("a")!.closed = false;
    race.succeed("a");
    expect(race.closed()).to.deep.equal(["a"]);
    expect(race.timeouts()).to.equal(0);

    const other = new Race(four);
    other.pass(0.3);
    other.succeed("c");
    other.fail("a");
    expect(other.pending()).to.deep.equal([]);
  });

  it("N79 fails with the last error when every address has failed", () => {
    const race = new Race(four);
    race.fail("a");
    race.fail("b");
    race.fail("c");
    expect(race.future.done()).to.equal(false);
    race.fail("d");
    expect(race.future.exception()).to.have.property("message", "d");
    expect(race.connector.remaining).to.equal(0);
    expect(race.timeouts()).to.equal(0);
  });

  it("N79 tells why a stream closed rather than that it did", () => {
    const race = new Race(one);
    const cause = new Error("refused");
    race.attempts.get("a")!.setException(new StreamClosedError(cause));
    race.turn();
    expect(race.future.exception()).to.equal(cause);
    expect(race.connector.lastError).to.equal(cause);
  });

  it("N79 goes on when one list is at its end, whichever that is", () => {
    const race = new Race(four);
    race.fail("a");
    race.fail("b");
    race.pass(5);
    expect(race.pending()).to.deep.equal(["c"]);
    race.fail("c");
    race.succeed("d");
    expect(race.future.result()[1]).to.equal(d);

    const other = new Race([
      [AF1, a],
      [AF1, b],
    ]);
    other.pass(0.3);
    other.fail("a");
    other.succeed("b");
    expect(other.future.result()[1]).to.equal(b);
  });

  it("N80 gives up at the connect timeout and closes all, also one that comes in later", () => {
    const race = new Race(four, 0.5);
    race.pass(0.3);
    race.pass(0.2);
    expect(race.future.exception()).to.be.instanceOf(TimeoutError);
    expect(race.closed()).to.deep.equal(["a", "c"]);
    expect(race.timeouts()).to.equal(0);
    race.streams.get("c")!.closed = false;
    race.succeed("c");
    expect(race.closed()).to.include("c");
    race.fail("a");
    expect(race.pending()).to.deep.equal([]);
  });

  it("N80 leaves no timer when it succeeds or fails before the connect timeout", () => {
    const race = new Race(one, 5);
    expect(race.timeouts()).to.equal(2);
    race.succeed("a");
    expect(race.timeouts()).to.equal(0);
    const other = new Race(one, 5);
    other.fail("a");
    expect(other.future.exception()).to.have.property("message", "a");
    expect(other.timeouts()).to.equal(0);
  });

  it("N83 closes all when its Future is cancelled", () => {
    const race = new Race(four, 5);
    race.pass(0.3);
    race.future.cancel();
    expect(race.closed()).to.deep.equal(["a", "c"]);
    expect(race.timeouts()).to.equal(0);
    race.fail("a");
    race.fail("c");
    expect(race.pending()).to.deep.equal([]);
  });
});
