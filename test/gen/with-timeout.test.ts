/** withTimeout, sleep, moment (primitives.md 3.10). */
import { expect } from "chai";

import { Future, TimeoutError } from "../../src/concurrent/index.js";
import { BadYieldError, moment, sleep, TimeoutError as GenTimeoutError, withTimeout } from "../../src/gen/index.js";
import { IOLoop, seconds } from "../../src/ioloop/index.js";
import { Lock } from "../../src/locks/index.js";
import { Queue } from "../../src/queues/index.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { nextRound, realMilliseconds } from "../support/real-timers.js";
import { useManualLoop } from "./manual-loop.js";

class Custom extends Error {}

describe("withTimeout", () => {
  const fixture = useManualLoop();

  it("P125 the input's outcome comes first: it is taken over and the timer removed", async () => {
    const { manual } = fixture;
    const [good, bad] = [new Future<number>(), new Future<number>()];
    const results = [withTimeout(seconds(1), good), withTimeout(manual.now + 1, bad)];
    expect(manual.timers).to.equal(2);
    const wrong = new Error("wrong");
    good.setResult(1);
    bad.setException(wrong);
    expect(results[0]!.result()).to.equal(1);
    expect(results[1]!.exception()).to.equal(wrong);
    expect(manual.timers).to.equal(0);
  });

  it("P126 the deadline comes first: TimeoutError, and the input stays as it was", async () => {
    const { manual } = fixture;
    const input = new Future<number>();
    const result = withTimeout(seconds(1), input);
    await manual.advance(0.9);
    expect(result.done()).to.equal(false);
    await manual.advance(0.2);
    expect(result.exception()).to.be.instanceOf(TimeoutError);
    expect(GenTimeoutError).to.equal(TimeoutError);
    expect(input.done()).to.equal(false);
    input.setResult(5);
    expect(await input).to.equal(5);
  });

  it("P127 an input that is done wins over an expired deadline", () => {
    const input = new Future<number>();
    input.setResult(1);
    expect(withTimeout(0, input).result()).to.equal(1);
    expect(withTimeout({ seconds: -5 }, input).result()).to.equal(1);
    expect(fixture.manual.timers).to.equal(0);
  });

  it("P128 an input done when the deadline's callback runs wins", () => {
    const { manual } = fixture;
    const input = new Future<number>();
    const result = withTimeout(seconds(1), input);
    // A timeout of the same iteration settles the input just before.
    manual.loop.callAt(manual.now + 0.5, () => input.setResult(1));
    input.addDoneCallback(() => undefined);
    manual.clock.advance(2);
    manual.loop.runIteration();
    expect(result.result()).to.equal(1);
    manual.loop.runIteration();
  });

  it("P129 a failure that comes too late is logged once, unless quiet", async () => {
    const { manual } = fixture;
    const giveUp: ((input: Future<number>, options?: object) => Promise<void>)[] = [
      async (input, options) => {
        const result = withTimeout(seconds(1), input, options);
        await manual.advance(2);
        expect(result.exception()).to.be.instanceOf(TimeoutError);
      },
      async (input, options) => {
        withTimeout(seconds(1), input, options).cancel();
      },
      async (input, options) => {
        const controller = new AbortController();
        const result = withTimeout(seconds(1), input, { ...options, signal: controller.signal });
        controller.abort();
        expect(result.exception()).to.equal(controller.signal.reason);
      },
      async (input, options) => {
        const signal = AbortSignal.abort();
        expect(withTimeout(seconds(1), input, { ...options, signal }).exception()).to.equal(signal.reason);
      },
    ];
    for (const [i, drop] of giveUp.entries()) {
      const input = new Future<number>();
      await drop(input);
      expectLog("application", "error", new RegExp(`too late ${i}`));
      input.setException(new Error(`too late ${i}`));
      for (const quietExceptions of [Custom, [TypeError, Custom]]) {
        const quiet = new Future<number>();
        await drop(quiet, { quietExceptions });
        quiet.setException(new Custom());
      }
      const cancelled = new Future<number>();
      await drop(cancelled);
      cancelled.cancel();
      const aborted = new Future<number>();
      await drop(aborted);
      aborted.setException(new DOMException("aborted", "AbortError"));
      const success = new Future<number>();
      await drop(success);
      success.setResult(1);
    }
    const native = withTimeout(
      seconds(1),
      new Promise((_, reject) => {
        setImmediate(() => reject(new Custom("native")));
      }),
      { quietExceptions: Custom },
    );
    native.cancel();
    await nextRound();
    await nextRound();
    expect(logRecords().filter(({ level }) => level === "error").length).to.equal(giveUp.length);
    expect(manual.timers).to.equal(0);
  });

  it("P130 a cancelled input cancels the result; cancel and abort of the result leave the input alone", () => {
    const { manual } = fixture;
    const input = new Future<number>();
    const result = withTimeout(seconds(1), input);
    input.cancel("gone");
    expect(result.cancelled()).to.equal(true);
    expect(() => result.result()).to.throw("gone");
    expect(manual.timers).to.equal(0);
    const other = new Future<number>();
    const controller = new AbortController();
    withTimeout(seconds(1), other).cancel();
    const aborted = withTimeout(seconds(1), other, { signal: controller.signal });
    controller.abort();
    expect(aborted.exception()).to.equal(controller.signal.reason);
    expect(manual.timers).to.equal(0);
    expect(other.done()).to.equal(false);
    other.setResult(1);
  });

  it("P131 takes any Yieldable, and refuses a missing timeout", async () => {
    expect(await withTimeout(seconds(1), [Promise.resolve(1), { a: Promise.resolve(2) }])).to.deep.equal([1, { a: 2 }]);
    expect(await withTimeout(seconds(1), Promise.resolve("x"))).to.equal("x");
    for (const bad of [1, "x", null, new Date()])
      expect(() => withTimeout(seconds(1), bad as unknown as undefined)).to.throw(BadYieldError);
    expect(() => withTimeout(undefined as unknown as number, new Future())).to.throw(TypeError, /timeout is missing/);
    expect(() => withTimeout(seconds(1), new Future(), { quietExceptions: "x" as never })).to.throw(TypeError);
    expect(() => withTimeout(seconds(1), new Future(), { signal: 1 as never })).to.throw(TypeError);
    expect(fixture.manual.timers).to.equal(0);
    const nothing = withTimeout(seconds(1), undefined);
    await fixture.manual.turn();
    expect(nothing.exception()).to.equal(undefined);
  });

  it("P132 does not take its input out of a line", async () => {
    const { manual } = fixture;
    const lock = new Lock();
    const holder = await lock.acquire();
    const acquire = lock.acquire();
    const result = withTimeout(seconds(0.01), acquire);
    await manual.advance(0.02);
    expect(result.exception()).to.be.instanceOf(TimeoutError);
    holder.release();
    expect(acquire.done()).to.equal(true);
    expect(lock.locked()).to.equal(true);
  });
});

describe("sleep", () => {
  const fixture = useManualLoop();

  it("P133 settles after its time, never early, zero and less in the next iteration", async () => {
    const { manual } = fixture;
    const sleeps = [sleep(0.05), sleep({ milliseconds: 50 })];
    await manual.advance(0.049);
    expect(sleeps.some((each) => each.done())).to.equal(false);
    await manual.advance(0.002);
    expect(sleeps.map((each) => each.exception())).to.deep.equal([undefined, undefined]);
    const none = [sleep(0), sleep(-1), sleep({ seconds: -1 })];
    expect(none.some((each) => each.done())).to.equal(false);
    await manual.turn();
    expect(none.every((each) => each.done())).to.equal(true);
    for (const wrong of [NaN, "1", undefined, null]) expect(() => sleep(wrong as number)).to.throw(TypeError, /^duration is/);
    const endless = sleep(Infinity);
    expect(manual.timers).to.equal(0);
    endless.cancel();
  });

  it("P133 cancel() and abort remove the timer, and its time passing raises nothing", async () => {
    const { manual } = fixture;
    const controller = new AbortController();
    const [cancelled, aborted] = [sleep(1), sleep(1, { signal: controller.signal })];
    cancelled.cancel();
    controller.abort();
    expect(manual.timers).to.equal(0);
    await manual.advance(2);
    expect(cancelled.cancelled()).to.equal(true);
    expect(aborted.exception()).to.equal(controller.signal.reason);
  });

  it("P133 takes about its time on a real clock", async () => {
    const { manual } = fixture;
    manual.loop.close();
    const loop = makeLoop();
    loop.makeCurrent();
    const started = realMilliseconds();
    await loop.runSync(() => sleep({ milliseconds: 50 }));
    expect(realMilliseconds() - started).to.be.within(49, 5000);
  });
});

describe("moment", () => {
  const fixture = useManualLoop();

  it("P134 each await resumes after exactly one further iteration, any number of times and concurrently", async () => {
    const { manual } = fixture;
    const order: string[] = [];
    const walk = async (name: string): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        await moment;
        order.push(`${name}${i}`);
      }
    };
    manual.loop.addCallback(() => order.push("callback"));
    manual.loop.callAt(manual.now, () => order.push("timeout"));
    const walks = [walk("a"), walk("b")];
    await nextRound();
    await manual.turn();
    expect(order).to.deep.equal(["callback", "timeout", "a0", "b0"]);
    await manual.turn();
    expect(order.slice(4)).to.deep.equal(["a1", "b1"]);
    await manual.turn();
    expect(order.slice(6)).to.deep.equal(["a2", "b2"]);
    await Promise.all(walks);
    expect(Object.isFrozen(moment)).to.equal(true);
  });

  it("P135 ready Futures never give the loop a turn, and a moment cures it", async () => {
    const { manual } = fixture;
    manual.loop.close();
    const loop = makeLoop();
    loop.makeCurrent();
    const q = new Queue<number>();
    const run = async (breathe: boolean): Promise<boolean> => {
      for (let i = 0; i < 500; i++) q.putNowait(i);
      let ticked = false;
      const timer = IOLoop.current().callLater(0, () => {
        ticked = true;
      });
      for (let i = 0; i < 500; i++) {
        await q.get();
        if (breathe) await moment;
      }
      loop.removeTimeout(timer);
      return ticked;
    };
    await loop.runSync(async () => {
      expect(await run(false)).to.equal(false);
      expect(await run(true)).to.equal(true);
    });
  });
});
