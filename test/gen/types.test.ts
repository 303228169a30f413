/** The types that users see (primitives.md P155); the compiler is the judge, the test shows that the values agree. */
import { expect } from "chai";

import { Future } from "../../src/concurrent/index.js";
import { coroutine, maybeFuture, multi, sleep, withTimeout } from "../../src/gen/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { Lock, type Releaser } from "../../src/locks/index.js";
import { Queue } from "../../src/queues/index.js";
import { useManualLoop } from "./manual-loop.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if the value's type is exactly `Wanted`. */
function exactly<Wanted>(): <Given>(value: Given, same: Same<Given, Wanted>) => Given {
  return (value) => value;
}

interface Job {
  id: number;
}

function done<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

describe("types", () => {
  useManualLoop();

  it("P155 multi maps types per element", async () => {
    const tuple = exactly<Future<[number, string]>>()(multi([done(1), Promise.resolve("x")]), true);
    expect(await tuple).to.deep.equal([1, "x"]);
    const object = exactly<Future<{ a: number }>>()(multi({ a: done(1) }), true);
    expect(await object).to.deep.equal({ a: 1 });
    const many: Future<number>[] = [done(1), done(2)];
    expect(await exactly<Future<number[]>>()(multi(many), true)).to.deep.equal([1, 2]);
    const map = exactly<Future<Map<string, number>>>()(multi(new Map([["k", done(1)]])), true);
    expect([...(await map)]).to.deep.equal([["k", 1]]);
    const nested = exactly<Future<[number, { b: string }]>>()(multi([done(1), { b: done("x") }]), true);
    expect(await nested).to.deep.equal([1, { b: "x" }]);
  });

  it("P155 a queue iterates its items, a coroutine and with() give Futures of their results", async () => {
    const queue = new Queue<Job>();
    queue.putNowait({ id: 1 });
    for await (const job of queue) {
      expect(exactly<Job>()(job, true).id).to.equal(1);
      break;
    }
    // eslint-disable-next-line require-yield -- the type is what is tested
    const run = coroutine(function* (a: number) {
      return "x".repeat(a);
    });
    const call: (a: number) => Future<string> = run;
    expect(await exactly<Future<string>>()(run(2), true)).to.equal("xx");
    expect(call).to.equal(run);
    const lock = new Lock();
    expect(
      await exactly<Future<number>>()(
        lock.with(async () => 1),
        true,
      ),
    ).to.equal(1);
    const releaser = await exactly<Future<Releaser>>()(lock.acquire(), true);
    releaser.release();
  });

  it("P155 withTimeout, maybeFuture and sleep keep the type", async () => {
    expect(await exactly<Future<number>>()(withTimeout(seconds(1), done(1)), true)).to.equal(1);
    expect(await exactly<Future<string>>()(maybeFuture(Promise.resolve("x")), true)).to.equal("x");
    exactly<Future<void>>()(sleep(1), true).cancel();
  });
});
