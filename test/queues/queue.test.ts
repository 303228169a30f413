/** Queue, and what holds for all three classes (primitives.md 3.7). */
import { expect } from "chai";

import { CancelledError, type Future, TimeoutError } from "../../src/concurrent/index.js";
import { sleep } from "../../src/gen/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { LifoQueue, PriorityQueue, Queue, QueueEmpty, QueueFull } from "../../src/queues/index.js";
import { useManualLoop } from "../gen/manual-loop.js";
import { nextRound } from "../support/real-timers.js";

type Make = <T>(maxsize?: number) => Queue<T>;

const kinds: readonly (readonly [string, Make, (items: readonly number[]) => number[]])[] = [
  ["Queue", (maxsize) => new Queue(maxsize), (items) => [...items]],
  ["PriorityQueue", (maxsize) => new PriorityQueue(maxsize), (items) => items.toSorted((a, b) => a - b)],
  ["LifoQueue", (maxsize) => new LifoQueue(maxsize), (items) => items.toReversed()],
];

describe("queues", () => {
  const fixture = useManualLoop();

  for (const [name, make, ruled] of kinds) {
    describe(name, () => {
      it(`P84 P102 ${name}: maxsize is a count, 0 for no limit`, () => {
        for (const maxsize of [0, undefined, Infinity]) {
          const q = make<number>(maxsize);
          for (let i = 0; i < 100; i++) q.putNowait(i);
          expect(q.full()).to.equal(false);
          expect(q.maxsize).to.equal(maxsize ?? 0);
        }
        for (const maxsize of [-1, 1.3, NaN, -Infinity]) expect(() => make(maxsize), String(maxsize)).to.throw(RangeError, /^maxsize is/);
        for (const maxsize of [null, "1", {}, true]) expect(() => make(maxsize as number)).to.throw(TypeError, /^maxsize is/);
        const q = make<number>(2);
        q.putNowait(1);
        expect([q.full(), q.empty(), q.qsize()]).to.deep.equal([false, false, 1]);
        q.putNowait(2);
        expect(q.full()).to.equal(true);
      });

      it(`P85 P102 ${name}: gives the items back by its rule`, () => {
        const q = make<number>();
        for (const item of [1, 3, 2]) q.putNowait(item);
        expect([q.getNowait(), q.getNowait(), q.getNowait()]).to.deep.equal(ruled([1, 3, 2]));
        expect(q.empty()).to.equal(true);
      });

      it(`P86 P102 ${name}: the refusals change nothing`, () => {
        const q = make<number>(1);
        expect(() => q.getNowait()).to.throw(QueueEmpty);
        q.putNowait(1);
        expect(() => q.putNowait(2)).to.throw(QueueFull);
        expect(String(q)).to.equal(`<${name} maxsize=1 queue[1] tasks=1>`);
        expect(q.getNowait()).to.equal(1);
      });

      it(`P87 P102 ${name}: put is done at once with room, else waits uncounted`, () => {
        const q = make<number>(1);
        expect(q.put(1).done()).to.equal(true);
        const waiting = q.put(2);
        expect(waiting.done()).to.equal(false);
        expect(q.qsize()).to.equal(1);
      });

      it(`P88 P102 ${name}: a put hands its item to the longest-waiting getter, through the storage`, () => {
        const q = make<number>();
        const passed: unknown[] = [];
        const hooks = q as unknown as { _put(item: number): void; _get(): number };
        const [put, get] = [hooks._put.bind(q), hooks._get.bind(q)];
        hooks._put = (item) => {
          passed.push(["put", item]);
          put(item);
        };
        hooks._get = () => {
          passed.push("get");
          return get();
        };
        const [first, second] = [q.get(), q.get()];
        const done = q.put(5);
        expect([done.done(), first.result(), second.done(), q.qsize()]).to.deep.equal([true, 5, false, 0]);
        q.putNowait(6);
        expect([second.result(), q.qsize()]).to.deep.equal([6, 0]);
        expect(passed).to.deep.equal([["put", 5], "get", ["put", 6], "get"]);
      });

      it(`P90 P102 ${name}: getters and putters are served in order of arrival`, () => {
        const q = make<number>(1);
        const getters = [q.get(), q.get(), q.get()];
        for (const item of [10, 11, 12]) q.putNowait(item);
        expect(getters.map((each) => each.result())).to.deep.equal([10, 11, 12]);
        q.putNowait(20);
        const putters = [q.put(21), q.put(22)];
        q.getNowait();
        const newcomer = q.put(23);
        expect([...putters, newcomer].map((each) => each.done())).to.deep.equal([true, false, false]);
        q.getNowait();
        expect([...putters, newcomer].map((each) => each.done())).to.deep.equal([true, true, false]);
      });

      it(`P91 P102 ${name}: a getter that gave up never receives`, async () => {
        const { manual } = fixture;
        const q = make<number>();
        const controller = new AbortController();
        const late = q.get(seconds(0.01));
        const aborted = q.get({ signal: controller.signal });
        const cancelled = q.get();
        const live = q.get();
        controller.abort();
        cancelled.cancel();
        await manual.advance(0.02);
        q.putNowait(1);
        expect(late.exception()).to.be.instanceOf(TimeoutError);
        expect(aborted.exception()).to.equal(controller.signal.reason);
        expect(() => cancelled.result()).to.throw(CancelledError);
        expect(live.result()).to.equal(1);
        q.get(seconds(0.01)).cancel();
        q.putNowait(2);
        expect(q.qsize()).to.equal(1);
      });

      it(`P92 P102 ${name}: a putter that gave up leaves no item behind`, async () => {
        const { manual } = fixture;
        const q = make<number>(1);
        q.putNowait(1);
        const controller = new AbortController();
        const late = q.put(2, seconds(0.01));
        const aborted = q.put(3, { signal: controller.signal });
        const cancelled = q.put(4);
        controller.abort();
        cancelled.cancel();
        await manual.advance(0.02);
        expect(late.exception()).to.be.instanceOf(TimeoutError);
        expect(aborted.exception()).to.equal(controller.signal.reason);
        expect(() => q.putNowait(5)).to.throw(QueueFull);
        expect(q.getNowait()).to.equal(1);
        expect(q.empty()).to.equal(true);
        q.taskDone();
        expect(q.join().done()).to.equal(true);
      });

      it(`P93 P102 ${name}: what was granted before the deadline stays`, async () => {
        const { manual } = fixture;
        const q = make<number>(1);
        const got = q.get(seconds(0.01));
        q.putNowait(1);
        q.putNowait(2);
        const put = q.put(3, seconds(0.01));
        q.getNowait();
        await manual.advance(0.02);
        expect(got.result()).to.equal(1);
        expect(put.exception()).to.equal(undefined);
        expect(q.getNowait()).to.equal(name === "LifoQueue" ? 2 : 3);
      });

      it(`P95 P102 ${name}: taskDone() more often than items have entered is refused`, () => {
        const q = make<number>(1);
        expect(() => q.taskDone()).to.throw(RangeError, /more often/);
        const handedOver = q.get();
        q.putNowait(1);
        expect(handedOver.result()).to.equal(1);
        q.taskDone();
        expect(() => q.taskDone()).to.throw(RangeError);
        q.putNowait(2);
        const waiting = q.put(3);
        q.taskDone();
        expect(() => q.taskDone()).to.throw(RangeError);
        q.getNowait();
        expect(waiting.done()).to.equal(true);
        q.taskDone();
        expect(() => q.taskDone()).to.throw(RangeError);
        expect(q.qsize()).to.equal(1);
      });

      it(`P96 P102 ${name}: join() waits for the taskDone that reaches zero`, async () => {
        const { manual } = fixture;
        const q = make<number>();
        expect(q.join().done()).to.equal(true);
        q.putNowait(1);
        q.putNowait(2);
        const joins = [q.join(), q.join()];
        const late = q.join(seconds(0.01));
        q.getNowait();
        q.getNowait();
        q.taskDone();
        expect(joins.some((each) => each.done())).to.equal(false);
        await manual.advance(0.02);
        expect(late.exception()).to.be.instanceOf(TimeoutError);
        const order: number[] = [];
        for (const [i, each] of joins.entries()) void each.then(() => order.push(i));
        q.taskDone();
        expect(joins.every((each) => each.done())).to.equal(true);
        q.putNowait(3);
        expect(q.join().done()).to.equal(false);
        await nextRound();
        expect(order).to.deep.equal([0, 1]);
      });

      it(`P97 P102 ${name}: join() resolves after two workers have done all of 100 items`, async () => {
        const { manual } = fixture;
        const q = make<number>();
        const seen: number[] = [];
        const controller = new AbortController();
        const worker = async (): Promise<void> => {
          for await (const item of q.iterate({ signal: controller.signal })) {
            seen.push(item);
            q.taskDone();
            await sleep(0.001);
          }
        };
        const workers = [worker(), worker()];
        for (let i = 0; i < 100; i++) await q.put(i);
        const joined = q.join();
        while (!joined.done()) await manual.advance(0.002);
        expect(seen.toSorted((a, b) => a - b)).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
        await manual.advance(0.002);
        controller.abort();
        for (const each of workers) expect(await each.catch((error: unknown) => error)).to.equal(controller.signal.reason);
      });

      it(`P98 P102 ${name}: a producer is held back by maxsize`, async () => {
        const q = make<number>(3);
        const history: number[] = [];
        let largest = 0;
        const consumer = (async () => {
          for (let i = 0; i < 10; i++) {
            history.push(await q.get());
            q.taskDone();
            largest = Math.max(largest, q.qsize());
          }
        })();
        for (let i = 0; i < 10; i++) {
          await q.put(i);
          largest = Math.max(largest, q.qsize());
        }
        await q.join();
        await consumer;
        expect(history.toSorted((a, b) => a - b)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        if (name === "Queue") expect(history).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        expect(largest).to.be.at.most(3);
      });

      it(`P104 P102 ${name}: for await shares the items and loses none on break or throw`, async () => {
        const q = make<number>();
        for (const item of [1, 2, 3, 4, 5]) q.putNowait(item);
        const got: number[] = [];
        for await (const item of q) {
          got.push(item);
          if (got.length === 2) break;
        }
        expect(q.qsize()).to.equal(3);
        try {
          for await (const item of q) {
            got.push(item);
            throw new Error("body");
          }
        } catch (error) {
          expect((error as Error).message).to.equal("body");
        }
        expect(q.qsize()).to.equal(2);
        const controller = new AbortController();
        const share = async (): Promise<void> => {
          for await (const item of q.iterate({ signal: controller.signal })) got.push(item);
        };
        const shares = [share(), share()];
        q.putNowait(6);
        await nextRound();
        controller.abort();
        await Promise.allSettled(shares);
        expect(got.toSorted((a, b) => a - b)).to.deep.equal([1, 2, 3, 4, 5, 6]);
      });

      it(`P106 P102 ${name}: holds no reference to what it has delivered`, async () => {
        const q = name === "PriorityQueue" ? new PriorityQueue<object>(2, { compare: () => 0 }) : make<object>(2);
        const weak: WeakRef<object>[] = [];
        const item = (): object => {
          const it = { big: true };
          weak.push(new WeakRef(it));
          return it;
        };
        const kept: Future<unknown>[] = [];
        const use = (): void => {
          q.putNowait(item());
          q.putNowait(item());
          kept.push(q.put(item()));
          const givenUp = q.put(item());
          givenUp.cancel();
          kept.push(givenUp);
          q.getNowait();
          q.getNowait();
          q.getNowait();
          void q.get();
          q.putNowait(item());
        };
        use();
        for (let i = 0; i < 10 && weak.some((each) => each.deref() !== undefined); i++) {
          await nextRound();
          globalThis.gc?.();
        }
        expect(weak.map((each) => each.deref())).to.deep.equal([undefined, undefined, undefined, undefined, undefined]);
        expect(q.qsize()).to.equal(0);
        expect(kept.length).to.equal(2);
      });

      it(`P107 P102 ${name}: String() shows what is not zero, and runs no code of the items`, () => {
        const trap = (): object => ({
          toString: () => expect.fail("was printed"),
          toJSON: () => expect.fail("was printed"),
        });
        const q = name === "PriorityQueue" ? new PriorityQueue<object>(1, { compare: () => 0 }) : make<object>(1);
        expect(String(q)).to.equal(`<${name} maxsize=1>`);
        q.putNowait(trap());
        const putter = q.put(trap());
        expect(String(q)).to.equal(`<${name} maxsize=1 queue[1] putters[1] tasks=1>`);
        putter.cancel();
        q.getNowait();
        q.taskDone();
        const getter = q.get();
        expect(String(q)).to.equal(`<${name} maxsize=1 getters[1]>`);
        getter.cancel();
        expect(String(q)).to.equal(`<${name} maxsize=1>`);
      });
    });
  }

  it("P85 undefined, null and NaN are items like any other", async () => {
    for (const q of [new Queue<unknown>(), new LifoQueue<unknown>()]) {
      for (const item of [undefined, null, NaN]) {
        q.putNowait(item);
        expect(q.qsize()).to.equal(1);
        expect(q.getNowait()).to.deep.equal(item);
        const waiting = q.get();
        await q.put(item);
        expect(waiting.result()).to.deep.equal(item);
      }
    }
  });

  it("P89 a get on a full queue moves the longest-waiting putter's item in first", () => {
    const lifo = new LifoQueue<number>(2);
    for (const item of [1, 0]) lifo.putNowait(item);
    const waits = [lifo.put(3), lifo.put(2)];
    expect(lifo.getNowait()).to.equal(3);
    expect(waits.map((each) => each.done())).to.deep.equal([true, false]);
    expect([lifo.getNowait(), lifo.getNowait(), lifo.getNowait()]).to.deep.equal([2, 0, 1]);
    const priority = new PriorityQueue<number>(2);
    for (const item of [5, 4]) priority.putNowait(item);
    void priority.put(1);
    void priority.put(0);
    expect([1, 2, 3, 4].map(() => priority.getNowait())).to.deep.equal([1, 0, 4, 5]);
    const fifo = new Queue<number>(2);
    for (const item of [1, 2]) fifo.putNowait(item);
    void fifo.put(3);
    expect([fifo.get().result(), fifo.get().result(), fifo.get().result()]).to.deep.equal([1, 2, 3]);
  });

  it("P102 LifoQueue gives the latest first", async () => {
    const q = new LifoQueue<number>();
    for (const item of [1, 2, 3]) await q.put(item);
    expect([await q.get(), await q.get(), await q.get()]).to.deep.equal([3, 2, 1]);
  });

  it("P103 a subclass may keep the items its own way", () => {
    let inits = 0;
    class Unique extends Queue<number> {
      declare protected _queue: Set<number> & { length: number };
      protected override _init(): void {
        inits++;
        this._queue = new Set<number>() as Set<number> & { length: number };
      }
      protected override _put(item: number): void {
        this._queue.add(item);
      }
      protected override _get(): number {
        const [item] = this._queue;
        this._queue.delete(item!);
        return item!;
      }
      protected override _qsize(): number {
        return this._queue.size;
      }
    }
    const q = new Unique(2);
    expect(inits).to.equal(1);
    for (const item of [1, 1, 2]) q.putNowait(item);
    expect(q.full()).to.equal(true);
    const waiting = q.put(3);
    expect([q.getNowait(), q.getNowait(), q.getNowait()]).to.deep.equal([1, 2, 3]);
    expect(waiting.done()).to.equal(true);
    const getter = q.get();
    q.putNowait(9);
    expect(getter.result()).to.equal(9);
  });

  it("P105 return() of a hand-driven iterator withdraws its pending next(), and delivers what was granted", async () => {
    const q = new Queue<number>();
    const it = q.iterate();
    const pending = [it.next(), it.next()];
    expect(String(q)).to.contain("getters[2]");
    const ended = await it.return!();
    expect(ended).to.deep.equal({ done: true, value: undefined });
    expect(await Promise.all(pending)).to.deep.equal([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    expect(String(q)).to.equal("<Queue maxsize=0>");
    expect(await it.next()).to.deep.equal({ done: true, value: undefined });

    const other = q[Symbol.asyncIterator]();
    const granted = other.next();
    q.putNowait(1);
    await other.return!();
    expect(await granted).to.deep.equal({ done: false, value: 1 });
    q.putNowait(2);
    expect(q.qsize()).to.equal(1);
  });

  it("P105 iterate({ signal }) throws the reason from the loop, after delivering what was granted", async () => {
    const q = new Queue<number>();
    const controller = new AbortController();
    const got: number[] = [];
    const reason = new Error("enough");
    const loop = (async () => {
      for await (const item of q.iterate({ signal: controller.signal })) got.push(item);
    })();
    q.putNowait(1);
    await nextRound();
    q.putNowait(2);
    controller.abort(reason);
    expect(await loop.catch((error: unknown) => error)).to.equal(reason);
    expect(got).to.deep.equal([1, 2]);
    q.putNowait(3);
    expect(q.qsize()).to.equal(1);
    expect(() => q.iterate({ timeout: 1 } as object)).to.throw(TypeError);
    expect(() => q.iterate({ signal: 1 } as object)).to.throw(TypeError);
  });
});
