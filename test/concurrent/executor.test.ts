import { expect } from "chai";
import { DummyExecutor, Future, ThreadPoolExecutor, dummyExecutor } from "../../src/concurrent/index.js";
import type { Executor } from "../../src/concurrent/index.js";
import { collectWhatIsDropped } from "./collect-garbage.js";

const boom = new Error("boom");

describe("dummyExecutor", () => {
  after(() => collectWhatIsDropped());

  it("P43 has called the function when submit returns, with its arguments, and the Future is done with the value", () => {
    const calls: unknown[] = [];
    const future: Future<string> = dummyExecutor.submit(
      (a: number, b: string) => {
        calls.push([a, b]);
        return b + String(a);
      },
      1,
      "two",
    );
    expect(calls).to.deep.equal([[1, "two"]]);
    expect(future.result()).to.equal("two1");
  });

  it("P43 keeps what the function throws for the Future, also undefined", () => {
    const future = dummyExecutor.submit((): never => {
      throw boom;
    });
    expect(future.exception()).to.equal(boom);
    const odd = dummyExecutor.submit((): never => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what other code may do
      throw undefined;
    });
    expect(odd.done()).to.equal(true);
    expect(() => odd.result()).to.throw();
  });

  it("P43 follows a PromiseLike that the function returns", async () => {
    const value: Future<number> = dummyExecutor.submit(() => Promise.resolve(5));
    expect(value.done()).to.equal(false);
    expect(await value).to.equal(5);
    const inner = new Future<number>();
    const outer = dummyExecutor.submit(() => inner);
    inner.setResult(6);
    expect(outer.result()).to.equal(6);
    expect(await dummyExecutor.submit(() => Promise.reject(boom)).catch((error: unknown) => error)).to.equal(boom);
  });

  it("P43 a returned thenable whose then cannot be read fails the Future", () => {
    const future = dummyExecutor.submit(() => ({
      get then(): never {
        throw boom;
      },
    }));
    expect(future.exception()).to.equal(boom);
  });

  it("P43 shutdown changes nothing", () => {
    const executor = new DummyExecutor();
    executor.shutdown();
    executor.shutdown(true);
    expect(executor.submit(() => 1).result()).to.equal(1);
  });

  it("P43 refuses what is no function", () => {
    expect(() => dummyExecutor.submit(5 as never)).to.throw(TypeError, "5");
  });

  it("P43 both executors are Executors to the type checker, and so is any object with submit", () => {
    const own: Executor = {
      submit: <A extends unknown[], R>(fn: (...args: A) => R, ...args: A) => Promise.resolve(fn(...args)),
    };
    const executors: Executor[] = [dummyExecutor, new ThreadPoolExecutor({ maxWorkers: 1 }), own];
    expect(executors).to.have.lengthOf(3);
  });
});
