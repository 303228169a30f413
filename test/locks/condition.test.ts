/** Condition (primitives.md 3.5). */
import { expect } from "chai";

import { TimeoutError } from "../../src/concurrent/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { Condition, Lock } from "../../src/locks/index.js";
import { useManualLoop } from "../gen/manual-loop.js";
import { nextRound } from "../support/real-timers.js";

describe("Condition", () => {
  const fixture = useManualLoop();

  describe("without a lock", () => {
    it("P67 notify() resolves the longest-waiting, and is lost when nobody waits", () => {
      const c = new Condition();
      c.notify();
      const [first, second] = [c.wait(), c.wait()];
      expect(first.done()).to.equal(false);
      c.notify();
      expect(first.result()).to.equal(true);
      expect(second.done()).to.equal(false);
    });

    it("P68 notify(n) wakes n in order of arrival", () => {
      const c = new Condition();
      const waits = Array.from({ length: 6 }, () => c.wait());
      const done = (): number[] => waits.flatMap((each, i) => (each.done() ? [i] : []));
      c.notify(0);
      expect(done()).to.deep.equal([]);
      c.notify(3);
      expect(done()).to.deep.equal([0, 1, 2]);
      c.notify(1);
      expect(done()).to.deep.equal([0, 1, 2, 3]);
      c.notify(2);
      expect(done()).to.deep.equal([0, 1, 2, 3, 4, 5]);
      for (const wake of [() => c.notify(Infinity), () => c.notifyAll()]) {
        const more = Array.from({ length: 4 }, () => c.wait());
        wake();
        expect(more.every((each) => each.result())).to.equal(true);
      }
      const waiting = c.wait();
      for (const n of [-1, 1.5, NaN, -Infinity]) expect(() => c.notify(n), String(n)).to.throw(RangeError, /^n is/);
      expect(() => c.notify("1" as unknown as number)).to.throw(TypeError);
      expect(waiting.done()).to.equal(false);
    });

    it("P69 the woken are done when notify returns, their code runs later and may notify again", async () => {
      const c = new Condition();
      const order: string[] = [];
      const first = c.wait();
      const second = c.wait();
      void first.then(() => {
        order.push("first");
        c.notify();
      });
      void second.then(() => order.push("second"));
      c.notify();
      expect(first.done()).to.equal(true);
      expect(order).to.deep.equal([]);
      await nextRound();
      expect(order).to.deep.equal(["first", "second"]);
    });

    it("P70 a deadline resolves false, and the dead do not count for notify", async () => {
      const { manual } = fixture;
      const c = new Condition();
      const waits = [c.wait(), c.wait(seconds(0.01)), c.wait(), c.wait()];
      await manual.advance(0.02);
      expect(waits[1]!.result()).to.equal(false);
      c.notify(2);
      expect(waits.map((each) => each.done())).to.deep.equal([true, true, true, false]);
      expect(waits[1]!.result()).to.equal(false);
      const throwing = c.wait(seconds(0.01), { onTimeout: "throw" });
      const explicit = c.wait({ timeout: seconds(0.01), onTimeout: "false" });
      await manual.advance(0.02);
      expect(throwing.exception()).to.be.instanceOf(TimeoutError);
      expect(explicit.result()).to.equal(false);
    });

    it("P71 waits in a loop with short timeouts leave nothing behind", async () => {
      const { manual } = fixture;
      const c = new Condition();
      for (let i = 0; i < 300; i++) {
        const future = c.wait(seconds(0.001));
        await manual.advance(0.002);
        expect(future.result()).to.equal(false);
      }
      expect(String(c)).to.equal("<Condition>");
      expect(manual.timers).to.equal(0);
    });

    it("P77 String() shows waiters only if someone waits", () => {
      const c = new Condition();
      expect(String(c)).to.not.contain("waiters");
      const future = c.wait();
      expect(String(c)).to.contain("waiters[1]");
      future.cancel();
      expect(String(c)).to.not.contain("waiters");
    });
  });

  describe("with a lock", () => {
    it("P72 has one if given, or once acquire() or with() was called", async () => {
      const bare = new Condition();
      expect(() => bare.release()).to.throw(Error, /no lock/);
      const lockFree = bare.wait();
      const releaser = await bare.acquire();
      expect(bare.acquire().done()).to.equal(false);
      bare.notify();
      expect(lockFree.result()).to.equal(true);
      expect(releaser.released).to.equal(false);
      bare.release();
      expect(releaser.released).to.equal(true);
      const lock = new Lock();
      const given = new Condition(lock);
      await given.acquire();
      expect(lock.locked()).to.equal(true);
      given.release();
      expect(lock.locked()).to.equal(false);
      expect(() => given.release()).to.throw(Error, /not held/);
      const byWith = new Condition();
      expect(byWith.with((self) => self).result()).to.equal(byWith);
      expect(byWith.wait().exception()).to.be.an("error");
      for (const wrong of [null, {}, "lock", new Condition()]) expect(() => new Condition(wrong as Lock)).to.throw(TypeError, /^lock is/);
      const untouched = new Condition();
      expect(() => untouched.acquire("x" as never)).to.throw(TypeError);
      expect(() => untouched.with(() => 1, { no: 1 } as object)).to.throw(TypeError);
      expect(() => untouched.release()).to.throw(Error, /no lock/);
    });

    it("P73 wait() needs the lock held, releases it within the call, and settles when it is held again", async () => {
      const lock = new Lock();
      const c = new Condition(lock);
      expect(c.wait().exception()).to.be.an("error").with.property("message").that.contains("free");
      const mine = await lock.acquire();
      const theirs = lock.acquire();
      const future = c.wait();
      expect(theirs.done()).to.equal(true);
      c.notify();
      expect(future.done()).to.equal(false);
      theirs.result().release();
      expect(future.result()).to.equal(true);
      expect(lock.locked()).to.equal(true);
      mine.release();
      expect(lock.locked()).to.equal(false);
    });

    it("P73 deadline and abort too settle only when the lock is held again", async () => {
      const { manual } = fixture;
      const lock = new Lock();
      const c = new Condition(lock);
      await lock.acquire();
      const late = c.wait(seconds(1));
      const other = await lock.acquire();
      await manual.advance(2);
      expect(late.done()).to.equal(false);
      other.release();
      expect(late.result()).to.equal(false);
      expect(lock.locked()).to.equal(true);

      const controller = new AbortController();
      const aborted = c.wait({ signal: controller.signal });
      const another = await lock.acquire();
      controller.abort();
      expect(aborted.done()).to.equal(false);
      another.release();
      expect(aborted.exception()).to.equal(controller.signal.reason);
      expect(lock.locked()).to.equal(true);

      const throwing = c.wait(seconds(1), { onTimeout: "throw" });
      expect(lock.locked()).to.equal(false);
      await manual.advance(2);
      expect(throwing.exception()).to.be.instanceOf(TimeoutError);
      expect(lock.locked()).to.equal(true);
    });

    it("P73 once notified, neither deadline nor abort changes the true; an aborted signal keeps the lock", async () => {
      const { manual } = fixture;
      const lock = new Lock();
      const c = new Condition(lock);
      const mine = await lock.acquire();
      const controller = new AbortController();
      const future = c.wait({ timeout: seconds(1), signal: controller.signal });
      const other = await lock.acquire();
      c.notify();
      expect(manual.timers).to.equal(0);
      controller.abort();
      await manual.advance(2);
      other.release();
      expect(future.result()).to.equal(true);
      expect(c.wait({ signal: controller.signal }).exception()).to.equal(controller.signal.reason);
      expect(mine.released).to.equal(false);
      expect(lock.locked()).to.equal(true);
    });

    it("P74 the woken queue for the lock in order of notification, behind those already waiting", async () => {
      const lock = new Lock();
      const c = new Condition(lock);
      const order: string[] = [];
      const enter = async (name: string): Promise<void> => {
        using _ = await lock.acquire();
        await c.wait();
        order.push(name);
      };
      const entered = [enter("first"), enter("second")];
      await nextRound();
      const holder = await lock.acquire();
      const already = (async () => {
        using _ = await lock.acquire();
        order.push("already");
      })();
      c.notifyAll();
      holder.release();
      await Promise.all([...entered, already]);
      expect(order).to.deep.equal(["already", "first", "second"]);
      expect(lock.locked()).to.equal(false);
      // And without the lock held.
      const third = enter("third");
      await nextRound();
      c.notify();
      await third;
    });

    it("P75 the Releaser is inert while waiting and valid again afterwards", async () => {
      const lock = new Lock();
      const c = new Condition(lock);
      const mine = await lock.acquire();
      const future = c.wait();
      const other = await lock.acquire();
      mine.release();
      expect(other.released).to.equal(false);
      expect(lock.locked()).to.equal(true);
      c.notify();
      other.release();
      expect(future.done()).to.equal(true);
      expect(mine.released).to.equal(false);
      mine.release();
      expect(lock.locked()).to.equal(false);
      {
        using _ = await lock.acquire();
        for (let i = 0; i < 3; i++) {
          const wait = c.wait();
          c.notify();
          await wait;
        }
        expect(lock.locked()).to.equal(true);
      }
      expect(lock.locked()).to.equal(false);
    });

    it("P75 cancel() settles at once without the lock, and passes a notification on", async () => {
      const lock = new Lock();
      const c = new Condition(lock);
      const first = await lock.acquire();
      const firstWait = c.wait();
      const second = await lock.acquire();
      const secondWait = c.wait();
      expect(lock.locked()).to.equal(false);
      const holder = await lock.acquire();
      c.notify();
      expect(firstWait.cancel()).to.equal(true);
      expect(firstWait.cancelled()).to.equal(true);
      expect(first.released).to.equal(true);
      expect(String(c)).to.not.contain("waiters");
      holder.release();
      expect(secondWait.result()).to.equal(true);
      expect(second.released).to.equal(false);
      first.release();
      expect(lock.locked()).to.equal(true);
      second.release();
      const third = await lock.acquire();
      const thirdWait = c.wait();
      thirdWait.cancel();
      expect(third.released).to.equal(true);
      expect(() => lock.release()).to.throw(Error, /not held/);
      expect(String(c)).to.equal("<Condition>");
    });

    it("P76 two conditions on one lock make a bounded buffer", async () => {
      const lock = new Lock();
      const [notFull, notEmpty] = [new Condition(lock), new Condition(lock)];
      const buffer: number[] = [];
      const got: number[] = [];
      const produce = async (from: number, to: number): Promise<void> => {
        for (let i = from; i < to; i++) {
          using _ = await lock.acquire();
          while (buffer.length >= 2) await notFull.wait();
          buffer.push(i);
          notEmpty.notify();
        }
      };
      const consume = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) {
          using _ = await lock.acquire();
          while (buffer.length === 0) await notEmpty.wait();
          expect(buffer.length).to.be.at.most(2);
          got.push(buffer.shift()!);
          notFull.notify();
        }
      };
      await Promise.all([produce(0, 500), produce(500, 1000), consume(400), consume(600)]);
      expect(got.toSorted((a, b) => a - b)).to.deep.equal(Array.from({ length: 1000 }, (_, i) => i));
      expect(lock.locked()).to.equal(false);
    });
  });
});
