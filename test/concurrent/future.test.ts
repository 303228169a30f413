import { AsyncLocalStorage } from "node:async_hooks";
import { inspect } from "node:util";
import { expect } from "chai";
import { CancelledError, Future, InvalidStateError, isFuture } from "../../src/concurrent/index.js";
import type { FutureOptions } from "../../src/concurrent/index.js";
import { runSource } from "../support/child.js";
import { nextRound } from "../support/real-timers.js";
import { expectUnhandledRejection } from "../support/rejections.js";
import { collectWhatIsDropped } from "./collect-garbage.js";
import { ManualScheduler } from "./manual-scheduler.js";

const boom = new Error("boom");

function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return "nothing was thrown";
}

/** What a settled Future answers, so that states can be compared as a whole. */
function outcome(future: Future<unknown>): unknown {
  return { done: future.done(), cancelled: future.cancelled(), text: String(future) };
}

function failed(error: unknown = boom): Future<never> {
  const future = new Future<never>();
  future.setException(error);
  return future;
}

function finished<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

describe("Future", () => {
  after(() => collectWhatIsDropped());

  describe("states", () => {
    it("P17 a pending Future is not done and has no outcome to give", () => {
      const future = new Future<number>();
      expect(future.done()).to.equal(false);
      expect(future.cancelled()).to.equal(false);
      expect(() => future.result()).to.throw(InvalidStateError, "pending");
      expect(() => future.exception()).to.throw(InvalidStateError, "pending");
    });

    it("P17 each of the three ways out of pending gives the answers of its row", () => {
      const value = finished(1);
      expect([value.done(), value.cancelled(), value.result(), value.exception()]).to.deep.equal([true, false, 1, undefined]);
      const failure = failed();
      expect([failure.done(), failure.cancelled(), failure.exception()]).to.deep.equal([true, false, boom]);
      expect(thrownBy(() => failure.result())).to.equal(boom);
      const cancelled = new Future<number>();
      expect(cancelled.cancel()).to.equal(true);
      expect([cancelled.done(), cancelled.cancelled()]).to.deep.equal([true, true]);
      expect(() => cancelled.result()).to.throw(CancelledError);
      expect(() => cancelled.exception()).to.throw(CancelledError);
    });

    for (const [name, make] of [
      ["a value", () => finished<unknown>(1)],
      ["a failure", () => failed()],
      ["a cancellation", () => new Future<unknown>()],
    ] as const) {
      it(`P17 after ${name} nothing can be set, and a refused call changes nothing`, () => {
        const future: Future<unknown> = make();
        future.cancel("first");
        const before = outcome(future);
        expect(() => future.setResult(2)).to.throw(InvalidStateError);
        expect(() => future.setException(new Error("second"))).to.throw(InvalidStateError);
        expect(future.cancel("second")).to.equal(false);
        expect(outcome(future)).to.deep.equal(before);
      });
    }

    it("P17 a refused setResult leaves callbacks that wait for the loop in place", () => {
      const loop = new ManualScheduler();
      const future = new Future<number>({ loop });
      const seen: number[] = [];
      future.addDoneCallback((f) => seen.push(f.result()));
      future.setResult(1);
      expect(() => future.setResult(2)).to.throw(InvalidStateError);
      loop.iterate();
      loop.iterate();
      expect(seen).to.deep.equal([1]);
    });

    it("P18 undefined, null, 0, '' and Errors are ordinary results", async () => {
      for (const value of [undefined, null, 0, "", boom]) {
        const future = finished<unknown>(value);
        expect(future.result()).to.equal(value);
        expect(future.exception()).to.equal(undefined);
        expect(await future).to.equal(value);
      }
    });

    it("P19 setException keeps the very value, of any type", async () => {
      for (const error of [boom, "text", 0, false, { some: "object" }, () => "function"]) {
        const future = failed(error);
        expect(future.exception()).to.equal(error);
        expect(thrownBy(() => future.result())).to.equal(error);
        expect(await future.catch((reason: unknown) => reason)).to.equal(error);
      }
    });

    it("P19 setException makes an instance of an Error class", () => {
      class Own extends RangeError {}
      expect(failed(Own).exception()).to.be.instanceOf(Own);
      expect(failed(Error).exception()).to.be.instanceOf(Error);
    });

    it("P19 setException of undefined or null throws and the Future stays pending", () => {
      const future = new Future<number>();
      expect(() => future.setException(undefined)).to.throw(TypeError, "undefined");
      expect(() => future.setException(null)).to.throw(TypeError, "null");
      expect(future.done()).to.equal(false);
    });

    for (const when of ["before", "after"]) {
      it(`P20 cancel makes one CancelledError with its message, awaited ${when} it`, async () => {
        const future = new Future<number>();
        const early = when === "before" ? future.catch((error: unknown) => error) : undefined;
        future.cancel("enough");
        const error = thrownBy(() => future.result());
        expect(error).to.be.instanceOf(CancelledError);
        expect((error as Error).message).to.equal("enough");
        expect((error as Error).name).to.equal("CancelledError");
        expect(thrownBy(() => future.exception())).to.equal(error);
        expect(await (early ?? future.catch((reason: unknown) => reason))).to.equal(error);
      });
    }

    it("P20 a message that is no string is refused and nothing is cancelled", () => {
      const future = new Future<number>();
      expect(() => future.cancel(5 as unknown as string)).to.throw(TypeError, "5");
      expect(future.done()).to.equal(false);
    });

    it("P30 a promise as result is stored, and await flattens it", async () => {
      const promise = Promise.resolve(5);
      const future = new Future<Promise<number>>();
      const awaited = (async () => await future)();
      future.setResult(promise);
      expect(future.result()).to.equal(promise);
      expect(await awaited).to.equal(5);
      expect(await future).to.equal(5);
    });
  });

  describe("reactions", () => {
    for (const [way, settle] of [
      ["setResult", (f: Future<number>) => f.setResult(1)],
      ["setException", (f: Future<number>) => f.setException(boom)],
      ["cancel", (f: Future<number>) => void f.cancel()],
    ] as const) {
      it(`P21 ${way} runs no callback, reaction or continuation before it returns`, async () => {
        const loop = new ManualScheduler();
        const future = new Future<number>({ loop });
        const ran: string[] = [];
        future.addDoneCallback(() => ran.push("callback"));
        future.then(
          () => ran.push("reaction"),
          () => ran.push("reaction"),
        );
        void future.finally(() => ran.push("finally")).catch(() => undefined);
        const waiting = (async () => {
          await future.catch(() => undefined);
          ran.push("continuation");
        })();
        await nextRound();
        settle(future);
        expect(ran).to.deep.equal([]);
        await waiting;
        loop.iterate();
        expect(ran).to.deep.equal(["reaction", "finally", "continuation", "callback"]);
      });
    }

    it("P22 reactions run as microtasks, in the order of registration, before and after settling alike", async () => {
      const future = new Future<number>();
      const order: string[] = [];
      void future.then(() => order.push("first"));
      future.catch(() => undefined).finally(() => order.push("second, two ticks on"));
      void future.finally(() => order.push("third"));
      future.setResult(1);
      void future.then(() => order.push("fourth"));
      order.push("settled");
      await Promise.resolve();
      expect(order).to.deep.equal(["settled", "first", "third", "fourth"]);
      await nextRound();
      expect(order).to.deep.equal(["settled", "first", "third", "fourth", "second, two ticks on"]);
    });

    it("P22 reactions of a failed Future keep the order of registration too", async () => {
      const future = new Future<number>();
      const order: string[] = [];
      future.catch(() => order.push("first"));
      future.setException(boom);
      future.catch(() => order.push("second"));
      future.then(undefined, () => order.push("third"));
      await nextRound();
      expect(order).to.deep.equal(["first", "second", "third"]);
    });

    it("P22 the order holds where the result is a promise", async () => {
      const future = new Future<Promise<number>>();
      const order: string[] = [];
      void future.then(() => order.push("first"));
      future.setResult(Promise.resolve(1));
      void future.then(() => order.push("second"));
      await nextRound();
      expect(order).to.deep.equal(["first", "second"]);
    });

    it("P22 an await registers one microtask after it began", async () => {
      const future = new Future<number>();
      const order: string[] = [];
      const waiting = (async () => {
        await future;
        order.push("await");
      })();
      void future.then(() => order.push("then"));
      future.setResult(1);
      await waiting;
      expect(order).to.deep.equal(["then", "await"]);
    });

    it("P22 awaiting needs no loop: a process that never makes one goes on and ends", async () => {
      const child = await runSource(`
        import { Future } from "../src/concurrent/index.js";
        const future = new Future<string>();
        setTimeout(() => future.setResult("came"), 1);
        console.log(await future);
      `);
      expect(child).to.include({ code: 0, stdout: "came\n", stderr: "" });
    });

    it("P22 a reaction sees the AsyncLocalStorage store of its then call, as with any promise", async () => {
      const storage = new AsyncLocalStorage<string>();
      const pending = new Future<number>();
      const done = finished(1);
      const seen: unknown[] = [];
      const see = (): void => void seen.push(storage.getStore());
      await storage.run("then", async () => {
        void pending.then(see);
        void done.then(see);
        const waiting = (async () => {
          await pending;
          see();
        })();
        await nextRound();
        storage.run("settle", () => pending.setResult(1));
        await waiting;
      });
      expect(seen).to.deep.equal(["then", "then", "then"]);
    });

    it("P24 then reactions of a Future settled first come first, whoever registered first", async () => {
      const f1 = new Future<number>();
      const f2 = new Future<number>();
      const order: string[] = [];
      void f2.then(() => order.push("f2"));
      void f1.then(() => order.push("f1"));
      void f2.then(() => order.push("f2 again"));
      void f1.then(() => order.push("f1 again"));
      f1.setResult(1);
      f2.setResult(2);
      await nextRound();
      expect(order).to.deep.equal(["f1", "f1 again", "f2", "f2 again"]);
    });

    it("P24 awaits that began in an earlier turn go on in the order of settling, failures and values alike", async () => {
      const futures = [new Future<number>(), new Future<number>(), new Future<number>()] as const;
      const order: number[] = [];
      const waiting = futures.map(async (future, index) => {
        await future.catch(() => undefined);
        order.push(index);
      });
      await nextRound();
      futures[2].setResult(2);
      futures[0].setException(boom);
      futures[1].cancel();
      await Promise.all(waiting);
      expect(order).to.deep.equal([2, 0, 1]);
    });

    it("P24 then reactions of one Future run before its done callbacks", async () => {
      const loop = new ManualScheduler();
      const future = new Future<number>({ loop });
      const order: string[] = [];
      future.addDoneCallback(() => order.push("callback"));
      void future.then(() => order.push("reaction"));
      future.setResult(1);
      expect(loop.queued).to.equal(1);
      await nextRound();
      loop.iterate();
      expect(order).to.deep.equal(["reaction", "callback"]);
    });

    it("P29 a failed Future that nobody looks at raises no unhandledRejection", async () => {
      const future = new Future<number>();
      future.setException(boom);
      const pending = new Future<number>({ loop: new ManualScheduler() });
      pending.addDoneCallback(() => undefined);
      pending.setException(boom);
      await nextRound();
      // The root hook fails the test if a rejection was reported. The failures are read here for the log's sake.
      expect([future.exception(), pending.exception()]).to.deep.equal([boom, boom]);
    });

    it("P29 a Future whose failure is handled in every derived promise raises none either", async () => {
      const future = new Future<number>();
      const handled = future.catch(() => "handled");
      future.setException(boom);
      expect(await handled).to.equal("handled");
      expect(await future.catch(() => "again")).to.equal("again");
      await nextRound();
    });

    for (const order of ["before", "after"]) {
      it(`P29 a promise derived ${order} the failure without a rejection handler does raise unhandledRejection`, async () => {
        expectUnhandledRejection(/derived/);
        const future = new Future<number>();
        if (order === "before") void future.then(() => 1);
        future.setException(new Error("derived"));
        if (order === "after") void future.then(() => 1);
        await nextRound();
      });
    }
  });

  describe("as a promise", () => {
    it("P31 is a Promise to the type checker, and not to instanceof", async () => {
      const future = new Future<number>();
      const promise: Promise<number> = future;
      const narrower: Future<unknown> = future;
      // @ts-expect-error -- a Future of a number is none of a string
      const wrong: Promise<string> = future;
      expect([promise instanceof Promise, narrower, wrong]).to.deep.equal([false, future, future]);
      future.setResult(3);
      const plusOne: Promise<number> = future.then((value) => value + 1);
      expect(plusOne).to.be.instanceOf(Promise);
      expect(await plusOne).to.equal(4);
      expect(future.catch(() => 1)).to.be.instanceOf(Promise);
      expect(future.finally(() => undefined)).to.be.instanceOf(Promise);
    });

    it("P31 Promise.all, race, allSettled, resolve and for await take Futures", async () => {
      const sum = await Promise.all([finished(1), finished("two")]);
      expect(sum).to.deep.equal([1, "two"]);
      expect(await Promise.race([new Future<number>(), finished(2)])).to.equal(2);
      expect(await Promise.allSettled([failed()])).to.deep.equal([{ status: "rejected", reason: boom }]);
      expect(await Promise.resolve(finished(3))).to.equal(3);
      const seen: number[] = [];
      for await (const value of [finished(4), finished(5)]) seen.push(value);
      expect(seen).to.deep.equal([4, 5]);
    });

    it("P31 setResult of a Future<void> needs no argument", () => {
      const future = new Future<void>();
      future.setResult();
      expect(future.done()).to.equal(true);
    });
  });

  describe("looks", () => {
    it("P33 String and inspect tell the state", () => {
      const cancelled = new Future<number>();
      cancelled.cancel();
      const failure = failed();
      for (const show of [String, inspect]) {
        expect(show(new Future())).to.contain("pending");
        expect(show(finished(1)))
          .to.contain("finished")
          .and.contain("1");
        expect(show(failure)).to.contain("finished").and.contain("boom");
        expect(show(cancelled)).to.contain("cancelled");
      }
      // Showing is not reading: without this the log would have a line.
      failure.cancel();
      expect(Object.prototype.toString.call(cancelled)).to.equal("[object Future]");
    });

    it("P33 String of a Future with a huge result stays short", () => {
      expect(String(finished("x".repeat(100_000))).length).to.be.below(200);
      expect(String(finished(Array.from({ length: 10_000 }, () => 1))).length).to.be.below(200);
    });

    it("P33 inspect of nested Futures does not lose itself", () => {
      const future = new Future<unknown>();
      future.setResult({ future });
      expect(inspect(future)).to.contain("finished");
    });

    it("P34 isFuture knows Futures and their subclasses", () => {
      class Own extends Future<number> {}
      expect(isFuture(new Future())).to.equal(true);
      expect(isFuture(new Own())).to.equal(true);
    });

    it("P34 isFuture is false for promises, thenables and everything else", () => {
      const others = [Promise.resolve(), { then: () => undefined }, undefined, null, 5, "future", {}, Future, () => undefined];
      for (const other of others) expect(isFuture(other), inspect(other)).to.equal(false);
    });

    it("P34 isFuture knows the Futures of a second copy of the package", async () => {
      const path = "../../src/concurrent/future.js?copy";
      const copy = (await import(path)) as { Future: typeof Future };
      expect(copy.Future).to.not.equal(Future);
      expect(isFuture(new copy.Future())).to.equal(true);
    });
  });

  describe("wrong arguments", () => {
    it("P17 options with an unknown key, or a loop that is none, are a TypeError", () => {
      expect(() => new Future({ lop: 1 } as FutureOptions)).to.throw(TypeError, "'lop'");
      expect(() => new Future({ loop: 5 } as unknown as FutureOptions)).to.throw(TypeError, "5");
      expect(() => new Future(null as unknown as FutureOptions)).to.throw(TypeError, "null");
      expect(new Future({ loop: undefined }).done()).to.equal(false);
    });
  });

  describe("for the library's own parts", () => {
    it("P14 cancel calls the hook of a subclass synchronously, when the Future is cancelled already", () => {
      const seen: boolean[] = [];
      class Own extends Future<number> {
        override _onCancel(): void {
          seen.push(this.cancelled());
        }
      }
      const future = new Own();
      expect(future.cancel()).to.equal(true);
      expect(seen).to.deep.equal([true]);
      expect(future.cancel()).to.equal(false);
      const done = new Own();
      done.setResult(1);
      done.cancel();
      expect(seen).to.deep.equal([true]);
    });

    it("P24 a listener is told once, during settling, and a removed one is not", () => {
      const future = new Future<number>();
      const told: string[] = [];
      const listener = (name: string): { _futureSettled: (f: Future<unknown>) => void } => ({
        _futureSettled: (f) => told.push(`${name} ${String(f.result())}`),
      });
      const [one, two, three] = [listener("one"), listener("two"), listener("three")];
      future._addListener(one);
      future._addListener(two);
      future._addListener(two);
      future._addListener(three);
      future._removeListener(one);
      future.setResult(1);
      expect(told).to.deep.equal(["two 1", "three 1"]);
    });
  });
});
