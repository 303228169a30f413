import { expect } from "chai";
import { Future, ThreadPoolExecutor, dummyExecutor, isFuture, runOnExecutor } from "../../src/concurrent/index.js";
import type { Executor } from "../../src/concurrent/index.js";
import { nextRound } from "../support/real-timers.js";
import { ManualScheduler } from "./manual-scheduler.js";

/** Runs nothing until it is told to, and remembers what it was given. */
class HandExecutor implements Executor {
  readonly submitted: (() => void)[] = [];
  readonly returned: PromiseLike<unknown>[] = [];

  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Promise<Awaited<R>> {
    const result = new Promise<Awaited<R>>((resolve, reject) => {
      this.submitted.push(() => {
        try {
          resolve(fn(...args) as Awaited<R>);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    this.returned.push(result);
    return result;
  }

  run(): void {
    for (const task of this.submitted.splice(0)) task();
  }
}

const shared = new HandExecutor();
const key = Symbol("executor");

class Service {
  readonly executor = new HandExecutor();
  readonly _pool = new HandExecutor();
  readonly [key] = new HandExecutor();
  readonly #pool = new HandExecutor();
  readonly offset = 100;

  get secret(): HandExecutor {
    return this.#pool;
  }

  @runOnExecutor
  async bare(x: number, y: number): Promise<number> {
    return await Promise.resolve(this.offset + x + y);
  }

  @runOnExecutor()
  async called(x: number): Promise<number> {
    return await Promise.resolve(this.offset + x);
  }

  @runOnExecutor({ executor: "_pool" })
  async named(x: number): Promise<number> {
    return await Promise.resolve(this.offset + x);
  }

  @runOnExecutor({ executor: key })
  async bySymbol(x: number): Promise<number> {
    return await Promise.resolve(this.offset + x);
  }

  @runOnExecutor({ executor: shared })
  async byObject(x: number): Promise<number> {
    return await Promise.resolve(this.offset + x);
  }

  @runOnExecutor({ executor: (self: Service) => self.#pool })
  async byFunction(x: number): Promise<number> {
    return await Promise.resolve(this.offset + x);
  }

  readonly field = runOnExecutor(function (this: Service, x: number) {
    return this.offset + x;
  });

  readonly fieldWithOptions = runOnExecutor({ executor: "_pool" })(function (this: Service, x: number) {
    return this.offset + x;
  });
}

describe("runOnExecutor", () => {
  for (const [form, call, pool] of [
    ["@runOnExecutor", (s: Service) => s.bare(3, 4), (s: Service) => s.executor],
    ["@runOnExecutor()", (s: Service) => s.called(7), (s: Service) => s.executor],
    ["@runOnExecutor({ executor: name })", (s: Service) => s.named(7), (s: Service) => s._pool],
    ["@runOnExecutor({ executor: symbol })", (s: Service) => s.bySymbol(7), (s: Service) => s[key]],
    ["@runOnExecutor({ executor })", (s: Service) => s.byObject(7), () => shared],
    ["@runOnExecutor({ executor: function })", (s: Service) => s.byFunction(7), (s: Service) => s.secret],
    ["runOnExecutor(fn)", (s: Service) => s.field(7), (s: Service) => s.executor],
    ["runOnExecutor(options)(fn)", (s: Service) => s.fieldWithOptions(7), (s: Service) => s._pool],
  ] as const) {
    it(`P44 ${form} submits the original with its this and arguments`, async () => {
      const service = new Service();
      const future: Promise<number> = call(service);
      const executor = pool(service);
      expect(executor.submitted).to.have.lengthOf(1);
      executor.run();
      expect(await future).to.equal(107);
    });
  }

  it("P44 the executor is looked up at each call", async () => {
    let current: Executor = dummyExecutor;
    const double = runOnExecutor({ executor: () => current })((x: number) => x * 2);
    expect(await double(1)).to.equal(2);
    const later = new HandExecutor();
    current = later;
    const future = double(2);
    expect(later.submitted).to.have.lengthOf(1);
    later.run();
    expect(await future).to.equal(4);
  });

  it("P44 an inherited and a static method, and a method of an object, find their own executor", () => {
    class Derived extends Service {}
    const derived = new Derived();
    void derived.bare(1, 2);
    expect(derived.executor.submitted).to.have.lengthOf(1);
    class WithStatic {
      static readonly executor = new HandExecutor();
      @runOnExecutor
      static async task(): Promise<number> {
        return await Promise.resolve(1);
      }
    }
    void WithStatic.task();
    expect(WithStatic.executor.submitted).to.have.lengthOf(1);
    const object = { executor: new HandExecutor(), task: runOnExecutor(() => 1) };
    void object.task();
    expect(object.executor.submitted).to.have.lengthOf(1);
  });

  it("P44 done callbacks go to the loop that ioLoop names or is", async () => {
    const loop = new ManualScheduler();
    class Owner {
      readonly executor = dummyExecutor;
      readonly loop = loop;
      @runOnExecutor({ ioLoop: "loop" })
      async named(): Promise<number> {
        return await Promise.resolve(1);
      }
    }
    const named: unknown = new Owner().named();
    if (!isFuture(named)) throw new Error("the wrapper must return a Future");
    const given = runOnExecutor({ executor: dummyExecutor, ioLoop: loop })(() => 2)();
    const order: unknown[] = [];
    given.addDoneCallback((f) => order.push(f.result()));
    expect(loop.queued).to.equal(1);
    named.addDoneCallback((f) => order.push(f.result()));
    loop.iterate();
    expect(order).to.deep.equal([2]);
    await named;
    loop.iterate();
    expect(order).to.deep.equal([2, 1]);
  });

  it("P45 the higher-order form has the type of the function with a Future around its result", async () => {
    const service = new Service();
    const field: (x: number) => Future<number> = service.field;
    expect(field).to.equal(service.field);
    // @ts-expect-error -- the argument is a number
    const text = service.field("1");
    // @ts-expect-error -- the result is a Future of a number
    const wrong: Promise<string> = service.field(1);
    service.executor.run();
    expect(await Promise.all([text, wrong])).to.deep.equal(["1001", 101]);
    const fromAsync: Future<number> = runOnExecutor({ executor: dummyExecutor })(async () => await Promise.resolve(1))();
    expect(await fromAsync).to.equal(1);
  });

  it("P45 the decorator form is for methods declared to return a promise; at run time it takes any", async () => {
    class Sync {
      readonly executor = dummyExecutor;
      // @ts-expect-error -- a decorator cannot turn number into Future<number>
      @runOnExecutor
      plain(x: number): number {
        return x;
      }
    }
    const result: unknown = new Sync().plain(5);
    expect(result).to.be.instanceOf(Future);
    expect(await result).to.equal(5);
  });

  it("P46 returns our Future at once, never what the executor returned", async () => {
    const service = new Service();
    const future = service.field(1);
    expect(future).to.be.instanceOf(Future);
    expect(future).to.not.equal(service.executor.returned[0]);
    expect(future.done()).to.equal(false);
    service.executor.run();
    expect(await future).to.equal(101);
    const own = new Future<number>();
    const executor = { submit: () => own } as unknown as Executor;
    const wrapped = runOnExecutor({ executor })(() => 1)();
    expect(wrapped).to.not.equal(own);
    own.setResult(2);
    expect(wrapped.result()).to.equal(2);
  });

  it("P46 passes on failure and cancellation", async () => {
    const failure = new Error("from the executor");
    const failing = runOnExecutor({ executor: dummyExecutor })((): number => {
      throw failure;
    });
    expect(failing().exception()).to.equal(failure);
    const inner = new Future<number>();
    const cancelled = runOnExecutor({ executor: { submit: () => inner } as unknown as Executor })(() => 1)();
    inner.cancel();
    expect(cancelled.cancelled()).to.equal(true);
    await nextRound();
  });

  it("P46 keeps name and length", () => {
    const service = new Service();
    expect([service.bare.name, service.bare.length]).to.deep.equal(["bare", 2]);
    const wrapped = runOnExecutor(function three(a: number, b: number, c: number) {
      return a + b + c;
    });
    expect([wrapped.name, wrapped.length]).to.deep.equal(["three", 3]);
  });

  describe("called wrongly", () => {
    const loose = runOnExecutor as (...args: unknown[]) => (...args: unknown[]) => unknown;
    const fn = (): number => 1;

    it("P47 more than one plain positional argument is a RangeError", () => {
      expect(() => loose(fn, { executor: dummyExecutor })).to.throw(RangeError, "runOnExecutor(options)(fn)");
      expect(() => loose(fn, fn)).to.throw(RangeError);
      expect(() => loose({}, {})).to.throw(RangeError);
      expect(() => loose()(fn, {})).to.throw(RangeError);
    });

    for (const kind of ["class", "field", "getter", "setter", "accessor"]) {
      it(`P47 on a ${kind} it is a TypeError that says so`, () => {
        expect(() => loose(fn, { kind, name: "x" })).to.throw(TypeError, kind);
        expect(() => loose({})(fn, { kind, name: "x" })).to.throw(TypeError, kind);
      });
    }

    it("P47 a legacy decorator call is a TypeError that says so", () => {
      const descriptor = { value: fn };
      expect(() => loose(Service.prototype, "method", descriptor)).to.throw(TypeError, "experimentalDecorators");
      expect(() => loose({})(Service.prototype, Symbol("method"), descriptor)).to.throw(TypeError, "experimentalDecorators");
      expect(() => loose(Service, "staticMethod", descriptor)).to.throw(TypeError, "experimentalDecorators");
    });

    it("P47 options with an unknown key or of a wrong type are a TypeError", () => {
      expect(() => loose({ pool: dummyExecutor })).to.throw(TypeError, "'pool'");
      expect(() => loose({ executor: true })).to.throw(TypeError, "true");
      expect(() => loose({ ioLoop: true })).to.throw(TypeError, "true");
      expect(() => loose("executor")).to.throw(TypeError, "'executor'");
      expect(() => loose({})("not a function")).to.throw(TypeError, "not a function");
    });

    it("P47 a missing executor or loop is thrown to the caller as a TypeError, and nothing is submitted", () => {
      expect(() => runOnExecutor(fn)()).to.throw(TypeError, "this.executor");
      expect(() => runOnExecutor({ executor: "_pool" })(fn).call({})).to.throw(TypeError, "this._pool");
      expect(() => runOnExecutor({ executor: () => undefined as never })(fn)()).to.throw(TypeError, "undefined");
      const hand = new HandExecutor();
      expect(() => runOnExecutor({ executor: hand, ioLoop: "loop" })(fn).call({})).to.throw(TypeError, "this.loop");
      expect(hand.submitted).to.have.lengthOf(0);
    });

    it("P47 what submit itself throws is thrown to the caller", () => {
      const refusing: Executor = {
        submit: () => {
          throw new Error("shut down");
        },
      };
      expect(() => runOnExecutor({ executor: refusing })(fn)()).to.throw(Error, "shut down");
    });
  });

  it("P48 cancelling the returned Future does not stop the work", () => {
    const service = new Service();
    const calls: string[] = [];
    const future = runOnExecutor({ executor: service.executor })(() => calls.push("worked"))();
    expect(future.cancel()).to.equal(true);
    service.executor.run();
    expect(calls).to.deep.equal(["worked"]);
    expect(future.cancelled()).to.equal(true);
  });

  it("P44 a function called without this is submitted itself, so that it can go to a thread", async () => {
    const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
    try {
      const square = runOnExecutor({ executor: pool })((x: number) => x * x);
      expect(await square(7)).to.equal(49);
      const bound = { square };
      expect(() => bound.square(7)).to.throw(TypeError, "cannot travel");
    } finally {
      await pool.shutdown();
    }
  });
});
