/** The queue of callbacks on its own. */
import { expect } from "chai";
import fc from "fast-check";
import { CallbackQueue } from "../../src/ioloop/callbacks.js";
import { BoundCallback, FreeCallback, type QueuedCallback } from "../../src/ioloop/context.js";
import { collectGarbage } from "../concurrent/collect-garbage.js";

/** What is in the queue without an object of its own, and what is not: for a number, a function that returns it. */
const kinds: readonly ((value: number) => QueuedCallback)[] = [
  (value) => new FreeCallback(() => value, []),
  (value) => new FreeCallback((argument: number) => argument, [value]),
  (value) => new BoundCallback(() => value, []),
];
const make = (value: number): QueuedCallback => (kinds[value % kinds.length] as (typeof kinds)[number])(value);

describe("CallbackQueue", () => {
  it("L14 gives back first what was put in first, with its function and its arguments, however many there are", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ push: fc.nat(700), shift: fc.nat(700) }), { maxLength: 20 }), (steps) => {
        const queue = new CallbackQueue();
        const expected: number[] = [];
        const functions: unknown[] = [];
        let next = 0;
        for (const { push, shift } of steps) {
          for (let each = 0; each < push; each++) {
            const callback = make(next);
            queue.push(callback);
            expected.push(next++);
            functions.push(callback.callback);
          }
          expect([...queue].map((callback) => callback.run())).to.deep.equal(expected);
          for (let each = 0; each < shift; each++) {
            const callback = queue.shift();
            expect(callback?.callback).to.equal(functions.shift());
            expect(callback?.run()).to.equal(expected.shift());
          }
          expect(queue.length).to.equal(expected.length);
        }
      }),
    );
  });

  it("L93 is empty when it has been cleared, and can be used again", () => {
    const queue = new CallbackQueue();
    for (let each = 0; each < 1000; each++) queue.push(make(each));
    queue.shift();
    queue.clear();
    expect([queue.length, queue.shift(), [...queue]]).to.deep.equal([0, undefined, []]);
    queue.push(make(5));
    expect(queue.shift()?.run()).to.equal(5);
    expect(queue.shift()).to.equal(undefined);
  });

  it("L12 keeps nothing of what has left it", async () => {
    const queue = new CallbackQueue();
    const references = (() => {
      const callbacks = Array.from({ length: 600 }, (_, each) => (): number => each);
      for (const callback of callbacks) queue.push(new FreeCallback(callback, []));
      return callbacks.map((callback) => new WeakRef(callback));
    })();
    for (let each = 0; each < 599; each++) queue.shift();
    const kept = (): number => references.filter((reference) => reference.deref() !== undefined).length;
    await collectGarbage(() => kept() === 1);
    expect(kept()).to.equal(1);
    expect(queue.shift()?.run()).to.equal(599);
  });
});
