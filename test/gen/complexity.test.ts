/**
 * Costs as ratios of two sizes (primitives.md section 4): four times as many may cost at most eight times as much, where one shift() or one
 * search per step would cost sixteen times.
 */
import { expect } from "chai";

import { Future } from "../../src/concurrent/index.js";
import { multi, WaitIterator } from "../../src/gen/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { Condition, Semaphore } from "../../src/locks/index.js";
import { LifoQueue, PriorityQueue, Queue } from "../../src/queues/index.js";
import { nextRound } from "../support/real-timers.js";
import { ManualLoop } from "./manual-loop.js";

const BIG = 1_000_000;

function collect(): void {
  globalThis.gc?.();
}

/** Milliseconds of processor time for work of size `n`: other processes do not count, though they cost caches. */
function cost(work: (n: number) => void, n: number): number {
  collect();
  const before = process.cpuUsage();
  work(n);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Work at `n / 4` and `n`; a time too small to measure counts as 5 ms. Disturbances only add, so the best of a few attempts counts. */
function expectLinear(work: (n: number) => void, n = BIG, limit = 8): void {
  work(1000);
  let small = Infinity;
  let large = Infinity;
  for (let attempt = 0; attempt < 5; attempt++) {
    small = Math.min(small, Math.max(cost(work, n / 4), 5));
    large = Math.min(large, cost(work, n));
    if (large / small <= limit) return;
  }
  expect.fail(`${large.toFixed(0)} ms for ${n}, ${(large / small).toFixed(1)} times the ${small.toFixed(0)} ms for ${n / 4}`);
}

describe("complexity", function () {
  this.timeout(120_000);

  it("C1 n waiters on one Semaphore, then n releases", () => {
    expectLinear((n) => {
      const sem = new Semaphore(0);
      for (let i = 0; i < n; i++) void sem.acquire();
      for (let i = 0; i < n; i++) sem.release();
      expect(String(sem)).to.equal("<Semaphore locked>");
    });
  });

  it("C2 n waits on a Condition, then n times notify(), and once notifyAll()", () => {
    for (const wake of [(c: Condition): void => c.notify(), (c: Condition): void => c.notifyAll()]) {
      expectLinear((n) => {
        const c = new Condition();
        for (let i = 0; i < n; i++) void c.wait();
        for (let i = 0; i < n; i++) wake(c);
        expect(String(c)).to.equal("<Condition>");
      });
    }
  });

  it("C3 n waiters whose timeouts all expire in one iteration, while 1 000 stay", () => {
    const manual = new ManualLoop();
    expectLinear((n) => {
      const c = new Condition();
      for (let i = 0; i < n; i++) {
        void c.wait(seconds(1));
        if (i < 1000) void c.wait();
      }
      manual.clock.advance(2);
      manual.loop.runIteration();
      expect(String(c)).to.equal("<Condition waiters[1000]>");
    }, BIG / 4);
  });

  it("C4 n waiters cancelled newest first, and oldest first", () => {
    for (const newestFirst of [true, false]) {
      expectLinear((n) => {
        const sem = new Semaphore(0);
        const waits = Array.from({ length: n }, () => sem.acquire());
        if (newestFirst) waits.reverse();
        for (const each of waits) each.cancel();
        expect(String(sem)).to.equal("<Semaphore locked>");
      });
    }
  });

  it("C5 n waiters on one AbortSignal: half released, the rest aborted", async () => {
    expectLinear((n) => {
      const sem = new Semaphore(0);
      const controller = new AbortController();
      const { signal } = controller;
      const waits = Array.from({ length: n }, () => sem.acquire({ signal }));
      for (let i = 0; i < n / 2; i++) sem.release();
      controller.abort();
      expect(waits.every((each) => each.done())).to.equal(true);
    }, 200_000);
    await nextRound();
  });

  it("C6 n items in and out, and n waiting getters or putters served", () => {
    for (const make of [(maxsize: number) => new Queue<number>(maxsize), (maxsize: number) => new LifoQueue<number>(maxsize)]) {
      expectLinear((n) => {
        const q = make(0);
        for (let i = 0; i < n; i++) q.putNowait(i);
        for (let i = 0; i < n; i++) q.getNowait();
        expect(q.empty()).to.equal(true);
      });
      expectLinear((n) => {
        const q = make(0);
        for (let i = 0; i < n; i++) void q.get();
        for (let i = 0; i < n; i++) q.putNowait(i);
        expect(q.empty()).to.equal(true);
      });
      expectLinear((n) => {
        const q = make(1);
        for (let i = 0; i < n; i++) void q.put(i);
        for (let i = 0; i < n; i++) q.getNowait();
        expect(q.empty()).to.equal(true);
      });
    }
  });

  it("C7 n random priorities in and out, at most 16 times", () => {
    let seed = 1;
    const random = (): number => (seed = (seed * 48271) % 2147483647);
    expectLinear(
      (n) => {
        const q = new PriorityQueue<number>();
        for (let i = 0; i < n; i++) q.putNowait(random());
        let last = -1;
        for (let i = 0; i < n; i++) {
          const item = q.getNowait();
          if (item < last) expect.fail("out of order");
          last = item;
        }
      },
      BIG,
      16,
    );
  });

  it("C8 multi and WaitIterator over n Futures, done and pending", () => {
    for (const done of [true, false]) {
      const futures = (n: number): Future<number>[] =>
        Array.from({ length: n }, () => {
          const future = new Future<number>();
          if (done) future.setResult(1);
          return future;
        });
      expectLinear((n) => {
        const children = futures(n);
        const all = multi(children);
        if (!done) for (const each of children.toReversed()) each.setResult(1);
        expect(all.result().length).to.equal(n);
      }, 100_000);
      // As an object: a call takes no more than some ten thousand arguments.
      expectLinear((n) => {
        const children = futures(n);
        const it = new WaitIterator<number>(Object.fromEntries(children.map((each, i) => [`k${i}`, each])));
        if (!done) for (const each of children.toReversed()) each.setResult(1);
        let count = 0;
        for (; !it.done(); count++) void it.next();
        expect(count).to.equal(n);
      }, 100_000);
    }
  });

  it("C9 after all that, the primitive holds no memory", async () => {
    const n = 250_000;
    const sem = new Semaphore(0);
    const condition = new Condition();
    const all = [new Queue<number>(), new LifoQueue<number>(), new PriorityQueue<number>()];
    const one = new Queue<number>(1);
    const controller = new AbortController();
    const work = (): void => {
      for (let i = 0; i < n; i++) void sem.acquire({ signal: controller.signal });
      for (let i = 0; i < n; i++) sem.release();
      for (const each of Array.from({ length: n }, () => sem.acquire())) each.cancel();
      for (let i = 0; i < n; i++) void condition.wait();
      condition.notifyAll();
      for (const q of all) {
        for (let i = 0; i < n; i++) q.putNowait(i);
        for (let i = 0; i < n; i++) q.getNowait();
        for (let i = 0; i < n; i++) q.taskDone();
      }
      for (let i = 0; i < n; i++) void one.put(i);
      for (let i = 0; i < n; i++) one.getNowait();
    };
    const used = async (): Promise<number> => {
      for (let i = 0; i < 3; i++) {
        await nextRound();
        collect();
      }
      return process.memoryUsage().heapUsed;
    };
    const before = await used();
    work();
    const after = await used();
    expect((after - before) / 1e6).to.be.at.most(10);
    expect([sem, condition, ...all, one].map(String).join()).to.not.match(/waiters|queue\[|putters/);
  });
});
