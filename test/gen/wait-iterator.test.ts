/** WaitIterator (primitives.md 3.9). */
import { expect } from "chai";

import { CancelledError, Future } from "../../src/concurrent/index.js";
import { BadYieldError, sleep, WaitIterator, withTimeout } from "../../src/gen/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { nextRound } from "../support/real-timers.js";
import { useManualLoop } from "./manual-loop.js";

function done<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

describe("WaitIterator", () => {
  const fixture = useManualLoop();

  it("P116 gives results in order of completion, those done beforehand first", async () => {
    const [a, b, c] = [new Future<string>(), new Future<string>(), new Future<string>()];
    const it = new WaitIterator(a, done("first"), b, done("second"), c);
    const next = it.next();
    expect([a, b, c]).to.not.include(next);
    expect(next.result()).to.equal("first");
    expect(it.next().result()).to.equal("second");
    c.setResult("c");
    a.setResult("a");
    expect(it.next().result()).to.equal("c");
    expect(it.next().result()).to.equal("a");
    const last = it.next();
    expect(last.done()).to.equal(false);
    b.setResult("b");
    expect(await last).to.equal("b");
  });

  it("P117 currentIndex and currentFuture tell the input until the next call", () => {
    const [a, b] = [new Future<string>(), new Future<string>()];
    const it = new WaitIterator<string>({ left: a, right: b });
    expect([it.currentIndex, it.currentFuture]).to.deep.equal([undefined, undefined]);
    const next = it.next();
    expect(it.currentIndex).to.equal(undefined);
    b.setResult("b");
    expect(next.done()).to.equal(true);
    expect(it.currentIndex).to.equal("right");
    expect(it.currentFuture).to.equal(b);
    a.setResult("a");
    expect(it.done()).to.equal(false);
    expect(it.currentIndex).to.equal("right");
    void it.next();
    expect(it.currentIndex).to.equal("left");
    expect(it.currentFuture).to.equal(a);
    expect(it.done()).to.equal(true);
    expect([it.currentIndex, it.currentFuture]).to.deep.equal([undefined, undefined]);
    const unfinished = new WaitIterator(done(1), new Future<number>());
    void unfinished.next();
    expect(unfinished.currentIndex).to.equal(0);
    void unfinished.next();
    expect([unfinished.currentIndex, unfinished.currentFuture]).to.deep.equal([undefined, undefined]);
    const promise = Promise.resolve(1);
    const native = new WaitIterator(promise);
    const first = native.next();
    return first.then(() => {
      expect(native.currentFuture).to.equal(promise);
      expect(native.currentIndex).to.equal(0);
    });
  });

  it("P118 done() once every input has been handed out", () => {
    expect(new WaitIterator().done()).to.equal(true);
    expect(new WaitIterator({}).done()).to.equal(true);
    const it = new WaitIterator(done(1));
    expect(it.done()).to.equal(false);
    it.next();
    expect(it.done()).to.equal(true);
  });

  it("P119 a failed or cancelled input fails that next(), and iteration goes on", () => {
    const [bad, gone, good] = [new Future<number>(), new Future<number>(), new Future<number>()];
    const it = new WaitIterator(bad, gone, good);
    const wrong = new Error("wrong");
    bad.setException(wrong);
    const first = it.next();
    expect(first.exception()).to.equal(wrong);
    expect(it.currentIndex).to.equal(0);
    gone.cancel();
    const second = it.next();
    expect(second.cancelled()).to.equal(false);
    expect(second.exception()).to.be.instanceOf(CancelledError);
    expect(it.currentFuture).to.equal(gone);
    good.setResult(3);
    expect(it.next().result()).to.equal(3);
  });

  it("P120 refuses mixed forms and what cannot be awaited", () => {
    const future = new Future<number>();
    type Any = PromiseLike<number>;
    for (const args of [
      [future, { a: future }],
      [{ a: future }, future],
      [{ a: future }, { b: future }],
    ]) {
      expect(() => new WaitIterator(...(args as Any[]))).to.throw(RangeError);
    }
    for (const bad of [1, "x", null, undefined, [future]]) {
      expect(() => new WaitIterator(bad as unknown as Any), String(bad)).to.throw(BadYieldError);
      expect(() => new WaitIterator({ a: bad as unknown as Any })).to.throw(BadYieldError);
    }
    expect(future._listeners).to.equal(undefined);
  });

  it("P121 the same input twice yields twice, the lower index first", () => {
    const future = new Future<number>();
    const it = new WaitIterator(future, future);
    const first = it.next();
    future.setResult(1);
    expect([first.result(), it.currentIndex]).to.deep.equal([1, 0]);
    expect([it.next().result(), it.currentIndex]).to.deep.equal([1, 1]);
    expect(it.done()).to.equal(true);
  });

  it("P122 next() fails after the end and while one is pending; after a cancel no result is lost", () => {
    const [a, b] = [new Future<number>(), new Future<number>()];
    const it = new WaitIterator(a, b);
    const pending = it.next();
    expect(it.next().exception()).to.be.an("error").with.property("message").that.contains("pending");
    expect(pending.done()).to.equal(false);
    pending.cancel();
    a.setResult(1);
    expect(it.next().result()).to.equal(1);
    const again = it.next();
    again.cancel();
    const last = it.next();
    b.setResult(2);
    expect(last.result()).to.equal(2);
    expect(it.next().exception()).to.be.an("error").with.property("message").that.contains("done()");
  });

  it("P123 for await ends when all are done, throws at a failure, and a second loop goes on", async () => {
    const wrong = new Error("wrong");
    const bad = new Future<number>();
    bad.setException(wrong);
    const it = new WaitIterator(done(1), bad, done(3), Promise.resolve(4));
    const got: unknown[] = [];
    try {
      for await (const value of it) got.push([value, it.currentIndex]);
      expect.fail("the failure was not thrown");
    } catch (error) {
      expect(error).to.equal(wrong);
    }
    for await (const value of it) got.push([value, it.currentIndex]);
    expect(got).to.deep.equal([
      [1, 0],
      [3, 2],
      [4, 3],
    ]);
    const iterator = it[Symbol.asyncIterator]();
    expect(iterator).to.not.equal(it);
    expect(await iterator.next()).to.deep.equal({ done: true, value: undefined });
  });

  it("P124 needs no reference but what it waits for", async () => {
    const { manual } = fixture;
    const bounded = (() => withTimeout(seconds(60), new WaitIterator(sleep(0)).next()))();
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await nextRound();
    }
    await manual.turn();
    expect(bounded.done()).to.equal(true);
    expect(bounded.exception()).to.equal(undefined);
    expect(manual.timers).to.equal(0);
  });
});
