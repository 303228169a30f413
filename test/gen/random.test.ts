/** Random interleavings of everything that can happen to waiters (primitives.md P154; issue 4, properties). fast-check prints the seed. */
import { getEventListeners } from "node:events";

import { expect } from "chai";
import fc from "fast-check";

import type { Future } from "../../src/concurrent/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { BoundedSemaphore, Condition, Event, Lock, type Releaser, Semaphore } from "../../src/locks/index.js";
import { LifoQueue, PriorityQueue, Queue } from "../../src/queues/index.js";
import { ManualLoop } from "./manual-loop.js";

/** A wait under way, with what may end it. */
interface Pending<T> {
  readonly id: number;
  readonly future: Future<T>;
  readonly controller: AbortController | undefined;
}

const deadline = fc.option(fc.integer({ min: -1, max: 5 }), { nil: undefined });
const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant("call" as const), deadline, signal: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("give" as const) }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant("put" as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom("cancel" as const, "abort" as const), which: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("pass" as const), time: fc.integer({ min: 0, max: 3 }) }) },
  ),
  { minLength: 20, maxLength: 120 },
);

function options(step: { deadline: number | undefined; signal: boolean }): {
  timeout?: object;
  signal?: AbortSignal;
  controller?: AbortController;
} {
  const controller = step.signal ? new AbortController() : undefined;
  return {
    ...(step.deadline === undefined ? {} : { timeout: seconds(step.deadline) }),
    ...(controller === undefined ? {} : { signal: controller.signal, controller }),
  };
}

/** Ends one of the waits, the way the step says. */
function end(step: { type: "cancel" | "abort"; which: number }, waits: readonly Pending<unknown>[]): void {
  const open = waits.filter(({ future }) => !future.done());
  const one = open[step.which % Math.max(open.length, 1)];
  if (one === undefined) return;
  if (step.type === "abort" && one.controller !== undefined) one.controller.abort(new Error("aborted"));
  else one.future.cancel();
}

/** Reads every failure, so that none is reported as never retrieved, and tells who succeeded. */
function succeeded(waits: readonly Pending<unknown>[]): number[] {
  return waits.filter(({ future }) => future.done() && !future.cancelled() && future.exception() === undefined).map(({ id }) => id);
}

function expectNothingLeft(manual: ManualLoop, waits: readonly Pending<unknown>[], open: number): void {
  for (const { future, controller } of waits) {
    if (!future.done() || controller === undefined) continue;
    expect(getEventListeners(controller.signal, "abort").length).to.equal(0);
  }
  expect(waits.filter(({ future }) => !future.done()).length).to.equal(open);
  for (const { future } of waits) if (!future.done()) future.cancel();
  expect(manual.timers).to.equal(0);
}

const permits: readonly (readonly [string, number, () => Lock | Semaphore, (it: Lock | Semaphore) => string])[] = [
  ["Lock", 1, () => new Lock(), (it) => String((it as Lock)._block)],
  ["Semaphore", 3, () => new Semaphore(3), String],
  ["BoundedSemaphore", 2, () => new BoundedSemaphore(2), String],
];

const queues: readonly (readonly [string, (maxsize: number) => Queue<number>])[] = [
  ["Queue", (maxsize) => new Queue<number>(maxsize)],
  ["PriorityQueue", (maxsize) => new PriorityQueue<number>(maxsize)],
  ["LifoQueue", (maxsize) => new LifoQueue<number>(maxsize)],
];

describe("random interleavings", function () {
  this.timeout(60_000);
  let manual: ManualLoop;

  beforeEach(() => {
    manual = new ManualLoop();
  });

  for (const [name, initial, make, show] of permits) {
    it(`P154 P51 ${name}: no permit is lost or made, and waiters are served in order`, () => {
      fc.assert(
        fc.property(steps, (program) => {
          const it = make();
          const waits: Pending<Releaser>[] = [];
          const held: Releaser[] = [];
          const granted: number[] = [];
          const collect = (): void => {
            const fresh = succeeded(waits).filter((id) => !granted.includes(id));
            // At most one is granted per step but for calls that succeed at once, so order of arrival is order of ids.
            for (const id of fresh) {
              const overtaken = waits.filter((other) => other.id < id && !other.future.done());
              expect(overtaken.length, "overtook a waiter").to.equal(0);
              granted.push(id);
              held.push(waits[id]!.future.result());
            }
          };
          for (const step of program) {
            if (step.type === "call") {
              const { controller, ...rest } = options(step);
              waits.push({ id: waits.length, future: it.acquire(rest), controller });
            } else if (step.type === "give") held.shift()?.release();
            else if (step.type === "cancel" || step.type === "abort") end(step, waits);
            else if (step.type === "pass") {
              manual.clock.advance(step.time);
              manual.loop.runIteration();
            }
            collect();
            const value = Number(/value:(\d+)/.exec(show(it))?.[1] ?? 0);
            expect(held.length + value, "permits out plus counter").to.equal(initial);
            const waiting = Number(/waiters:(\d+)/.exec(show(it))?.[1] ?? 0);
            expect(waiting).to.equal(waits.filter(({ future }) => !future.done()).length);
          }
          expectNothingLeft(manual, waits, waits.filter(({ future }) => !future.done()).length);
          for (const each of held) each.release();
          expect(show(it)).to.contain(`value:${initial}`);
        }),
        { numRuns: 60 },
      );
    });
  }

  for (const [name, make] of queues) {
    it(`P154 P102 ${name}: no item is lost, doubled or out of its rule, and join resolves exactly when all is done`, () => {
      fc.assert(
        fc.property(steps, fc.integer({ min: 0, max: 3 }), (program, maxsize) => {
          const q = make(maxsize);
          const gets: Pending<number>[] = [];
          const puts: (Pending<void> & { item: number })[] = [];
          const inside = new Set<number>();
          const received: number[] = [];
          let finished = 0;
          let entered = 0;
          let joiner: Future<void> | undefined;
          const seen = new Set<Pending<unknown>>();
          const sync = (): void => {
            for (const put of puts) {
              if (seen.has(put) || !put.future.done()) continue;
              seen.add(put);
              if (put.future.cancelled() || put.future.exception() !== undefined) continue;
              inside.add(put.item);
              entered++;
            }
            for (const get of gets) {
              if (seen.has(get) || !get.future.done()) continue;
              seen.add(get);
              if (get.future.cancelled() || get.future.exception() !== undefined) continue;
              const item = get.future.result();
              expect(inside.has(item), "an item that is not inside").to.equal(true);
              // The rule, among what was inside at that moment.
              const rule = name === "PriorityQueue" ? Math.min(...inside) : name === "LifoQueue" ? [...inside].at(-1) : [...inside][0];
              expect(item).to.equal(rule);
              inside.delete(item);
              received.push(item);
            }
          };
          let next = 0;
          for (const [i, step] of program.entries()) {
            if (step.type === "call") {
              const { controller, ...rest } = options(step);
              gets.push({ id: gets.length, future: q.get(rest), controller });
            } else if (step.type === "put") {
              // Not in order, so that the rule of PriorityQueue shows.
              const item = (next++ * 7919) % 1000;
              const { controller, ...rest } = options({ deadline: i % 3 === 0 ? 2 : undefined, signal: i % 2 === 0 });
              puts.push({ id: puts.length, future: q.put(item, rest), controller, item });
            } else if (step.type === "give") {
              if (received.length > finished) {
                q.taskDone();
                finished++;
              }
              if (joiner === undefined || joiner.done()) joiner = q.join();
            } else if (step.type === "pass") {
              manual.clock.advance(step.time);
              manual.loop.runIteration();
            } else end(step, i % 2 === 0 ? gets : puts);
            sync();
            expect(q.qsize()).to.equal(inside.size);
            if (maxsize > 0) expect(q.qsize()).to.be.at.most(maxsize);
            if (joiner !== undefined && entered > finished && !joiner.done()) expect(q.join().done()).to.equal(false);
            if (entered === finished) expect(q.join().done()).to.equal(true);
            if (joiner !== undefined && !joiner.done()) expect(entered).to.be.greaterThan(finished);
          }
          expect(new Set(received).size).to.equal(received.length);
          const open = [...gets, ...puts].filter(({ future }) => !future.done()).length;
          expectNothingLeft(manual, [...gets, ...puts], open);
          while (q.qsize() > 0) {
            received.push(q.getNowait());
          }
          expect(received.length).to.equal(entered);
          for (; finished < entered; finished++) q.taskDone();
          if (joiner !== undefined) expect(joiner.done()).to.equal(true);
          expect(() => q.taskDone()).to.throw(RangeError);
        }),
        { numRuns: 80 },
      );
    });
  }

  for (const [name, make] of [
    ["Condition", () => new Condition()],
    ["Event", () => new Event()],
  ] as const) {
    it(`P154 P68 ${name}: the live are woken in order, and nothing is left`, () => {
      fc.assert(
        fc.property(steps, (program) => {
          const it = make();
          const waits: Pending<boolean>[] = [];
          for (const step of program) {
            if (step.type === "call") {
              const { controller, ...rest } = options(step);
              waits.push({ id: waits.length, future: it.wait(rest), controller });
            } else if (step.type === "give") {
              const open = waits.filter(({ future }) => !future.done());
              if (it instanceof Event) {
                it.set();
                expect(open.every(({ future }) => future.result())).to.equal(true);
                it.clear();
              } else {
                it.notify(2);
                expect(open.map(({ future }) => future.done())).to.deep.equal(open.map((_, i) => i < 2));
                for (const { future } of open.slice(0, 2)) expect(future.result()).to.equal(true);
              }
            } else if (step.type === "cancel" || step.type === "abort") end(step, waits);
            else if (step.type === "pass") {
              manual.clock.advance(step.time);
              manual.loop.runIteration();
            }
            succeeded(waits);
            const open = waits.filter(({ future }) => !future.done()).length;
            expect(Number(/waiters\[(\d+)\]/.exec(String(it))?.[1] ?? 0)).to.equal(open);
          }
          expectNothingLeft(manual, waits, waits.filter(({ future }) => !future.done()).length);
        }),
        { numRuns: 60 },
      );
    });
  }

  it("P154 P73 P75 a lock with conditions: one holder at a time, and the lock is free at the end", () => {
    fc.assert(
      fc.property(steps, (program) => {
        const lock = new Lock();
        const condition = new Condition(lock);
        const acquires: Pending<Releaser>[] = [];
        const waits: (Pending<boolean> & { releaser: Releaser })[] = [];
        const everyone = (): Releaser[] => [
          ...acquires
            .filter(({ future }) => future.done() && !future.cancelled() && future.exception() === undefined)
            .map(({ future }) => future.result()),
        ];
        const holders = (): Releaser[] => everyone().filter((each) => !each.released);
        for (const [i, step] of program.entries()) {
          const [holder] = holders();
          const { controller, ...rest } = step.type === "call" ? options(step) : { controller: undefined };
          if (step.type === "call" && i % 2 === 0) acquires.push({ id: acquires.length, future: lock.acquire(rest), controller });
          else if (step.type === "call" && holder !== undefined) {
            waits.push({ id: waits.length, future: condition.wait(rest), controller, releaser: holder });
          } else if (step.type === "give") holder?.release();
          else if (step.type === "put") condition.notify();
          else if (step.type === "cancel" || step.type === "abort") end(step, i % 2 === 0 ? acquires : waits);
          else if (step.type === "pass") {
            manual.clock.advance(step.time);
            manual.loop.runIteration();
          }
          succeeded(acquires);
          succeeded(waits);
          expect(holders().length, "holders").to.be.at.most(1);
          expect(lock.locked()).to.equal(holders().length === 1);
        }
        for (const { future } of [...acquires, ...waits]) if (!future.done()) future.cancel();
        for (const each of holders()) each.release();
        expect(lock.locked()).to.equal(false);
        expect(manual.timers).to.equal(0);
        expect(String(lock)).to.not.contain("waiters");
        expect(String(condition)).to.equal("<Condition>");
      }),
      { numRuns: 100 },
    );
  });
});
