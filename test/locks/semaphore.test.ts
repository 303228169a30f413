/** Semaphore, BoundedSemaphore and Lock (primitives.md 3.4). */
import { AsyncLocalStorage } from "node:async_hooks";

import { expect } from "chai";

import { CancelledError, Future, TimeoutError } from "../../src/concurrent/index.js";
import { BadYieldError, coroutine } from "../../src/gen/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { BoundedSemaphore, Condition, Lock, type Releaser, Semaphore } from "../../src/locks/index.js";
import { useManualLoop } from "../gen/manual-loop.js";
import { expectLog } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";

describe("Semaphore", () => {
  const fixture = useManualLoop();

  it("P49 takes a non-negative integer, 1 by default", () => {
    expect(String(new Semaphore())).to.contain("value:1");
    expect(new Semaphore(0).acquire().done()).to.equal(false);
    for (const value of [-1, 1.5, NaN, Infinity]) {
      expect(() => new Semaphore(value), String(value)).to.throw(RangeError, /^value is/);
      expect(() => new BoundedSemaphore(value), String(value)).to.throw(RangeError);
    }
    for (const value of [null, "1", {}, true]) expect(() => new Semaphore(value as number)).to.throw(TypeError, /^value is/);
  });

  it("P50 grants its permits at once, and the next one waits", () => {
    const sem = new Semaphore(3);
    expect([1, 2, 3, 4].map(() => sem.acquire().done())).to.deep.equal([true, true, true, false]);
  });

  it("P51 hands the permit to the longest-waiting within release(), past newcomers", async () => {
    const sem = new Semaphore(1);
    await sem.acquire();
    const [first, second] = [sem.acquire(), sem.acquire()];
    sem.release();
    const newcomer = sem.acquire();
    expect([first, second, newcomer].map((each) => each.done())).to.deep.equal([true, false, false]);
    expect(String(sem)).to.contain("locked,waiters:2");
    sem.release();
    expect([second, newcomer].map((each) => each.done())).to.deep.equal([true, false]);
  });

  it("P52 serves in order of arrival however the callers wait", async () => {
    const run = async (enter: (lock: Lock, i: number, order: number[]) => Promise<unknown>): Promise<number[]> => {
      const lock = new Lock();
      const order: number[] = [];
      await Promise.all([0, 1, 2, 3, 4].map((i) => enter(lock, i, order)));
      expect(lock.locked()).to.equal(false);
      return order;
    };
    const wanted = [0, 1, 2, 3, 4];
    const byAwait = run(async (lock, i, order) => {
      using _ = await lock.acquire();
      order.push(i);
      await nextRound();
    });
    const byWith = run((lock, i, order) =>
      lock.with(async () => {
        order.push(i);
        await nextRound();
      }),
    );
    expect(await byAwait).to.deep.equal(wanted);
    expect(await byWith).to.deep.equal(wanted);

    const lock = new Lock();
    await lock.acquire();
    const order: string[] = [];
    void lock.acquire().then(() => order.push("await"));
    lock.acquire().addDoneCallback(() => order.push("callback"));
    coroutine(function* (): Generator<Future<Releaser>, void, Releaser> {
      yield lock.acquire();
      order.push("coroutine");
    })();
    for (const count of [1, 2, 3]) {
      lock.release();
      await fixture.manual.turn();
      expect(order.length).to.equal(count);
    }
    expect(order).to.deep.equal(["await", "callback", "coroutine"]);
  });

  it("P53 release() without waiters raises the counter without limit", () => {
    const sem = new Semaphore();
    sem.release();
    sem.release();
    expect([1, 2, 3, 4].map(() => sem.acquire().done())).to.deep.equal([true, true, true, false]);
  });

  it("P54 a timed-out acquire takes nothing, and a release passes it over", async () => {
    const { manual } = fixture;
    const sem = new Semaphore(1);
    await sem.acquire();
    const late = sem.acquire(seconds(0.01));
    const next = sem.acquire();
    await manual.advance(0.02);
    expect(late.exception()).to.be.instanceOf(TimeoutError);
    sem.release();
    expect(next.done()).to.equal(true);
    const alone = sem.acquire(seconds(0.01));
    await manual.advance(0.02);
    expect(alone.exception()).to.be.instanceOf(TimeoutError);
    expect(String(sem)).to.contain("<Semaphore locked>");
    sem.release();
    expect(String(sem)).to.contain("value:1");
  });

  it("P55 a grant before the deadline stays when the deadline passes", async () => {
    const { manual } = fixture;
    const sem = new Semaphore(0);
    const future = sem.acquire(seconds(0.01));
    sem.release();
    expect(future.done()).to.equal(true);
    await manual.advance(0.02);
    expect(future.result().released).to.equal(false);
    expect(String(sem)).to.equal("<Semaphore locked>");
  });

  it("P56 counts live waiters only", async () => {
    const { manual } = fixture;
    const sem = new Semaphore(0);
    for (let i = 0; i < 101; i++) void sem.acquire(seconds(0.01)).catch(() => {});
    void sem.acquire();
    await manual.advance(0.02);
    expect(String(sem)).to.contain("waiters:1");
    for (const future of Array.from({ length: 500 }, () => sem.acquire())) future.cancel();
    expect(String(sem)).to.contain("waiters:1");
    expect(sem._waiters.length).to.equal(1);
  });

  it("P57 BoundedSemaphore refuses to be released above its initial value", async () => {
    const sem = new BoundedSemaphore();
    expect(() => sem.release()).to.throw(RangeError, /released more often/);
    expect(String(sem)).to.equal("<BoundedSemaphore unlocked,value:1>");
    await sem.acquire();
    const waiting = sem.acquire();
    sem.release();
    expect(waiting.done()).to.equal(true);
    sem.release();
    expect(() => sem.release()).to.throw(RangeError);
    const never = new BoundedSemaphore(0);
    const starved = never.acquire();
    expect(() => never.release()).to.throw(RangeError);
    expect(starved.done()).to.equal(false);
  });

  it("P66 String() tells counter and live waiters", () => {
    const sem = new Semaphore(1);
    expect(String(sem)).to.contain("unlocked,value:1");
    void sem.acquire();
    expect(String(sem)).to.contain("locked").and.not.contain("unlocked");
    const waiting = sem.acquire();
    expect(String(sem)).to.contain("waiters:1");
    waiting.cancel();
    expect(String(sem)).to.not.contain("waiters");
    const lock = new Lock();
    expect(String(lock)).to.match(/_block=<BoundedSemaphore unlocked,value:1>/);
  });

  it("C10 a waiter without timeout and signal is one object, with no guard", () => {
    const sem = new Semaphore(0);
    const waiter = sem.acquire() as Future<Releaser> & { _guard?: unknown; _line?: unknown };
    expect(waiter).to.be.instanceOf(Future);
    expect(waiter._line).to.equal(sem._waiters);
    expect(waiter._guard).to.equal(undefined);
    for (const value of Object.values(waiter)) expect(typeof value).to.not.equal("function");
    expect(fixture.manual.timers).to.equal(0);
  });
});

describe("Lock", () => {
  const fixture = useManualLoop();

  it("P58 is done at once when free, is not re-entrant, and any code may release it", () => {
    const lock = new Lock();
    expect(lock.locked()).to.equal(false);
    expect(lock.acquire().done()).to.equal(true);
    expect(lock.locked()).to.equal(true);
    const second = lock.acquire();
    expect(second.done()).to.equal(false);
    lock.release();
    expect(second.done()).to.equal(true);
    lock.release();
    expect(lock.locked()).to.equal(false);
  });

  it("P59 releasing a free lock throws Error and changes nothing", async () => {
    const lock = new Lock();
    expect(() => lock.release())
      .to.throw(Error, /not held/)
      .that.is.not.instanceOf(RangeError);
    await lock.acquire();
    lock.release();
    expect(() => lock.release()).to.throw(Error, /not held/);
    expect(lock.acquire().done()).to.equal(true);
    expect(lock.acquire().done()).to.equal(false);
  });

  it("P60 stays with its holder after a timed-out acquire", async () => {
    const lock = new Lock();
    await lock.acquire();
    const late = lock.acquire(seconds(0.01));
    await fixture.manual.advance(0.02);
    expect(late.exception()).to.be.instanceOf(TimeoutError);
    expect(lock.locked()).to.equal(true);
    lock.release();
    expect(lock.locked()).to.equal(false);
  });

  it("P61 a Releaser gives back exactly once", async () => {
    for (const it of [new Semaphore(2), new BoundedSemaphore(2), new Lock()]) {
      const before = String(it);
      const releaser = await it.acquire();
      expect(releaser.released).to.equal(false);
      releaser.release();
      expect(releaser.released).to.equal(true);
      releaser.release();
      releaser[Symbol.dispose]();
      await releaser[Symbol.asyncDispose]();
      expect(String(it)).to.equal(before);
    }
  });

  it("P62 a Lock's Releaser belongs to its own hold", async () => {
    const lock = new Lock();
    const first = await lock.acquire();
    lock.release();
    const second = await lock.acquire();
    expect(first.released).to.equal(true);
    first.release();
    expect(lock.locked()).to.equal(true);
    expect(second.released).to.equal(false);
    second.release();
    expect(lock.locked()).to.equal(false);
    // And where the next holder was waiting.
    const third = await lock.acquire();
    const fourth = lock.acquire();
    lock.release();
    third.release();
    expect(lock.locked()).to.equal(true);
    fourth.result().release();
    expect(lock.locked()).to.equal(false);
  });

  it("P63 using and await using give back at the end of the block, also when it throws", async () => {
    const sem = new Semaphore(1);
    {
      using taken = await sem.acquire();
      expect(taken.released).to.equal(false);
      expect(String(sem)).to.contain("locked");
    }
    expect(String(sem)).to.contain("value:1");
    {
      await using _ = await sem.acquire();
      expect(String(sem)).to.equal("<Semaphore locked>");
    }
    expect(String(sem)).to.contain("value:1");
    const wrong = new Error("in the block");
    let caught: unknown;
    try {
      using _ = await sem.acquire();
      throw wrong;
    } catch (error) {
      caught = error;
    }
    expect(caught).to.equal(wrong);
    expect(String(sem)).to.contain("value:1");
    await sem.acquire();
    let entered = false;
    try {
      using _ = await sem.acquire({ signal: AbortSignal.abort(wrong) });
      entered = true;
    } catch (error) {
      expect(error).to.equal(wrong);
    }
    expect(entered).to.equal(false);
    expect(String(sem)).to.equal("<Semaphore locked>");
  });

  describe("with", () => {
    it("P64 calls fn with the lock at once if it is free, and passes on the result", async () => {
      for (const it of [new Lock(), new Semaphore(1), new Condition()]) {
        let seen: unknown;
        const future = (it as Lock).with((self) => {
          seen = self;
          expect(String(it)).to.not.contain("value");
          return 5;
        });
        expect(seen).to.equal(it);
        expect(future.result()).to.equal(5);
      }
      const lock = new Lock();
      const inner = new Future<string>();
      const outer = lock.with(() => inner);
      expect(lock.locked()).to.equal(true);
      inner.setResult("later");
      expect(await outer).to.equal("later");
      expect(lock.locked()).to.equal(false);
    });

    it("P64 gives back when fn throws or its promise rejects, and passes the error on", async () => {
      const lock = new Lock();
      const wrong = new Error("wrong");
      const thrown = lock.with(() => {
        throw wrong;
      });
      expect(lock.locked()).to.equal(false);
      expect(thrown.exception()).to.equal(wrong);
      const rejected = lock.with(() => Promise.reject(wrong));
      expect(await rejected.catch((error: unknown) => error)).to.equal(wrong);
      expect(lock.locked()).to.equal(false);
      expect(() => lock.with(undefined as unknown as () => void)).to.throw(TypeError, /^fn is/);
      expect(lock.locked()).to.equal(false);
    });

    it("P64 starts fn in a microtask after the grant, never inside release()", async () => {
      const lock = new Lock();
      await lock.acquire();
      let started = false;
      const future = lock.with(() => {
        started = true;
      });
      lock.release();
      expect(started).to.equal(false);
      expect(lock.locked()).to.equal(true);
      await future;
      expect(started).to.equal(true);
      expect(lock.locked()).to.equal(false);
    });

    it("P64 before the start, cancel, abort and deadline keep fn from being called", async () => {
      const { manual } = fixture;
      const lock = new Lock();
      const holder = await lock.acquire();
      let calls = 0;
      const body = (): number => ++calls;
      const controller = new AbortController();
      const late = lock.with(body, { timeout: seconds(1) });
      const aborted = lock.with(body, { signal: controller.signal });
      const cancelled = lock.with(body);
      const granted = lock.with(body);
      controller.abort();
      cancelled.cancel();
      await manual.advance(2);
      expect(late.exception()).to.be.instanceOf(TimeoutError);
      expect(aborted.exception()).to.equal(controller.signal.reason);
      holder.release();
      // Granted, not started.
      expect(granted.cancel()).to.equal(true);
      expect(lock.locked()).to.equal(false);
      await nextRound();
      expect(calls).to.equal(0);
      expect(granted.cancelled()).to.equal(true);
    });

    it("P64 cancel() while fn runs does not interrupt it; the lock is given back at its end", async () => {
      const lock = new Lock();
      const gate = new Future<void>();
      let ended = false;
      const future = lock.with(async () => {
        await gate;
        ended = true;
      });
      expect(future.cancel()).to.equal(true);
      expect(lock.locked()).to.equal(true);
      gate.setResult();
      await nextRound();
      expect(ended).to.equal(true);
      expect(lock.locked()).to.equal(false);
      const failing = new Future<void>();
      const other = lock.with(() => failing);
      other.cancel();
      expectLog("application", "error", /after Future was cancelled[^]*nobody is told/);
      failing.setException(new Error("nobody is told"));
      await nextRound();
      expect(lock.locked()).to.equal(false);
    });

    it("P64 fn runs in the async context of the call", async () => {
      const store = new AsyncLocalStorage<string>();
      const lock = new Lock();
      const holder = await store.run("holder", () => lock.acquire());
      const future = store.run("caller", () => lock.with(() => store.getStore()));
      store.run("releaser", () => holder.release());
      expect(await future).to.equal("caller");
    });
  });

  it("P65 is not disposable and not awaitable itself", async () => {
    const { manual } = fixture;
    for (const it of [new Lock(), new Semaphore(), new Condition()]) {
      for (const key of [Symbol.dispose, Symbol.asyncDispose, "then"]) expect(key in it, String(key)).to.equal(false);
      expect(() => {
        // @ts-expect-error -- a compile error too
        using _ = it;
      }).to.throw(TypeError);
      const future = coroutine(function* (): Generator<undefined, void, void> {
        yield it as unknown as undefined;
      })();
      await manual.turn();
      expect(future.exception()).to.be.instanceOf(BadYieldError);
    }
  });

  it("P63 P153 three nested acquires leave all counters as before when the block throws", async () => {
    const semaphores = [new Semaphore(1), new Semaphore(2), new Semaphore(3)];
    const before = semaphores.map(String);
    try {
      using _a = await semaphores[0]!.acquire();
      using _b = await semaphores[1]!.acquire();
      if (semaphores.length > 0) throw new Error("middle");
      using _c = await semaphores[2]!.acquire();
    } catch (error) {
      expect((error as Error).message).to.equal("middle");
    }
    expect(semaphores.map(String)).to.deep.equal(before);
    {
      using _a = await semaphores[0]!.acquire();
      using _b = await semaphores[1]!.acquire();
      using _c = await semaphores[2]!.acquire();
      expect(semaphores.map(String)).to.deep.equal(["<Semaphore locked>", "<Semaphore unlocked,value:1>", "<Semaphore unlocked,value:2>"]);
    }
    expect(semaphores.map(String)).to.deep.equal(before);
  });

  it("P151 Symbol.dispose and Symbol.asyncDispose are Node's own, and try/finally does as well", async () => {
    for (const name of ["dispose", "asyncDispose"] as const) {
      const descriptor = Object.getOwnPropertyDescriptor(Symbol, name);
      expect(descriptor).to.include({ writable: false, configurable: false });
    }
    const lock = new Lock();
    const releaser = await lock.acquire();
    try {
      expect(lock.locked()).to.equal(true);
    } finally {
      releaser.release();
    }
    expect(lock.locked()).to.equal(false);
  });

  it("P152 await using gives back before the next statement and costs no iteration", async () => {
    const { manual } = fixture;
    const lock = new Lock();
    const iterations = manual.loop.statistics().iterations;
    {
      await using _ = await lock.acquire();
    }
    expect(lock.locked()).to.equal(false);
    expect(manual.loop.statistics().iterations).to.equal(iterations);
  });

  it("P14 a cancelled acquire fails with the CancelledError that was asked for", async () => {
    const lock = new Lock();
    await lock.acquire();
    const future = lock.acquire();
    future.cancel("changed my mind");
    const error: unknown = await future.catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(CancelledError).with.property("message", "changed my mind");
  });
});
