import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "chai";
import { CancelledError, Future } from "../../src/concurrent/index.js";
import { IOLoop } from "../../src/ioloop/index.js";
import { runSource } from "../support/child.js";
import { logRecords, expectLog } from "../support/log-records.js";
import { nextRound, realDelay } from "../support/real-timers.js";
import { collectWhatIsDropped } from "./collect-garbage.js";
import { ManualScheduler, withCurrent } from "./manual-scheduler.js";

describe("Future.addDoneCallback", () => {
  after(() => collectWhatIsDropped());

  describe("on a loop", () => {
    let loop: IOLoop;

    beforeEach(() => {
      loop = new IOLoop({ makeCurrent: false });
    });

    afterEach(() => {
      loop.close();
    });

    /** Runs the loop for so many iterations and says what each one pushed to `order`. */
    async function iterations<T>(count: number, order: T[]): Promise<T[][]> {
      const groups: T[][] = [];
      for (let i = 0; i < count; i++) {
        const start = order.length;
        // Never an idle wait: something is always queued.
        loop.addCallback(() => undefined);
        loop.runIteration();
        await nextRound();
        groups.push(order.slice(start));
      }
      return groups;
    }

    it("P23 runs once, with the Future alone, in the iteration after settling and in the order of adding", async () => {
      const future = new Future<number>({ loop });
      const order: unknown[] = [];
      future.addDoneCallback((...args) => order.push(["first", ...args]));
      future.addDoneCallback((...args) => order.push(["second", ...args]));
      loop.addCallback(() => {
        future.setResult(1);
        order.push("settled");
      });
      expect(await iterations(3, order)).to.deep.equal([
        ["settled"],
        [
          ["first", future],
          ["second", future],
        ],
        [],
      ]);
    });

    for (const [how, settle] of [
      ["a failure", (f: Future<number>) => f.setException(new Error("read below"))],
      ["a cancellation", (f: Future<number>) => void f.cancel()],
    ] as const) {
      it(`P23 runs after ${how} too`, async () => {
        const future = new Future<number>({ loop });
        const order: unknown[] = [];
        future.addDoneCallback((f) => order.push(f.done()));
        settle(future);
        expect(await iterations(2, order)).to.deep.equal([[true], []]);
        future.cancel();
      });
    }

    it("P23 added to a done Future it still waits for the next iteration", async () => {
      const future = new Future<number>({ loop });
      future.setResult(1);
      const order: string[] = [];
      loop.addCallback(() => {
        future.addDoneCallback(() => order.push("callback"));
        order.push("added");
      });
      expect(await iterations(2, order)).to.deep.equal([["added"], ["callback"]]);
    });

    it("P23 waits for the start of a loop that is not running", async () => {
      const future = new Future<number>({ loop });
      const order: string[] = [];
      future.addDoneCallback(() => {
        order.push("callback");
        loop.stop();
      });
      future.setResult(1);
      await realDelay(5);
      expect(order).to.deep.equal([]);
      await loop.start();
      expect(order).to.deep.equal(["callback"]);
    });

    it("P24 done callbacks come in the order of settling, after the reactions and awaits of both Futures", async () => {
      const f1 = new Future<number>({ loop });
      const f2 = new Future<number>({ loop });
      const order: string[] = [];
      f2.addDoneCallback(() => order.push("callback of f2"));
      f1.addDoneCallback(() => order.push("callback of f1"));
      f2.addDoneCallback(() => order.push("callback of f2 again"));
      void f2.then(() => order.push("reaction of f2"));
      void f1.then(() => order.push("reaction of f1"));
      loop.addCallback(() => {
        f1.setResult(1);
        f2.setResult(2);
      });
      loop.addCallback(() => loop.addCallback(() => loop.stop()));
      await loop.start();
      expect(order).to.deep.equal(["reaction of f1", "reaction of f2", "callback of f1", "callback of f2", "callback of f2 again"]);
    });

    it("P26 a throwing callback is logged on application and the later ones run", async () => {
      expectLog("application", "error", /thrower[^]*Error: from a callback/);
      const future = new Future<number>({ loop });
      const order: string[] = [];
      future.addDoneCallback(function thrower() {
        throw new Error("from a callback");
      });
      future.addDoneCallback(() => order.push("later"));
      future.setResult(1);
      expect(await iterations(1, order)).to.deep.equal([["later"]]);
    });

    it("P26 a CancelledError or AbortError thrown by a callback is not logged", async () => {
      const future = new Future<number>({ loop });
      const order: string[] = [];
      future.addDoneCallback(() => {
        throw new CancelledError();
      });
      future.addDoneCallback(() => {
        throw new DOMException("aborted", "AbortError");
      });
      future.addDoneCallback(() => order.push("later"));
      future.setResult(1);
      expect(await iterations(1, order)).to.deep.equal([["later"]]);
      expect(logRecords()).to.deep.equal([]);
    });

    it("P27 a callback sees the AsyncLocalStorage store of the place that added it, before and after settling alike", async () => {
      const storage = new AsyncLocalStorage<string>();
      const future = new Future<number>({ loop });
      const seen: unknown[] = [];
      const see = (): void => void seen.push(storage.getStore());
      storage.run("first", () => future.addDoneCallback(see));
      future.addDoneCallback(see);
      storage.run("second", () => future.addDoneCallback(see));
      storage.run("settling", () => future.setResult(1));
      storage.run("late", () => future.addDoneCallback(see));
      await storage.run("running", () => iterations(1, seen));
      expect(seen).to.deep.equal(["first", undefined, "second", "late"]);
    });

    it("P32 goes to options.loop, whichever loop is current", async () => {
      const other = new ManualScheduler();
      const order: string[] = [];
      await withCurrent(other, () => {
        const future = new Future<number>({ loop });
        future.addDoneCallback(() => order.push("ran"));
        future.setResult(1);
      });
      expect(other.queued).to.equal(0);
      expect(await iterations(1, order)).to.deep.equal([["ran"]]);
    });
  });

  it("P25 a function added twice is called twice, and removed twice at once", () => {
    const loop = new ManualScheduler();
    const calls: string[] = [];
    const twice = (): void => void calls.push("twice");
    const once = (): void => void calls.push("once");
    const make = (): Future<number> => {
      const future = new Future<number>({ loop });
      future.addDoneCallback(twice);
      future.addDoneCallback(once);
      future.addDoneCallback(twice);
      return future;
    };
    make().setResult(1);
    loop.iterate();
    expect(calls).to.deep.equal(["twice", "once", "twice"]);
    calls.length = 0;
    const future = make();
    expect(future.removeDoneCallback(twice)).to.equal(2);
    future.setResult(1);
    loop.iterate();
    expect(calls).to.deep.equal(["once"]);
  });

  it("P25 removing the only callback, a function that was not added, or on a settled Future", () => {
    const loop = new ManualScheduler();
    const fn = (): void => undefined;
    const future = new Future<number>({ loop });
    expect(future.removeDoneCallback(fn)).to.equal(0);
    future.addDoneCallback(() => undefined);
    expect(future.removeDoneCallback(fn)).to.equal(0);
    const single = new Future<number>({ loop });
    single.addDoneCallback(fn);
    expect(single.removeDoneCallback(fn)).to.equal(1);
    single.addDoneCallback(fn);
    single.setResult(1);
    expect(single.removeDoneCallback(fn)).to.equal(0);
    expect(loop.queued).to.equal(1);
  });

  it("P32 without options.loop it goes to the loop that is current when the first callback is added, later ones too", async () => {
    const first = new ManualScheduler();
    const second = new ManualScheduler();
    const [future] = await withCurrent(second, () => [new Future<number>()] as const);
    await withCurrent(first, () => future.addDoneCallback(() => undefined));
    await withCurrent(second, () => {
      future.addDoneCallback(() => undefined);
      future.setResult(1);
      future.addDoneCallback(() => undefined);
    });
    expect([first.queued, second.queued]).to.deep.equal([3, 0]);
  });

  it("P32 making, settling and awaiting Futures without callbacks never asks for a loop", async () => {
    let asked = 0;
    const counting = {
      get addCallback(): never {
        asked += 1;
        throw new Error("asked for the loop");
      },
    };
    await withCurrent(counting, async () => {
      const future = new Future<number>();
      const waiting = (async () => await future)();
      future.setResult(1);
      expect(await waiting).to.equal(1);
      const failure = new Future<number>();
      failure.setException(new Error("read"));
      failure.cancel();
    });
    expect(asked).to.equal(0);
  });

  it("P32 without any loop loaded, adding a callback says what to do, and nothing is added", async () => {
    const child = await runSource(`
      import { Future } from "../src/concurrent/index.js";
      const future = new Future<number>();
      try { future.addDoneCallback(() => console.log("called")); } catch (error) { console.log(String(error)); }
      future.setResult(1);
    `);
    expect(child).to.include({ code: 0, stderr: "" });
    expect(child.stdout).to.match(/^Error: No event loop is loaded.*import ioloop.*\n$/);
  });

  it("P23 a callback that is no function is a TypeError", () => {
    const future = new Future<number>();
    expect(() => future.addDoneCallback(5 as never)).to.throw(TypeError, "5");
    expect(() => future.removeDoneCallback(undefined as never)).to.throw(TypeError, "undefined");
  });

  it("P24 a scheduler that refuses a callback does not keep the others from theirs", () => {
    expectLog("application", "error", /refused/);
    const good = new ManualScheduler();
    const future = new Future<number>({ loop: good });
    future._addDoneCallbackOn(
      {
        addCallback: () => {
          throw new Error("refused");
        },
      },
      () => undefined,
    );
    future.addDoneCallback(() => undefined);
    future.setResult(1);
    expect(good.queued).to.equal(1);
  });
});
