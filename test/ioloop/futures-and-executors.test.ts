/** `addFuture` and `runInExecutor` (L84-L90). */
import { availableParallelism } from "node:os";
import { inspect } from "node:util";
import { expect } from "chai";
import sinon from "sinon";
import { CancelledError, DummyExecutor, type Executor, Future, ThreadPoolExecutor } from "../../src/concurrent/index.js";
import { runSource } from "../support/child.js";
import { eachCombination } from "../support/combinations.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { makeFakeLoop } from "./driving.js";

const ENDINGS: readonly [name: string, end: (future: Future<number>) => void][] = [
  ["a result", (future) => future.setResult(7)],
  ["an exception", (future) => future.setException(new Error("expected"))],
  ["a cancellation", (future) => void future.cancel()],
];

/** Reads a Future's exception, so that it does not count as never retrieved. */
function read(future: Future<unknown>): void {
  if (!future.cancelled()) future.exception();
}

describe("IOLoop: addFuture", () => {
  for (const [name, end] of ENDINGS) {
    it(`L84 the callback runs in the very next iteration after ${name}, in its place in the queue, with the Future alone`, async () => {
      const { loop } = makeFakeLoop();
      const order: string[] = [];
      const future = new Future<number>();
      const callback = sinon.spy((done: Future<number>) => {
        order.push(`future ${loop.statistics().iterations}`);
        read(done);
      });
      loop.addFuture(future, callback);
      loop.addCallback(() => {
        loop.addCallback(() => order.push(`before ${loop.statistics().iterations}`));
        end(future);
        expect(callback.callCount).to.equal(0);
        loop.addCallback(() => order.push(`after ${loop.statistics().iterations}`));
        loop.addCallback(loop.stop);
      });
      await loop.start();
      expect(order).to.deep.equal(["before 2", "future 2", "after 2"]);
      expect(callback.args).to.deep.equal([[future]]);
    });

    it(`L84 on a Future that has ${name} already the callback never runs inside the call`, () => {
      const { loop } = makeFakeLoop();
      const future = new Future<number>();
      end(future);
      const callback = sinon.spy(read);
      loop.addFuture(future, callback);
      expect(callback.callCount).to.equal(0);
      loop.runIteration();
      loop.runIteration();
      expect(callback.args).to.deep.equal([[future]]);
    });
  }

  eachCombination((_name, makeLoop) => {
    it("L84 a Future settled from outside ends the wait", async () => {
      const loop = makeLoop();
      const future = new Future<number>();
      const callback = sinon.spy(loop.stop);
      loop.addFuture(future, callback);
      const run = loop.start();
      await nextRound();
      await nextRound();
      future.setResult(7);
      expect(callback.callCount).to.equal(0);
      await run;
      expect(callback.args).to.deep.equal([[future]]);
    });
  });

  it("L84 belongs to the loop it was called on, also if another is current", () => {
    const { loop: other } = makeFakeLoop();
    const { loop } = makeFakeLoop();
    const future = new Future<number>();
    const callback = sinon.spy();
    loop.addFuture(future, callback);
    future.setResult(7);
    other.runIteration();
    expect(callback.callCount).to.equal(0);
    loop.runIteration();
    expect(callback.callCount).to.equal(1);
  });

  for (const wrong of [Promise.resolve(1), { then: () => undefined }, undefined, null, 7, () => undefined]) {
    it(`L85 refuses ${inspect(wrong)} and says to convert it first`, () => {
      const { loop } = makeFakeLoop();
      const callback = sinon.spy();
      expect(() => loop.addFuture(wrong as unknown as Future<void>, callback)).to.throw(TypeError, /^future is .*convert/);
      loop.runIteration();
      expect(callback.callCount).to.equal(0);
    });
  }

  it("L85 L20 refuses a callback that is no function", () => {
    const { loop } = makeFakeLoop();
    expect(() => loop.addFuture(new Future<void>(), "f" as unknown as () => void)).to.throw(TypeError, /callback is 'f'/);
  });

  it("L86 an error of the callback goes to handleCallbackException; the Future's own is not logged", () => {
    const { loop } = makeFakeLoop();
    const caught: unknown[][] = [];
    loop.handleCallbackException = (...args) => caught.push(args);
    const error = new Error("of the callback");
    const failing = (future: Future<void>): never => {
      read(future);
      throw error;
    };
    const silent = sinon.spy(read);
    const future = new Future<void>();
    loop.addFuture(future, failing);
    loop.addFuture(future, silent);
    future.setException(new Error("of the Future"));
    loop.runIteration();
    expect(caught).to.deep.equal([[failing, error]]);
    expect(silent.callCount).to.equal(1);
    expect(logRecords()).to.deep.equal([]);
  });

  it("L94 on a closed loop the callback is dropped", () => {
    const { loop } = makeFakeLoop();
    const pending = new Future<number>();
    const callback = sinon.spy();
    loop.addFuture(pending, callback);
    loop.close();
    pending.setResult(1);
    loop.addFuture(pending, callback);
    expect(callback.callCount).to.equal(0);
  });
});

/** An executor whose results the test gives. */
class ManualExecutor implements Executor {
  readonly submitted: unknown[][] = [];
  readonly shutdown: sinon.SinonStub<[wait?: boolean], void> = sinon.stub<[wait?: boolean], void>();
  resolve: (value: never) => void = () => undefined;
  reject: (error: unknown) => void = () => undefined;

  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Promise<Awaited<R>> {
    this.submitted.push([fn, ...args]);
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

function add(a: number, b: number): number {
  return a + b;
}

describe("IOLoop: runInExecutor", () => {
  it("L87 submits once, and settles the Future from an iteration of this loop", async () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    const future = loop.runInExecutor(executor, add, 1, 2);
    expect(executor.submitted).to.deep.equal([[add, 1, 2]]);
    expect(future).to.be.instanceOf(Future);
    executor.resolve(3 as never);
    await nextRound();
    expect(future.done()).to.equal(false);
    loop.runIteration();
    expect(future.result()).to.equal(3);
  });

  it("L87 has the same failure", async () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    for (const reason of [new Error("expected"), new CancelledError(), "a string", undefined]) {
      const future = loop.runInExecutor(executor, add, 1, 2);
      executor.reject(reason);
      await nextRound();
      loop.runIteration();
      const [outcome] = await Promise.allSettled([future]);
      expect(outcome).to.deep.equal({ status: "rejected", reason });
    }
  });

  it("L87 throws what submit() itself throws", () => {
    const { loop } = makeFakeLoop();
    const error = new Error("no more work");
    const executor = {
      submit(): never {
        throw error;
      },
    };
    expect(() => loop.runInExecutor(executor, add, 1, 2)).to.throw(error);
    expect(loop.statistics().callbacks).to.equal(0);
  });

  it("L87 works with an executor that runs the function at once", () => {
    const { loop } = makeFakeLoop();
    const future = loop.runInExecutor(new DummyExecutor(), add, 1, 2);
    expect(future.done()).to.equal(false);
    return nextRound().then(() => {
      loop.runIteration();
      expect(future.result()).to.equal(3);
    });
  });

  it("L87 a Future that was cancelled meanwhile stays so", async () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    const future = loop.runInExecutor(executor, add, 1, 2);
    future.cancel();
    executor.resolve(3 as never);
    await nextRound();
    loop.runIteration();
    expect(future.cancelled()).to.equal(true);
  });

  it("L87 refuses what is no executor or no function", () => {
    const { loop } = makeFakeLoop();
    expect(() => loop.runInExecutor({} as Executor, add, 1, 2)).to.throw(TypeError, /executor is .*submit/);
    expect(() => loop.runInExecutor(undefined, "f" as unknown as () => void)).to.throw(TypeError, /func is 'f'/);
    expect(() => loop.setDefaultExecutor({} as Executor)).to.throw(TypeError, /executor is/);
  });

  it("L88 undefined means the executor given to setDefaultExecutor()", async () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    loop.setDefaultExecutor(executor);
    const future = loop.runInExecutor(undefined, add, 1, 2);
    expect(executor.submitted).to.deep.equal([[add, 1, 2]]);
    executor.resolve(3 as never);
    await nextRound();
    loop.runIteration();
    expect(await future).to.equal(3);
  });

  it("L88 else one pool, made on first use, of at most five workers for each CPU", () => {
    const pools: ThreadPoolExecutor[] = [];
    sinon.stub(ThreadPoolExecutor.prototype, "submit").callsFake(function (this: ThreadPoolExecutor) {
      pools.push(this);
      return new Future<never>();
    });
    const { loop } = makeFakeLoop();
    void loop.runInExecutor(undefined, add, 1, 2);
    void loop.runInExecutor(undefined, add, 1, 2);
    expect(pools).to.have.length(2);
    expect(pools[0]).to.equal(pools[1]);
    expect(pools[0]?.maxWorkers).to.be.within(1, 5 * availableParallelism());
  });

  it("L88 a pool at rest does not keep the process alive", async function () {
    this.timeout(20_000);
    const child = await runSource(`
      import { IOLoop } from "../src/ioloop/index.js";
      const loop = IOLoop.current();
      const value = await loop.runSync(() => loop.runInExecutor(undefined, (a: number, b: number) => a + b, 1, 2));
      process.stdout.write(String(value));
      const begun = performance.now();
      process.on("exit", () => process.stdout.write(performance.now() - begun < 5000 ? " at once" : " late"));
    `);
    expect(child).to.include({ stdout: "3 at once", stderr: "", code: 0, timedOut: false });
  });

  eachCombination((_name, makeLoop) => {
    it("L89 two blocking functions run at the same time in the default executor", async () => {
      const loop = makeLoop();
      const shared = new SharedArrayBuffer(8);
      // Each says that it is there and waits for the other: one after the other they would wait in vain.
      const meet = (memory: SharedArrayBuffer, own: number): string => {
        const cells = new Int32Array(memory);
        Atomics.store(cells, own, 1);
        Atomics.notify(cells, own);
        return Atomics.wait(cells, 1 - own, 0, 8000);
      };
      const results = await loop.runSync(() =>
        Promise.all([loop.runInExecutor(undefined, meet, shared, 0), loop.runInExecutor(undefined, meet, shared, 1)]),
      );
      expect(results).to.not.include("timed-out");
    }).timeout(20_000);
  });

  it("L90 close() shuts the default executor down, once", () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    loop.setDefaultExecutor(executor);
    expect(executor.shutdown.callCount).to.equal(0);
    loop.close();
    loop.close();
    expect(executor.shutdown.callCount).to.equal(1);
  });

  it("L90 close() leaves an executor alone that was only passed to runInExecutor()", () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    void loop.runInExecutor(executor, add, 1, 2);
    loop.close();
    expect(executor.shutdown.callCount).to.equal(0);
  });

  it("L90 an executor without shutdown() is fine, and one that fails is logged", async () => {
    const { loop } = makeFakeLoop();
    loop.setDefaultExecutor({ submit: () => new Promise(() => undefined) });
    loop.close();
    const { loop: second } = makeFakeLoop();
    const executor = new ManualExecutor();
    second.setDefaultExecutor(Object.assign(executor, { shutdown: () => Promise.reject(new Error("still busy")) }));
    expectLog("application", "error", /executor[^]*still busy/);
    second.close();
    await nextRound();
  });

  it("L90 what an executor still answers after close() settles the Future, for nobody else will", async () => {
    const { loop } = makeFakeLoop();
    const executor = new ManualExecutor();
    const future = loop.runInExecutor(executor, add, 1, 2);
    loop.close();
    executor.resolve(3 as never);
    expect(await future).to.equal(3);
  });
});
