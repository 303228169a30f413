/** What holds for every call that waits: deadlines, signals, cancelling (primitives.md 3.1). */
import { getEventListeners } from "node:events";
import { inspect } from "node:util";

import { expect } from "chai";

import { CancelledError, type Future, TimeoutError } from "../../src/concurrent/index.js";
import { sleep, withTimeout } from "../../src/gen/index.js";
import { relativeDeadlineWarning } from "../../src/gen/wait-options.js";
import { seconds } from "../../src/ioloop/index.js";
import { Lock } from "../../src/locks/index.js";
import { Queue } from "../../src/queues/index.js";
import { expectLog } from "../support/log-records.js";
import { nextRound, settle } from "../support/real-timers.js";
import { ManualLoop, useManualLoop } from "./manual-loop.js";
import { waitCases, type Waiting } from "./wait-cases.js";

function failure(future: Future<unknown>): unknown {
  expect(future.done()).to.equal(true);
  return future.exception();
}

describe("waiting", () => {
  const fixture = useManualLoop();

  for (const { name, atDeadline, grantsAll, optionsOnly, busy, free } of waitCases) {
    describe(name, () => {
      const expired = (future: Future<unknown>): void => {
        if (atDeadline === undefined) expect(failure(future)).to.be.instanceOf(TimeoutError);
        else expect(future.result()).to.equal(atDeadline);
      };
      const waitWith = (it: Waiting, timeout: unknown): Future<unknown> => (optionsOnly ? it.wait({ timeout }) : it.wait(timeout));
      /** Gives a granted item or permit no further part in the test. */
      const settleAll = async (): Promise<void> => {
        await nextRound();
      };

      it(`P1 ${name}: a number is an absolute deadline on the loop's clock`, async () => {
        const { manual } = fixture;
        const it = busy();
        const future = waitWith(it, manual.now + 0.05);
        await manual.advance(0.04);
        expect(future.done()).to.equal(false);
        await manual.advance(0.02);
        expired(future);
        const longAgo = waitWith(it, 5);
        expect(longAgo.done()).to.equal(false);
        await manual.turn();
        expired(longAgo);
      });

      it(`P2 ${name}: a Duration is relative and the sum of its fields`, async () => {
        const { manual } = fixture;
        const it = busy();
        const future = waitWith(it, { minutes: 1, seconds: -59.95 });
        await manual.advance(0.04);
        expect(future.done()).to.equal(false);
        await manual.advance(0.02);
        expired(future);
        const negative = waitWith(it, { seconds: 1, minutes: -1 });
        await manual.turn();
        expired(negative);
      });

      it(`P3 ${name}: only undefined means no deadline`, async () => {
        const { manual } = fixture;
        const it = busy();
        const waits = [waitWith(it, 0), waitWith(it, { seconds: 0 }), waitWith(it, seconds(0))];
        const forever = waitWith(it, undefined);
        expect(waits.map((each) => each.done())).to.deep.equal([false, false, false]);
        await manual.turn();
        waits.forEach(expired);
        expect(forever.done()).to.equal(false);
      });

      it(`P4 ${name}: Infinity never expires and arms no timer`, async () => {
        const { manual } = fixture;
        const it = busy();
        const waits = [waitWith(it, Infinity), waitWith(it, { seconds: Infinity })];
        expect(manual.timers).to.equal(0);
        await manual.advance(1e9);
        expect(waits.map((each) => each.done())).to.deep.equal([false, false]);
      });

      it(`P5 ${name}: a wrong argument throws and changes nothing`, () => {
        for (const it of [busy(), ...(free === undefined ? [] : [free()])]) {
          const before = it.state();
          const wrong: unknown[] = [
            NaN,
            "5",
            true,
            null,
            new Date(),
            [],
            { second: 5 },
            { seconds: "5" },
            { seconds: NaN },
            new AbortController().signal,
          ];
          for (const timeout of wrong) expect(() => waitWith(it, timeout), String(timeout)).to.throw(TypeError);
          for (const options of [{ seconds: 5, signal: undefined }, { signal: {} }, { signal: null }, { signals: 1 }, 5, null, [], "x"]) {
            expect(() => (optionsOnly ? it.wait(options) : it.wait(undefined, options)), JSON.stringify(options)).to.throw(TypeError);
          }
          expect(() => it.wait({ seconds: 5, signal: new AbortController().signal })).to.throw(TypeError);
          expect(() => it.wait({ onTimeout: "maybe" })).to.throw(TypeError);
          expect(it.waiting()).to.equal(0);
          expect(it.state()).to.equal(before);
        }
      });

      if (optionsOnly === undefined) {
        it(`P6 ${name}: the timeout may stand before the options or inside, not in both places`, async () => {
          const { manual } = fixture;
          const it = busy();
          const { signal } = new AbortController();
          const waits = [
            it.wait(seconds(1), { signal }),
            it.wait({ timeout: seconds(1), signal }),
            it.wait(undefined, { timeout: { seconds: 1 } }),
          ];
          const endless = it.wait({});
          const atOnce = [it.wait({ timeout: {} }), it.wait({}, {})];
          expect(() => it.wait(seconds(1), { timeout: seconds(1) })).to.throw(TypeError, /twice/);
          await manual.turn();
          atOnce.forEach(expired);
          expect(waits.some((each) => each.done())).to.equal(false);
          await manual.advance(1);
          waits.forEach(expired);
          expect(endless.done()).to.equal(false);
        });
      }

      if (free !== undefined) {
        it(`P7 ${name}: what can succeed at once does so whatever the deadline`, () => {
          for (const timeout of [0, -1, { seconds: -1 }, fixture.manual.now + 10]) {
            const future = waitWith(free(), timeout);
            expect(future.done()).to.equal(true);
            expect(future.exception()).to.equal(undefined);
            expect(fixture.manual.timers).to.equal(0);
          }
        });
      }

      it(`P8 ${name}: an expired deadline fails in the next iteration, and a grant that comes first wins`, async () => {
        const { manual } = fixture;
        const it = busy();
        const future = waitWith(it, 0);
        expect(future.done()).to.equal(false);
        await nextRound();
        expect(future.done()).to.equal(false);
        await manual.turn();
        expired(future);
        const lucky = waitWith(it, 0);
        it.grant();
        await settleAll();
        await manual.turn();
        expect(lucky.exception()).to.equal(undefined);
        expect(lucky.result()).to.not.equal(false);
      });

      it(`P9 ${name}: the first of grant, deadline, abort and cancel decides, and lets go of everything at once`, async () => {
        const { manual } = fixture;
        const arm = (): { it: Waiting; future: Future<unknown>; controller: AbortController; gone: () => void } => {
          const it = busy();
          const controller = new AbortController();
          const future = it.wait({ timeout: seconds(1), signal: controller.signal });
          expect([it.waiting(), manual.timers, getEventListeners(controller.signal, "abort").length]).to.deep.equal([1, 1, 1]);
          const gone = (): void =>
            void expect([it.waiting(), manual.timers, getEventListeners(controller.signal, "abort").length]).to.deep.equal([0, 0, 0]);
          return { it, future, controller, gone };
        };
        {
          const { it, future, controller, gone } = arm();
          it.grant();
          gone();
          controller.abort();
          await settleAll();
          await manual.advance(2);
          expect(future.exception()).to.equal(undefined);
          expect(future.cancel()).to.equal(false);
        }
        {
          const { future, controller, gone } = arm();
          const reason = new Error("enough");
          controller.abort(reason);
          gone();
          await manual.advance(2);
          expect(failure(future)).to.equal(reason);
        }
        {
          const { it, future, controller, gone } = arm();
          expect(future.cancel("enough")).to.equal(true);
          gone();
          controller.abort();
          await manual.advance(2);
          expect(future.cancelled()).to.equal(true);
          expect(() => future.result()).to.throw(CancelledError, "enough");
          expect(it.waiting()).to.equal(0);
        }
        {
          const { future, controller, gone } = arm();
          manual.clock.advance(1);
          manual.loop.runIteration();
          gone();
          controller.abort();
          expired(future);
        }
      });

      it(`P11 ${name}: with an aborted signal it fails with the reason and takes nothing`, () => {
        const reason = { an: "object" };
        for (const it of [busy(), ...(free === undefined ? [] : [free()])]) {
          const before = it.state();
          const future = it.wait({ signal: AbortSignal.abort(reason), timeout: 0 });
          expect(failure(future)).to.equal(reason);
          expect(future.cancelled()).to.equal(false);
          expect(it.state()).to.equal(before);
          expect(it.waiting()).to.equal(0);
        }
        expect(fixture.manual.timers).to.equal(0);
      });

      it(`P12 ${name}: an abort settles it during the dispatch, and the next in line is served`, async () => {
        const it = busy();
        const controller = new AbortController();
        const first = it.wait({ signal: controller.signal });
        const second = it.wait();
        controller.abort();
        expect(failure(first)).to.equal(controller.signal.reason);
        it.grant();
        await settleAll();
        expect(second.done()).to.equal(true);
        expect(second.exception()).to.equal(undefined);
      });

      it(`P13 ${name}: an abort after the grant changes nothing`, async () => {
        const it = busy();
        const controller = new AbortController();
        const future = it.wait({ signal: controller.signal });
        let got: unknown;
        const reader = (async () => {
          got = ["got", await future];
        })();
        it.grant();
        controller.abort();
        await reader;
        expect(got).to.be.an("array");
        expect(future.exception()).to.equal(undefined);
      });

      it(`P14 ${name}: cancel() leaves the line, and after the grant does nothing`, async () => {
        const it = busy();
        const first = it.wait();
        const second = it.wait();
        expect(first.cancel()).to.equal(true);
        expect(first.cancelled()).to.equal(true);
        expect(it.waiting()).to.equal(1);
        it.grant();
        await settleAll();
        expect(second.exception()).to.equal(undefined);
        expect(second.cancel()).to.equal(false);
      });

      it(`P15 ${name}: 10 000 waiters put one listener on their signal and are settled in order`, async () => {
        const it = busy();
        const controller = new AbortController();
        const { signal } = controller;
        const order: number[] = [];
        const warnings: Error[] = [];
        const onWarning = (warning: Error): void => void warnings.push(warning);
        process.on("warning", onWarning);
        const waits = Array.from({ length: 10_000 }, () => it.wait({ signal }));
        expect(getEventListeners(signal, "abort").length).to.equal(1);
        for (const each of waits.slice(0, 5000)) each.cancel();
        for (const each of waits.slice(5001)) each.cancel();
        expect(getEventListeners(signal, "abort").length).to.equal(1);
        waits[5000]!.cancel();
        expect(getEventListeners(signal, "abort").length).to.equal(0);
        const again = Array.from({ length: 10_000 }, () => it.wait({ signal }));
        for (const [i, each] of again.entries()) each.catch(() => order.push(i)).finally(() => {});
        controller.abort();
        expect(again.every((each) => each.done())).to.equal(true);
        expect(getEventListeners(signal, "abort").length).to.equal(0);
        expect(it.waiting()).to.equal(0);
        await nextRound();
        expect(order).to.deep.equal(Array.from({ length: 10_000 }, (_, i) => i));
        process.off("warning", onWarning);
        expect(warnings).to.deep.equal([]);
      });

      if (grantsAll === undefined) {
        it(`P56 P94 ${name}: dead waiters leave the line at once`, async () => {
          const { manual } = fixture;
          const it = busy();
          for (let i = 0; i < 101; i++) void waitWith(it, seconds(0.01)).catch(() => {});
          const live = it.wait();
          const cancelled = Array.from({ length: 500 }, () => it.wait());
          for (const each of cancelled) each.cancel();
          expect(it.waiting()).to.equal(102);
          await manual.advance(0.02);
          expect(it.waiting()).to.equal(1);
          it.grant();
          await settleAll();
          expect(live.exception()).to.equal(undefined);
        });
      }
    });
  }

  it("P10 a number of long ago warns once in a process and names seconds()", async () => {
    const { manual } = fixture;
    relativeDeadlineWarning.given = false;
    const lock = new Lock();
    await lock.acquire(seconds(-1));
    const waits = [lock.acquire(manual.now - 31_000_000), lock.acquire({ seconds: -1e9 })];
    expect(relativeDeadlineWarning.given).to.equal(false);
    waits.push(lock.acquire(5), lock.acquire(5));
    expectLog("general", "warn", /deadline 5 .*seconds\(5\)/);
    await manual.turn();
    for (const each of waits) expect(failure(each)).to.be.instanceOf(TimeoutError);
  });

  it("P10 a small number on a clock that began at 0 is an ordinary deadline", async () => {
    relativeDeadlineWarning.given = false;
    const manual = new ManualLoop(0);
    const lock = new Lock();
    await lock.acquire();
    const future = lock.acquire(5);
    await manual.advance(4.9);
    expect(future.done()).to.equal(false);
    await manual.advance(0.2);
    expect(failure(future)).to.be.instanceOf(TimeoutError);
    expect(relativeDeadlineWarning.given).to.equal(false);
    relativeDeadlineWarning.given = true;
  });

  it("P5 P6 P11 P14 sleep and withTimeout read deadline and signal the same way", async () => {
    const { manual } = fixture;
    const idle = new Lock();
    await idle.acquire();
    for (const wrong of [NaN, "5", true, null, undefined, new Date(), [], { second: 1 }, { seconds: "1" }, { timeout: 1 }]) {
      expect(() => sleep(wrong as number), inspect(wrong)).to.throw(TypeError);
      expect(() => withTimeout(wrong as number, sleep(1e9)), inspect(wrong)).to.throw(TypeError);
    }
    const wrongOptions = { signals: 1 } as object;
    expect(() => sleep(1, wrongOptions)).to.throw(TypeError);
    expect(() => withTimeout(1, undefined, wrongOptions)).to.throw(TypeError);
    manual.loop.close();
    const next = new ManualLoop();
    const none = [sleep({}), withTimeout({}, idle.acquire())];
    await next.turn();
    expect(none[0]!.result()).to.equal(undefined);
    expect(failure(none[1]!)).to.be.instanceOf(TimeoutError);
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    expect(failure(sleep(1, { signal }))).to.equal(reason);
    expect(failure(withTimeout(seconds(1), idle.acquire(), { signal }))).to.equal(reason);
    expect(next.timers).to.equal(0);
  });

  it("P16 AbortSignal.timeout fails the waiter with the signal's own reason", async () => {
    const queue = new Queue<number>();
    const future = queue.get({ signal: AbortSignal.timeout(5) });
    expect(await settle(() => future.done())).to.equal(true);
    const reason = failure(future);
    expect(reason).to.be.instanceOf(DOMException);
    expect(reason).to.not.be.instanceOf(TimeoutError);
    expect((reason as DOMException).name).to.equal("TimeoutError");
  });

  it("P11 a reason of null becomes an AbortError with the reason as its cause", () => {
    const error = failure(new Queue().get({ signal: AbortSignal.abort(null) })) as Error;
    expect(error.name).to.equal("AbortError");
    expect(error.cause).to.equal(null);
  });

  it("P11 P12 a reason that is a class is passed on as it is", () => {
    const queue = new Queue();
    const controller = new AbortController();
    const future = queue.get({ signal: controller.signal });
    controller.abort(TypeError);
    expect(failure(future)).to.equal(TypeError);
    expect(failure(queue.get({ signal: controller.signal }))).to.equal(TypeError);
  });
});
