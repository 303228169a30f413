/** The order of PriorityQueue (primitives.md P99-P101). */
import { expect } from "chai";
import fc from "fast-check";

import { PriorityQueue } from "../../src/queues/index.js";
import { defaultOrder } from "../../src/queues/default-order.js";
import { Ring } from "../../src/queues/ring.js";

function drain<T>(q: PriorityQueue<T>): T[] {
  const out: T[] = [];
  while (!q.empty()) out.push(q.getNowait());
  return out;
}

function sorted<T>(items: readonly T[]): T[] {
  const q = new PriorityQueue<T>();
  for (const item of items) q.putNowait(item);
  return drain(q);
}

describe("PriorityQueue", () => {
  it("P99 orders each kind of value by its own rule", () => {
    expect(sorted<number | bigint>([3, 1n, 2, -Infinity, 2n ** 70n])).to.deep.equal([-Infinity, 1n, 2, 3, 2n ** 70n]);
    expect(sorted(["b", "a", "B", "\u{1F600}", "\uFFFF"])).to.deep.equal(["B", "a", "b", "\u{1F600}", "\uFFFF"]);
    expect(sorted([true, false])).to.deep.equal([false, true]);
    expect(sorted([new Date(2), new Date(1)])).to.deep.equal([new Date(1), new Date(2)]);
    const bytes = [Uint8Array.of(2), Uint8Array.of(1, 255), Uint8Array.of(1)];
    expect(sorted(bytes)).to.deep.equal([Uint8Array.of(1), Uint8Array.of(1, 255), Uint8Array.of(2)]);
    expect(sorted([[2], [1, 5], [1], [1, 4, 9]])).to.deep.equal([[1], [1, 4, 9], [1, 5], [2]]);
  });

  it("P99 what has no order is refused with advice", () => {
    const wrong: unknown[] = [NaN, new Date(NaN), {}, undefined, null, () => 1, Symbol("s"), [{}], [NaN], [undefined, 1]];
    for (const item of wrong) {
      const q = new PriorityQueue<unknown>();
      expect(() => q.putNowait(item), String(q)).to.throw(TypeError, /compare/);
      expect(q.qsize()).to.equal(0);
      q.putNowait(1);
      expect(() => q.putNowait(item)).to.throw(TypeError, /compare/);
      expect(String(q)).to.equal("<PriorityQueue maxsize=0 queue[1] tasks=1>");
    }
    for (const [a, b] of [
      [1, "1"],
      [true, 1],
      [[1], 1],
      [
        [1, "x"],
        [1, 2],
      ],
      [new Date(), 1],
    ] as const) {
      const q = new PriorityQueue<unknown>();
      q.putNowait(a);
      expect(() => q.putNowait(b)).to.throw(TypeError, /compare/);
      expect(q.getNowait()).to.equal(a);
    }
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => defaultOrder(loop, loop)).to.throw(TypeError);
  });

  it("P100 equal items leave in the order they entered", () => {
    const jobs = Array.from({ length: 50 }, (_, id) => [id % 3, { id }] as const);
    expect(sorted(jobs).map(([, job]) => job.id)).to.deep.equal(jobs.toSorted(([a], [b]) => a - b).map(([, job]) => job.id));
    expect(
      sorted(
        [
          [1, undefined],
          [1, null],
          [1, () => 1],
          [1, Symbol.iterator],
          [1, {}],
        ].map((each, i) => [...each, i]),
      ).map((each) => each.at(-1)),
    ).to.deep.equal([0, 1, 2, 3, 4]);
    for (const result of [0, NaN]) {
      const q = new PriorityQueue<number>(0, { compare: () => result });
      for (let i = 0; i < 100; i++) q.putNowait(i);
      expect(drain(q)).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
    }
  });

  it("P100 is a stable sort, whatever goes in and out in between", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(5), { freq: 4 })), (steps) => {
        const q = new PriorityQueue<[number, { id: number }]>();
        const model: [number, { id: number }][] = [];
        for (const [id, step] of steps.entries()) {
          if (step !== null) {
            q.putNowait([step, { id }]);
            model.push([step, { id }]);
            model.sort((a, b) => a[0] - b[0] || a[1].id - b[1].id);
          } else if (model.length > 0) {
            expect(q.getNowait()[1].id).to.equal(model.shift()![1].id);
          }
        }
        expect(drain(q).map(([, { id }]) => id)).to.deep.equal(model.map(([, { id }]) => id));
      }),
    );
  });

  it("P101 a comparison that throws changes nothing", async () => {
    const wrong = new Error("cannot compare");
    let armed = false;
    const compare = (a: number, b: number): number => {
      if (armed) throw wrong;
      return a - b;
    };
    const q = new PriorityQueue<number>(3, { compare });
    for (const item of [3, 1, 2]) q.putNowait(item);
    armed = true;
    expect(() => q.getNowait()).to.throw("cannot compare");
    expect(q.get().exception()).to.equal(wrong);
    expect(String(q)).to.equal("<PriorityQueue maxsize=3 queue[3] tasks=3>");
    armed = false;
    expect(q.getNowait()).to.equal(1);
    armed = true;
    expect(() => q.putNowait(5)).to.throw("cannot compare");
    expect(q.put(5).exception()).to.equal(wrong);
    armed = false;
    expect(String(q)).to.equal("<PriorityQueue maxsize=3 queue[2] tasks=3>");
    expect(drain(q)).to.deep.equal([2, 3]);
  });

  it("P101 a waiting putter whose item cannot be compared fails, and the next one is tried", () => {
    const q = new PriorityQueue<number | string>(2);
    for (const item of [2, 3]) q.putNowait(item);
    const bad = q.put("x");
    const good = q.put(1);
    expect(q.getNowait()).to.equal(1);
    expect(bad.exception()).to.be.instanceOf(TypeError);
    expect(good.exception()).to.equal(undefined);
    expect(drain(q)).to.deep.equal([2, 3]);
    for (let i = 0; i < 3; i++) q.taskDone();
    expect(q.join().done()).to.equal(true);
  });

  it("P101 a get that fails after a putter's item moved in loses no item and moves no second one in", () => {
    let armed = false;
    let comparisons = 0;
    const q = new PriorityQueue<number>(3, {
      compare: (a, b) => {
        if (armed && ++comparisons > 1) throw new Error("cannot compare");
        return a - b;
      },
    });
    for (const item of [1, 2, 3]) q.putNowait(item);
    const [first, second] = [q.put(4), q.put(5)];
    armed = true;
    expect(() => q.getNowait()).to.throw("cannot compare");
    armed = false;
    expect([first.done(), second.done(), q.qsize()]).to.deep.equal([true, false, 4]);
    expect(q.getNowait()).to.equal(1);
    expect([second.done(), q.qsize()]).to.deep.equal([false, 3]);
    expect(drain(q)).to.deep.equal([2, 3, 4, 5]);
    expect(second.done()).to.equal(true);
  });

  it("P99 P101 wrong options are refused", () => {
    expect(() => new PriorityQueue(0, { compare: 1 } as object)).to.throw(TypeError, /^compare is/);
    expect(() => new PriorityQueue(0, { cmp: () => 0 } as object)).to.throw(TypeError, /cmp/);
    expect(() => new PriorityQueue(0, null as unknown as object)).to.throw(TypeError);
  });
});

describe("Ring", () => {
  it("P85 is a queue through every growth and shrinking", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -40, max: 40 })), (steps) => {
        const ring = new Ring<number>();
        const model: number[] = [];
        let next = 0;
        for (const step of steps) {
          for (let i = 0; i < step; i++) {
            ring.push(next);
            model.push(next++);
          }
          for (let i = 0; i > step && model.length > 0; i--) expect(ring.shift()).to.equal(model.shift());
          expect(ring.length).to.equal(model.length);
        }
      }),
    );
  });
});
