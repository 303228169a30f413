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

  // From some thousand entries on the later ones wait in buckets.
  const MANY = 20_000;
  /** Numbers from 0 to 1, jumbled, the same each time. */
  const jumbled = (index: number): number => ((index * 7919) % 20_011) / 20_011;
  const distributions: Record<string, (index: number) => number> = {
    "one after another": (index) => index,
    "each before the one added last": (index) => -index,
    "jumbled deadlines": (index) => 1000 * jumbled(index),
    "few different ones": (index) => Math.floor(7 * jumbled(index)),
    "one deadline": () => 7,
    "one deadline for nearly all": (index) => (index % 100 === 0 ? 1000 * jumbled(index) : 7),
    "a crowd, and some very much later": (index) => (index % 10 === 0 ? 1e9 * jumbled(index) : jumbled(index) ** 3),
    "some without an end, some overdue for ever": (index) =>
      [Infinity, -Infinity, jumbled(index), 1000 * jumbled(index)][index % 4] as number,
  };

  /** Live ones in the order in which they must leave. */
  const inOrder = (timeouts: readonly _Timeout[]): _Timeout[] =>
    timeouts.filter(({ callback }) => callback !== undefined).sort((a, b) => (a.before(b) ? -1 : 1));

  /** Their insertion numbers, of which a failure can be printed. */
  const numbers = (timeouts: readonly _Timeout[]): number[] => timeouts.map(({ tdeadline: [, added] }) => added);

  for (const [what, deadlineOf] of Object.entries(distributions)) {
    it(`L26 L35 keeps the order of ${MANY}, half of them cancelled: ${what}`, () => {
      const heap = new TimeoutHeap();
      const all = Array.from({ length: MANY }, (_, index) => add(heap, deadlineOf(index)));
      for (let index = 0; index < MANY; index += 2) heap.cancel(all[(index * 3) % MANY] as _Timeout);
      const expected = inOrder(all);
      expect(heap.length - heap.cancellations).to.equal(expected.length);
      expect(heap.head() === expected[0]).to.equal(true);
      expect(take(heap, Infinity)).to.deep.equal(numbers(expected));
      expect(heap.length).to.equal(0);
      expect(heap.cancellations).to.equal(0);
    });

    it(`L25 L26 takes ${MANY} out bit by bit, in between adds more and puts some back: ${what}`, () => {
      const heap = new TimeoutHeap();
      const waiting = new Set<_Timeout>();
      const addOne = (index: number): void => void waiting.add(add(heap, deadlineOf(index)));
      for (let index = 0; index < MANY; index++) addOne(index);
      let last: _Timeout | undefined;
      for (let round = 1; waiting.size > 0; round++) {
        const expected = inOrder([...waiting]);
        expect(heap.head() === expected[0]).to.equal(true);
        const now = (expected[Math.min(3000, expected.length - 1)] as _Timeout).deadline;
        const due = heap.takeDue(now);
        expect(numbers(due)).to.deep.equal(numbers(expected.filter(({ deadline }) => deadline <= now)));
        for (const timeout of due) waiting.delete(timeout);
        last = due.at(-1);
        if (round > 3) continue;
        // As the loop does with what it could not run any more; it goes before what has the same deadline and came later.
        if (last !== undefined) {
          addOne(round);
          heap.push(last);
          waiting.add(last);
        }
        for (let index = 0; index < 500; index++) addOne(index * 40 + round);
        expect(heap.length).to.equal(waiting.size);
      }
      expect(heap.head()).to.equal(undefined);
    });
  }

  it(`L36 L37 is compacted with ${MANY} in it, and keeps the order`, () => {
    const heap = new TimeoutHeap();
    const all = Array.from({ length: MANY }, (_, index) => add(heap, 1000 * jumbled(index)));
    heap.head();
    for (const [index, timeout] of all.entries()) {
      if (index % 3 !== 0 || (timeout.deadline > 300 && timeout.deadline < 800)) heap.cancel(timeout);
    }
    const expected = inOrder(all);
    expect(heap.takeDue(-1)).to.deep.equal([]);
    expect([heap.length, heap.cancellations]).to.deep.equal([expected.length, 0]);
    all.push(...[0, 350, 550, 750, 2000].map((deadline) => add(heap, deadline)));
    expect(heap.length).to.equal(expected.length + 5);
    const expectedNow = numbers(inOrder(all));
    expect(take(heap, Infinity)).to.deep.equal(expectedNow);
  });

  it("L35 L36 carries cancelled ones along in the bucket they are in, and drops them when its time has come", () => {
    const heap = new TimeoutHeap();
    const all = Array.from({ length: MANY }, (_, index) => add(heap, index));
    for (let index = 1; index < MANY; index += 4) heap.cancel(all[index] as _Timeout);
    expect(heap.length).to.equal(MANY);
    expect([...heap].length).to.equal(MANY);
    const early = heap.takeDue(100);
    expect(early.map(({ deadline }) => deadline)).to.deep.equal(
      Array.from({ length: 101 }, (_, each) => each).filter((each) => each % 4 !== 1),
    );
    const { length, cancellations } = heap;
    expect(length - cancellations).to.equal((MANY * 3) / 4 - early.length);
    // One that has left counts no more, one that is still there does not count twice.
    for (const timeout of all) heap.cancel(timeout);
    expect(heap.cancellations).to.equal(heap.length);
    expect(heap.head()).to.equal(undefined);
    expect(heap.length).to.equal(0);
  });

  it(`L93 forgets ${MANY} when it is cleared`, () => {
    const heap = new TimeoutHeap();
    const all = Array.from({ length: MANY }, (_, index) => add(heap, 1000 * jumbled(index)));
    heap.clear();
    expect(all.filter((timeout) => heap.cancel(timeout))).to.deep.equal([]);
    expect([heap.length, heap.cancellations, [...heap].length]).to.deep.equal([0, 0, 0]);
    const only = add(heap, 3);
    expect(heap.takeDue(3)).to.deep.equal([only]);
  });
});
