/** `IOLoop.runSync` (L75-L83). */
import { inspect } from "node:util";
import { expect } from "chai";
import sinon from "sinon";
import { Future, TimeoutError } from "../../src/concurrent/index.js";
import { IOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { makeFakeLoop } from "./driving.js";
import { untilWaiting } from "./waiting.js";
import { makeVirtualLoop } from "./virtual-time.js";

/** What a promise rejects with. */
async function reasonOf(promise: Promise<unknown>): Promise<Error> {
  const [outcome] = await Promise.allSettled([promise]);
  if (outcome.status === "fulfilled") throw new Error(`It fulfilled, with ${inspect(outcome.value)}`);
  return outcome.reason as Error;
}

/** A promise that stays pending. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

describe("IOLoop: runSync", () => {
  eachCombination((_name, makeLoop) => {
    it("L75 calls the function without arguments, in a callback of this loop", async () => {
      const first = makeLoop();
      const loop = makeLoop();
      expect(IOLoop.current()).to.equal(first);
      let current: IOLoop | undefined;
      let iterations: number | undefined;
      const func = sinon.spy(() => {
        current = IOLoop.current();
        iterations = loop.statistics().iterations;
        return undefined;
      });
      const result = loop.runSync(func);
      expect(func.callCount).to.equal(0);
      await result;
      expect(func.args).to.deep.equal([[]]);
      expect(current).to.equal(loop);
      expect(iterations).to.equal(1);
    });

    it("L76 L78 resolves with the value of what it waited for, again and again", async () => {
      const loop = makeLoop();
      for (let round = 0; round < 5; round++) {
        const value = await loop.runSync(async () => {
          await new Promise<void>((resolve) => {
            loop.callLater(0.001, resolve);
          });
          return { round };
        });
        expect(value).to.deep.equal({ round });
        expect(loop.statistics()).to.include({ running: false, timeouts: 0, callbacks: 0 });
      }
    });

    it("L77 rejects with the very error, and logs nothing", async () => {
      const loop = makeLoop();
      const error = new Error("expected");
      const reason = await reasonOf(
        loop.runSync(async () => {
          await nextRound();
          throw error;
        }),
      );
      expect(reason).to.equal(error);
      expect(logRecords()).to.deep.equal([]);
    });

    it("L82 rejects when something else stops the loop first", async () => {
      const loop = makeLoop();
      const result = reasonOf(loop.runSync(never));
      await untilWaiting(loop);
      loop.stop();
      expect(await result)
        .to.be.instanceOf(Error)
        .with.property("message")
        .that.matches(/stopped before/);
      await loop.runSync(() => undefined);
    });

    it("L83 rejects on a running loop, and does not call the function", async () => {
      const loop = makeLoop();
      const func = sinon.spy(() => undefined);
      const run = loop.start();
      expect(await reasonOf(loop.runSync(func))).to.match(/running/);
      await untilWaiting(loop);
      expect(await reasonOf(loop.runSync(func))).to.match(/running/);
      loop.stop();
      expect(await reasonOf(loop.runSync(func))).to.match(/running/);
      await run;
      expect(func.callCount).to.equal(0);
    });

    it("L79 gives up after the timeout", async () => {
      const loop = makeLoop();
      const reason = await reasonOf(loop.runSync(never, { timeout: 0.01 }));
      expect(reason).to.be.instanceOf(TimeoutError);
      expect(reason.message).to.include("timed out after 0.01 seconds");
      expect(loop.statistics()).to.include({ running: false, timeouts: 0 });
    });
  });

  describe("results", () => {
    for (const [what, result, value] of [
      ["undefined", undefined, undefined],
      ["null", null, undefined],
      ["a promise", Promise.resolve(7), 7],
      ["a promise of undefined", Promise.resolve(undefined), undefined],
      ["a thenable", { then: (resolve: (value: number) => void) => resolve(7) }, 7],
    ] as const) {
      it(`L76 is ${String(value)} for ${what}`, async () => {
        const { loop } = makeFakeLoop();
        expect(await loop.runSync(() => result as PromiseLike<number>)).to.equal(value);
      });
    }

    it("L76 is a Future's", async () => {
      const { loop } = makeFakeLoop();
      const future = new Future<number>();
      future.setResult(7);
      expect(await loop.runSync(() => future)).to.equal(7);
    });

    for (const result of [0, 7, "text", true, [], [Promise.resolve(1)], {}, { a: Promise.resolve(1) }, () => undefined]) {
      it(`L76 is a TypeError for ${inspect(result)}`, async () => {
        const { loop } = makeFakeLoop();
        const reason = await reasonOf(loop.runSync(() => result as unknown as Promise<void>));
        expect(reason).to.be.instanceOf(TypeError);
        expect(reason.message).to.match(/awaitable/);
      });
    }

    for (const [how, fail] of [
      [
        "a throw",
        (error: unknown) => {
          throw error;
        },
      ],
      ["a rejection", (error: unknown) => Promise.reject(error)],
      [
        "a failed Future",
        (error: unknown) => {
          const future = new Future<void>();
          future.setException(error);
          return future;
        },
      ],
    ] as const) {
      it(`L77 of ${how} is the same error object, and nothing is logged`, async () => {
        const { loop } = makeFakeLoop();
        const error = new Error("expected");
        expect(await reasonOf(loop.runSync(() => fail(error)))).to.equal(error);
        expect(logRecords()).to.deep.equal([]);
        expect(loop.statistics().running).to.equal(false);
      });
    }

    it("L76 L20 a function that is none is refused by the call", () => {
      const { loop } = makeFakeLoop();
      expect(() => loop.runSync("f" as unknown as () => undefined)).to.throw(TypeError, /func is 'f'/);
      expect(() => loop.runSync(() => undefined, { timeout: NaN })).to.throw(TypeError, /timeout is NaN/);
      expect(() => loop.runSync(() => undefined, { timeout: "1" } as object)).to.throw(TypeError, /timeout is '1'/);
      expect(loop.statistics()).to.include({ callbacks: 0, timeouts: 0 });
    });
  });

  describe("timeouts", () => {
    it("L78 a timeout that was not needed is gone: it does not stop a later run", async () => {
      const { loop, clock } = makeVirtualLoop();
      expect(await loop.runSync(async () => 1, { timeout: 5 })).to.equal(1);
      expect(loop.statistics().timeouts).to.equal(0);
      loop.callAt(1020, loop.stop);
      await loop.start();
      expect(clock.now).to.equal(1020);
    });

    it("L79 a plain promise: the loop stops at once", async () => {
      const { loop, clock } = makeVirtualLoop();
      let late = 0;
      loop.callAt(1010, () => late++);
      const reason = await reasonOf(loop.runSync(never, { timeout: 0.01 }));
      expect(reason).to.be.instanceOf(TimeoutError);
      expect(reason.message).to.include("timed out after 0.01 seconds");
      expect(clock.now).to.equal(1000.01);
      expect(late).to.equal(0);
      loop.callAt(1011, loop.stop);
      await loop.start();
      expect(late).to.equal(1);
    });

    it("L79 the timeout may be a bare number", async () => {
      const { loop, clock } = makeVirtualLoop();
      const reason = await reasonOf(loop.runSync(never, 5));
      expect(reason).to.be.instanceOf(TimeoutError);
      expect(reason.message).to.include("timed out after 5 seconds");
      expect(clock.now).to.equal(1005);
    });

    it("L79 a Future is cancelled", async () => {
      const { loop } = makeVirtualLoop();
      const future = new Future<void>();
      const reason = await reasonOf(loop.runSync(() => future, { timeout: 5 }));
      expect(reason).to.be.instanceOf(TimeoutError);
      expect(future.cancelled()).to.equal(true);
    });

    /** A Future that takes a cancellation and ends three seconds later. */
    class Lingering extends Future<number> {
      readonly #loop: IOLoop;
      readonly #end: (future: Lingering) => void;
      cancels = 0;

      constructor(loop: IOLoop, end: (future: Lingering) => void) {
        super();
        this.#loop = loop;
        this.#end = end;
      }

      override cancel(): boolean {
        this.cancels++;
        this.#loop.callLater(3, () => this.#end(this));
        return true;
      }
    }

    it("L79 a Future that takes the cancellation is waited for; if it ends with a value, that is the result", async () => {
      const { loop, clock } = makeVirtualLoop();
      const future = new Lingering(loop, (each) => each.setResult(7));
      expect(await loop.runSync(() => future, { timeout: 5 })).to.equal(7);
      expect(clock.now).to.equal(1008);
      expect(future.cancels).to.equal(1);
    });

    it("L79 a Future that takes the cancellation and ends cancelled: TimeoutError", async () => {
      const { loop, clock } = makeVirtualLoop();
      const future = new Lingering(loop, (each) => Future.prototype.cancel.call(each));
      expect(await reasonOf(loop.runSync(() => future, { timeout: 5 }))).to.be.instanceOf(TimeoutError);
      expect(clock.now).to.equal(1008);
    });

    it("L79 a Future that takes the cancellation and fails: that failure", async () => {
      const { loop } = makeVirtualLoop();
      const error = new Error("expected");
      const future = new Lingering(loop, (each) => each.setException(error));
      expect(await reasonOf(loop.runSync(() => future, { timeout: 5 }))).to.equal(error);
    });

    it("L79 a Future that refuses the cancellation is left alone", async () => {
      class Refusing extends Future<void> {
        override cancel(): boolean {
          return false;
        }
      }
      const { loop, clock } = makeVirtualLoop();
      const future = new Refusing();
      expect(await reasonOf(loop.runSync(() => future, { timeout: 5 }))).to.be.instanceOf(TimeoutError);
      expect(clock.now).to.equal(1005);
      expect(future.done()).to.equal(false);
    });

    it("L80 a later rejection of a promise left alone is logged, and is no unhandled rejection", async () => {
      const { loop } = makeVirtualLoop();
      let reject: (error: Error) => void = () => undefined;
      const left = new Promise<void>((_resolve, rejectIt) => {
        reject = rejectIt;
      });
      await reasonOf(loop.runSync(() => left, { timeout: 5 }));
      expectLog("application", "error", /Error: too late/);
      reject(new Error("too late"));
      await nextRound();
      await nextRound();
    });

    it("L80 a later value of a promise left alone is nothing, and does not stop a later run", async () => {
      const { loop, clock } = makeVirtualLoop();
      let resolve: () => void = () => undefined;
      const left = new Promise<void>((resolveIt) => {
        resolve = resolveIt;
      });
      await reasonOf(loop.runSync(() => left, { timeout: 5 }));
      loop.callAt(1010, resolve);
      loop.callAt(1020, loop.stop);
      await loop.start();
      expect(clock.now).to.equal(1020);
      expect(logRecords()).to.deep.equal([]);
    });

    it("L81 a result that is there when the loop has stopped wins over the timeout", async () => {
      const { loop } = makeFakeLoop();
      const func = sinon.spy(async () => 7);
      expect(await loop.runSync(func, { timeout: 0 })).to.equal(7);
      expect(func.callCount).to.equal(1);
      // The result came when the loop had left already: no stop() is kept for the next run.
      expect(await loop.runSync(func, { timeout: 0 })).to.equal(7);
    });

    it("L81 a timeout of 0 is one, and a negative one too; the function is still called once", async () => {
      for (const timeout of [0, -1]) {
        const { loop } = makeFakeLoop();
        const func = sinon.spy(never);
        expect(await reasonOf(loop.runSync(func, { timeout }))).to.be.instanceOf(TimeoutError);
        expect(func.callCount).to.equal(1);
      }
    });
  });

  describe("stopped by others", () => {
    it("L82 in the function itself: it rejects, with what is left alone as at a timeout", async () => {
      const { loop } = makeVirtualLoop();
      let reject: (error: Error) => void = () => undefined;
      const reason = await reasonOf(
        loop.runSync(() => {
          loop.stop();
          return new Promise<void>((_resolve, rejectIt) => {
            reject = rejectIt;
          });
        }),
      );
      expect(reason.message).to.include("stopped before");
      expect(reason).not.to.be.instanceOf(TimeoutError);
      expectLog("application", "error", /Error: too late/);
      reject(new Error("too late"));
      await nextRound();
    });

    it("L82 before the timeout: it is not a TimeoutError, and the timeout is gone", async () => {
      const { loop } = makeVirtualLoop();
      loop.callAt(1001, loop.stop);
      const reason = await reasonOf(loop.runSync(never, { timeout: 5 }));
      expect(reason.message).to.include("stopped before");
      expect(reason).not.to.be.instanceOf(TimeoutError);
      expect(loop.statistics().timeouts).to.equal(0);
    });

    it("L82 with a stop() pending: the function is not called, then or by a later start", async () => {
      const { loop } = makeFakeLoop();
      const func = sinon.spy(() => undefined);
      loop.stop();
      expect((await reasonOf(loop.runSync(func, { timeout: 5 }))).message).to.include("stopped before");
      expect(loop.statistics()).to.include({ callbacks: 0, timeouts: 0 });
      loop.addCallback(loop.stop);
      await loop.start();
      expect(func.callCount).to.equal(0);
      await loop.runSync(func);
      expect(func.callCount).to.equal(1);
    });
  });

  it("L83 rejects on a closed loop, and does not call the function", async () => {
    const { loop } = makeFakeLoop();
    const func = sinon.spy(() => undefined);
    loop.close();
    expect(await reasonOf(loop.runSync(func))).to.match(/closed/);
    expect(func.callCount).to.equal(0);
  });

  it("L83 H21 awaiting runSync() in a callback of the same loop rejects instead of waiting for ever", async () => {
    const { loop } = makeFakeLoop();
    const inner = loop.runSync(async () => {
      await loop.runSync(async () => 1);
    });
    expect(await reasonOf(inner)).to.match(/runSync\(\) on a running IOLoop/);
  });
});
