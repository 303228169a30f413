/** coroutine (primitives.md P138-P150). */
import { AsyncLocalStorage } from "node:async_hooks";

import { expect } from "chai";

import { CancelledError, Future } from "../../src/concurrent/index.js";
import { BadYieldError, coroutine, isCoroutineFunction, moment, Return, sleep, type Yieldable } from "../../src/gen/index.js";
import { expectLog } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { useManualLoop } from "./manual-loop.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- what a yield gives depends on what was yielded
type Steps<R = any> = Generator<Yieldable, R>;

function done<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

describe("coroutine", () => {
  const fixture = useManualLoop();

  it("P138 runs synchronously to the first pending yield, passes on this and arguments, and never throws", async () => {
    const { manual } = fixture;
    const log: unknown[] = [];
    const pending = new Future<number>();
    const object = {
      run: coroutine(function* (this: unknown, a: number, b: string): Steps {
        log.push(this, a, b, yield done(1));
        log.push(yield pending);
      }),
    };
    const future = object.run(1, "x");
    expect(log).to.deep.equal([object, 1, "x", 1]);
    pending.setResult(2);
    await manual.turn();
    expect(future.done()).to.equal(true);
    expect(log.at(-1)).to.equal(2);
    const wrong = new Error("wrong");
    // eslint-disable-next-line require-yield -- it fails before the first
    const thrower = coroutine(function* (): Steps {
      throw wrong;
    });
    expect(thrower().exception()).to.equal(wrong);
    // eslint-disable-next-line require-yield -- it returns before the first
    const direct = coroutine(function* (): Steps<number> {
      return 5;
    });
    expect(direct().result()).to.equal(5);
    expect(() => coroutine(5 as never)).to.throw(TypeError, /^fn is/);
  });

  it("P139 a plain function works: value, error or promise is the outcome", async () => {
    const wrong = new Error("wrong");
    expect(coroutine((x: number) => x + 1)(1).result()).to.equal(2);
    expect(
      coroutine((): number => {
        throw wrong;
      })().exception(),
    ).to.equal(wrong);
    expect(await coroutine(async () => "later")()).to.equal("later");
    expect(await coroutine(async () => Promise.reject(wrong))().catch((error: unknown) => error)).to.equal(wrong);
  });

  it("P140 return and throw new Return give the value, before and after a yield and inside a catch", async () => {
    const { manual } = fixture;
    const make = (early: boolean, inCatch: boolean, value?: number): (() => Future<unknown>) =>
      coroutine(function* (): Steps {
        if (!early) yield moment;
        if (!inCatch) throw new Return(value);
        try {
          throw new Error("caught");
        } catch {
          throw new Return(value);
        }
      });
    for (const early of [true, false]) {
      for (const inCatch of [true, false]) {
        const futures = [make(early, inCatch, 7)(), make(early, inCatch)()];
        await manual.turn();
        expect(futures.map((each) => each.result())).to.deep.equal([7, undefined]);
      }
    }
    expect(
      coroutine((): number => {
        throw new Return(3);
      })().result(),
    ).to.equal(3);
    const inner = make(true, false, 1);
    const outer = coroutine(function* (): Steps {
      return ["outer", yield inner()];
    });
    expect(outer().result()).to.deep.equal(["outer", 1]);
  });

  it("P141 yield gives the value of what was yielded, collections too", async () => {
    const { manual } = fixture;
    const run = coroutine(function* (): Steps {
      const list: unknown = yield [done(1), Promise.resolve(2)];
      const object: unknown = yield { a: done(3) };
      const map: unknown = yield new Map([["k", done(4)]]);
      const native: unknown = yield (async () => 5)();
      const nothing: unknown = yield undefined;
      return [list, object, map, native, nothing];
    });
    const future = run();
    for (let i = 0; i < 10 && !future.done(); i++) {
      await nextRound();
      await manual.turn();
    }
    expect(future.result()).to.deep.equal([[1, 2], { a: 3 }, new Map([["k", 4]]), 5, undefined]);
  });

  it("P142 what is done is consumed at once, and a moment gives the others their turn", async () => {
    const { manual } = fixture;
    const run = async (first: () => Yieldable, second: () => Yieldable): Promise<string> => {
      let text = "";
      const letter = coroutine(function* (char: string, what: () => Yieldable): Steps {
        for (let i = 0; i < 5; i++) {
          text += char;
          yield what();
        }
      });
      const futures = [letter("a", first), letter("b", second)];
      while (futures.some((each) => !each.done())) await manual.turn();
      return text;
    };
    const ready = (): Yieldable => done(1);
    const turn = (): Yieldable => moment;
    expect(await run(ready, ready)).to.equal("aaaaabbbbb");
    expect(await run(turn, turn)).to.equal("ababababab");
    expect(
      await run(
        () => undefined,
        () => undefined,
      ),
    ).to.equal("ababababab");
    expect(await run(turn, ready)).to.equal("abbbbbaaaa");
    const many = coroutine(function* (): Steps<number> {
      const one = done(1);
      let sum = 0;
      for (let i = 0; i < 1_000_000; i++) sum += (yield one) as number;
      return sum;
    });
    expect(many().result()).to.equal(1_000_000);
  });

  it("P143 a pending Future resumes the generator in the iteration after it settles", async () => {
    const { manual } = fixture;
    let resumed = false;
    const future = new Future<void>();
    void coroutine(function* (): Steps {
      yield future;
      resumed = true;
    })();
    future.setResult();
    expect(resumed).to.equal(false);
    await nextRound();
    expect(resumed).to.equal(false);
    manual.loop.runIteration();
    expect(resumed).to.equal(true);
  });

  it("P144 a failure is thrown at the yield, to be caught, replaced or let out", async () => {
    const { manual } = fixture;
    const wrong = new Error("wrong");
    const failing = (): Future<never> => {
      const future = new Future<never>();
      manual.loop.addCallback(() => future.setException(wrong));
      return future;
    };
    const caught = coroutine(function* (): Steps {
      try {
        yield failing();
      } catch (error) {
        return ["caught", error];
      }
      return undefined;
    })();
    const replaced = coroutine(function* (): Steps {
      try {
        yield failing();
      } catch (error) {
        throw new TypeError("replaced", { cause: error });
      }
    })();
    const out = coroutine(function* (): Steps {
      yield failing();
    })();
    await manual.turn();
    await manual.turn();
    expect(caught.result()).to.deep.equal(["caught", wrong]);
    expect(replaced.exception()).to.be.instanceOf(TypeError).with.property("cause", wrong);
    expect(out.exception()).to.equal(wrong);
  });

  it("P145 what cannot be waited for is thrown at that yield", () => {
    const run = coroutine(function* (bad: unknown): Steps {
      try {
        yield bad as Yieldable;
      } catch (error) {
        return error;
      }
      return undefined;
    });
    for (const bad of [1, "x", null, new Date(), [1]]) expect(run(bad).result()).to.be.instanceOf(BadYieldError);
    const escaping = coroutine(function* (): Steps {
      yield 5 as unknown as Yieldable;
    });
    expect(escaping().exception()).to.be.instanceOf(BadYieldError);
  });

  it("P146 a cancelled Future throws its CancelledError at the yield, and if that escapes the coroutine is cancelled", async () => {
    const { manual } = fixture;
    const awaited = new Future<void>();
    const caught = coroutine(function* (): Steps {
      try {
        yield awaited;
      } catch (error) {
        return error as Error;
      }
      return undefined;
    })();
    const escaping = coroutine(function* (): Steps<undefined> {
      yield awaited;
    })();
    awaited.cancel("gone");
    await manual.turn();
    expect(caught.result()).to.be.instanceOf(CancelledError).with.property("message", "gone");
    expect(escaping.cancelled()).to.equal(true);
    expect(() => void escaping.result()).to.throw(CancelledError, "gone");
  });

  it("P147 cancel() settles at once and interrupts nothing", async () => {
    const { manual } = fixture;
    const awaited = new Future<void>();
    let finished = 0;
    const make = (end: () => number): Future<unknown> =>
      coroutine(function* (): Steps<number> {
        yield awaited;
        finished++;
        return end();
      })();
    const dropped = make(() => 1);
    const failing = make(() => {
      throw new Error("nobody is told");
    });
    expect([dropped.cancel(), failing.cancel()]).to.deep.equal([true, true]);
    expect(awaited.done()).to.equal(false);
    expectLog("application", "error", /after Future was cancelled[^]*nobody is told/);
    awaited.setResult();
    await manual.turn();
    expect(finished).to.equal(2);
    expect(dropped.cancelled()).to.equal(true);
  });

  it("P148 every run sees the stores of the call, and what is entered inside does not leak", async () => {
    const { manual } = fixture;
    const store = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const awaited = new Future<void>();
    const run = coroutine(function* (): Steps {
      seen.push(store.getStore());
      store.enterWith("inside");
      yield moment;
      seen.push(store.getStore());
      store.enterWith("inside again");
      yield awaited;
      seen.push(store.getStore());
    });
    store.run("caller", () => {
      void run();
      expect(store.getStore()).to.equal("caller");
    });
    await manual.turn();
    store.run("settler", () => awaited.setResult());
    manual.loop.addCallback(() => seen.push(["callback", store.getStore()]));
    await manual.turn();
    expect(seen).to.deep.equal(["caller", "caller", "caller", ["callback", undefined]]);
    expect(store.getStore()).to.equal(undefined);
  });

  it("P149 the wrapper has the name, shows what it wraps, and is known as a coroutine", () => {
    function* original(_a: number, _b: number): Steps {
      yield moment;
    }
    const wrapper = coroutine(original);
    expect([wrapper.name, wrapper.length, wrapper.wrapped]).to.deep.equal(["original", 2, original]);
    expect(isCoroutineFunction(wrapper)).to.equal(true);
    expect(isCoroutineFunction(original)).to.equal(false);
    const future = coroutine(() => 1)();
    for (const other of [future, undefined, async () => 1, {}]) expect(isCoroutineFunction(other)).to.equal(false);
  });

  it("P150 a suspended coroutine is kept alive by what it waits for", async () => {
    const { manual } = fixture;
    let finished = false;
    const awaited = new Future<void>();
    (() => {
      void coroutine(function* (): Steps {
        yield sleep(1);
        yield awaited;
        finished = true;
      })();
    })();
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await nextRound();
    }
    await manual.advance(2);
    await manual.turn();
    globalThis.gc?.();
    await nextRound();
    awaited.setResult();
    await manual.turn();
    expect(finished).to.equal(true);
  });
});
