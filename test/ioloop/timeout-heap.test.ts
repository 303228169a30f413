/** The heap of timeouts on its own: order, cancelling, compaction. */
import { expect } from "chai";
import fc from "fast-check";
import { type _Timeout, TimeoutHeap } from "../../src/ioloop/timeouts.js";

/** A new timeout in the heap. */
const add = (heap: TimeoutHeap, deadline: number): _Timeout => heap.add(deadline, () => undefined, []);

/** Insertion numbers of what is due at `now`, in order. */
function take(heap: TimeoutHeap, now: number): number[] {
  return heap.takeDue(now).map(({ tdeadline: [, added] }) => added);
}

describe("TimeoutHeap", () => {
  it("L26 gives a new entry a sort pair of its deadline and an insertion number that only grows", () => {
    const heap = new TimeoutHeap();
    expect([add(heap, 5), add(heap, 1), add(heap, 5)].map(({ tdeadline }) => tdeadline)).to.deep.equal([
      [5, 0],
      [1, 1],
      [5, 2],
    ]);
    expect(heap.counter).to.equal(3);
    expect(heap.length).to.equal(3);
  });

  it("L26 takes out what is due, in order, and nothing else", () => {
    const heap = new TimeoutHeap();
    for (const deadline of [5, 3, 9, 3, 1, 7]) add(heap, deadline);
    expect(take(heap, 0.9)).to.deep.equal([]);
    expect(take(heap, 3)).to.deep.equal([4, 1, 3]);
    expect(heap.head()?.deadline).to.equal(5);
    expect(take(heap, 100)).to.deep.equal([0, 5, 2]);
    expect(heap.head()).to.equal(undefined);
  });

  for (const deadline of [7, 0, -Infinity]) {
    it(`L26 keeps the order of many with the deadline ${deadline}`, () => {
      const heap = new TimeoutHeap();
      const count = 200;
      for (let each = 0; each < count; each++) add(heap, deadline);
      expect(take(heap, deadline)).to.deep.equal(Array.from({ length: count }, (_, each) => each));
    });
  }

  it("L35 counts an entry that is cancelled in the heap, once, and one that has left not at all", () => {
    const heap = new TimeoutHeap();
    const first = add(heap, 1);
    const second = add(heap, 2);
    expect(heap.cancel(second)).to.equal(true);
    expect(heap.cancel(second)).to.equal(false);
    expect(heap.cancellations).to.equal(1);
    const [due] = heap.takeDue(1);
    expect(due).to.equal(first);
    expect(heap.cancel(first)).to.equal(true);
    expect(heap.head()).to.equal(undefined);
    expect(heap.cancellations).to.equal(0);
    expect(heap.length).to.equal(0);
  });

  it("L37 counts an entry again that was put back", () => {
    const heap = new TimeoutHeap();
    add(heap, 1);
    const [timeout] = heap.takeDue(1);
    heap.push(timeout as _Timeout);
    expect(heap.length).to.equal(1);
    heap.cancel(timeout as _Timeout);
    expect(heap.cancellations).to.equal(1);
    expect(heap.head()).to.equal(undefined);
    expect(heap.cancellations).to.equal(0);
  });

  it("L93 forgets everything when it is cleared, and counts no removal after that", () => {
    const heap = new TimeoutHeap();
    const timeouts = [add(heap, 1), add(heap, 2)];
    heap.cancel(timeouts[0] as _Timeout);
    heap.clear();
    for (const timeout of timeouts) {
      expect(timeout.callback).to.equal(undefined);
      expect(heap.cancel(timeout)).to.equal(false);
    }
    expect(heap.length).to.equal(0);
    expect(heap.cancellations).to.equal(0);
    expect(heap.takeDue(100)).to.deep.equal([]);
  });

  it("L36 is compacted more than once", () => {
    const heap = new TimeoutHeap();
    for (let round = 0; round < 3; round++) {
      add(heap, round);
      for (let each = 0; each < 1000; each++) heap.cancel(add(heap, 100));
      heap.takeDue(-1);
      expect(heap.length).to.equal(round + 1);
      expect(heap.cancellations).to.equal(0);
    }
  });

  it("L26 L35 L36 L37 does what a sorted list does, whatever is added, cancelled and taken", () => {
    const operation = fc.oneof(
      { weight: 6, arbitrary: fc.record({ add: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(-Infinity, Infinity)) }) },
      { weight: 4, arbitrary: fc.record({ cancel: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ take: fc.integer({ min: 0, max: 20 }) }) },
      // Enough at once for a compaction.
      { weight: 1, arbitrary: fc.record({ cancelMany: fc.integer({ min: 400, max: 1200 }) }) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const heap = new TimeoutHeap();
        const all: _Timeout[] = [];
        let live: _Timeout[] = [];
        for (const step of operations) {
          if ("add" in step) {
            const timeout = add(heap, step.add);
            all.push(timeout);
            live.push(timeout);
          } else if ("cancel" in step) {
            const timeout = all[step.cancel % Math.max(all.length, 1)];
            if (timeout === undefined) continue;
            expect(heap.cancel(timeout)).to.equal(live.includes(timeout));
            live = live.filter((each) => each !== timeout);
          } else if ("take" in step) {
            live.sort((a, b) => (a.deadline === b.deadline ? a.tdeadline[1] - b.tdeadline[1] : a.deadline - b.deadline));
            const due = live.filter(({ deadline }) => deadline <= step.take);
            expect(heap.takeDue(step.take)).to.deep.equal(due);
            live = live.filter((each) => !due.includes(each));
            for (const timeout of due) timeout.callback = undefined; // As the loop does before it runs one.
            if (heap.cancellations > 512) expect(heap.cancellations).to.be.at.most(heap.length >> 1);
          } else {
            for (let each = 0; each < step.cancelMany; each++) heap.cancel(add(heap, each % 25));
          }
          expect(heap.length - heap.cancellations).to.equal(live.length);
        }
        expect(heap.takeDue(Infinity).length).to.equal(live.length);
      }),
      { numRuns: 60 },
    );
  });
});
