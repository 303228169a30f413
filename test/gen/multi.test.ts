/** multi, convertYielded, maybeFuture (primitives.md 3.8, 3.11). */
import { expect } from "chai";

import { CancelledError, Future } from "../../src/concurrent/index.js";
import { BadYieldError, convertYielded, maybeFuture, moment, Multi, multi, multiFuture, type Yieldable } from "../../src/gen/index.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { useManualLoop } from "./manual-loop.js";

function done<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

function failedWith(error: unknown): Future<never> {
  const future = new Future<never>();
  future.setException(error);
  return future;
}

class Custom extends Error {}

describe("multi", () => {
  it("P108 keeps the shape, nested at will", async () => {
    const list = multi([done(1), Promise.resolve("x"), [done(2), { a: done(3) }]]);
    expect(await list).to.deep.equal([1, "x", [2, { a: 3 }]]);
    const object = await multi({ b: done(1), a: done(2) });
    expect(Object.entries(object)).to.deep.equal([
      ["b", 1],
      ["a", 2],
    ]);
    const key = {};
    const map = await multi(
      new Map<unknown, Yieldable>([
        [key, done(1)],
        ["k", [done(2)]],
      ]),
    );
    expect(map).to.be.instanceOf(Map);
    expect([...map]).to.deep.equal([
      [key, 1],
      ["k", [2]],
    ]);
    expect(multi([]).result()).to.deep.equal([]);
    expect(multi({}).result()).to.deep.equal({});
    expect(multi(new Map()).result()).to.deep.equal(new Map());
    const hostile = JSON.parse('{"__proto__": null}') as Record<string, undefined>;
    hostile["__proto__"] = undefined;
    expect(Object.keys(multi(Object.assign(Object.create(null) as object, { x: done(1) })).result())).to.deep.equal(["x"]);
    expect(multiFuture).to.equal(multi);
    expect(Multi).to.equal(multi);
  });

  it("P109 waits for all, then fails with the first failing child in their order", async () => {
    const [a, b, c] = [new Future<number>(), new Future<number>(), new Future<number>()];
    const all = multi([a, b, c], { quietExceptions: Custom });
    const [first, second] = [new Custom("b"), new Custom("c")];
    c.setException(second);
    expect(all.done()).to.equal(false);
    b.setException(first);
    expect(all.done()).to.equal(false);
    a.setResult(1);
    expect(all.exception()).to.equal(first);
    await nextRound();
  });

  it("P110 logs each further failure, but not quiet ones, cancellations or one child listed twice", async () => {
    const abort = new DOMException("aborted", "AbortError");
    const once = failedWith(new Error("once"));
    expect(multi([once, once]).exception()).to.be.an("error");
    const rejected = Promise.reject(new Error("promise"));
    expect(((await multi([rejected, rejected]).catch((error: unknown) => error)) as Error).message).to.equal("promise");
    const quiet = multi(
      [failedWith(new Error("reported")), failedWith(new Custom("quiet")), failedWith(abort), failedWith(new CancelledError())],
      {
        quietExceptions: [Custom],
      },
    );
    expect(quiet.exception()).to.be.an("error");
    expect(logRecords().filter(({ level }) => level === "error")).to.deep.equal([]);
    expectLog("application", "error", /further one/);
    expectLog("application", "error", /further two/);
    const loud = multi({
      a: failedWith(new Error("reported")),
      b: failedWith(new Error("further one")),
      c: Promise.reject(new Error("further two")),
    });
    expect(((await loud.catch((error: unknown) => error)) as Error).message).to.equal("reported");
    const wrong = "Custom" as never;
    expect(() => multi([], { quietExceptions: wrong })).to.throw(TypeError, /quietExceptions/);
    expect(() => multi([], { quiet: Custom } as object)).to.throw(TypeError, /quiet/);
  });

  it("P111 the same Future gives its value in each position", async () => {
    const future = new Future<number>();
    const all = multi([future, done(0), future]);
    future.setResult(5);
    expect(all.result()).to.deep.equal([5, 0, 5]);
  });

  it("P112 a cancelled child fails the result, and cancelling the result leaves the children alone", () => {
    const child = new Future<number>();
    const all = multi([child]);
    child.cancel("gone");
    expect(all.cancelled()).to.equal(false);
    expect(all.exception()).to.be.instanceOf(CancelledError).with.property("message", "gone");
    const [one, two] = [new Future<number>(), new Future<number>()];
    const dropped = multi([one, two]);
    dropped.cancel();
    expect(one.done()).to.equal(false);
    expectLog("application", "error", /one failed/);
    expectLog("application", "error", /two failed/);
    one.setException(new Error("one failed"));
    two.setException(new Error("two failed"));
  });

  it("P113 what cannot be waited for throws before any child is touched", () => {
    let touched = 0;
    const thenable = {
      then: (): void => {
        touched++;
      },
    } as unknown as PromiseLike<number>;
    const future = new Future<number>();
    const wrong: unknown[] = [1, "x", null, true, Symbol("s"), () => 1, new Date(), new Set(), new Custom()];
    for (const bad of wrong) {
      for (const children of [[thenable, future, bad], { a: thenable, b: [bad] }, new Map([[1, [thenable, bad]]])]) {
        expect(() => multi(children as Yieldable[]), String(bad)).to.throw(BadYieldError);
      }
      expect(() => multi(bad as Yieldable[])).to.throw(BadYieldError);
    }
    expect(() => multi(future as unknown as Yieldable[])).to.throw(BadYieldError);
    expect(() => multi(undefined as unknown as Yieldable[])).to.throw(BadYieldError);
    const loop: Yieldable[] = [];
    loop.push(loop);
    expect(() => multi(loop)).to.throw(BadYieldError);
    expect(touched).to.equal(0);
    expect(future._listeners).to.equal(undefined);
  });

  it("P114 undefined and moment count as done", () => {
    expect(multi([moment, moment]).result()).to.deep.equal([undefined, undefined]);
    expect(multi({ a: undefined, b: [moment] }).result()).to.deep.equal({ a: undefined, b: [undefined] });
  });

  it("P115 needs no loop", async () => {
    const children = Array.from({ length: 100_000 }, () => new Future<number>());
    const all = multi(children);
    for (const [i, child] of children.toReversed().entries()) child.setResult(i);
    expect((await all).length).to.equal(100_000);
  });
});

describe("convertYielded and maybeFuture", () => {
  const fixture = useManualLoop();

  it("P136 convertYielded decides what may be waited for", async () => {
    const { manual } = fixture;
    for (const nothing of [undefined, moment]) {
      const future = convertYielded(nothing);
      expect(future.done()).to.equal(false);
      await manual.turn();
      expect(future.exception()).to.equal(undefined);
    }
    const own = new Future<number>();
    expect(convertYielded(own)).to.equal(own);
    expect(convertYielded([done(1)]).result()).to.deep.equal([1]);
    expect(convertYielded({ a: done(1) }).result()).to.deep.equal({ a: 1 });
    expect(convertYielded(Object.assign(Object.create(null) as Record<string, Yieldable>, { a: done(1) })).result()).to.deep.equal({
      a: 1,
    });
    expect([...convertYielded(new Map([[1, done(2)]])).result()]).to.deep.equal([[1, 2]]);
    expect(await convertYielded(Promise.resolve(5))).to.equal(5);
    for (const reason of [undefined, null]) {
      const future = convertYielded(Promise.reject(reason as unknown as Error));
      await nextRound();
      const error = future.exception() as Error;
      expect(error).to.be.instanceOf(Error);
      expect("cause" in error && error.cause === reason).to.equal(true);
    }
    const broken = {
      then: () => {
        throw new Custom("then");
      },
    } as unknown as PromiseLike<number>;
    expect(convertYielded(broken).exception()).to.be.instanceOf(Custom);
    for (const bad of ["x", 1, null, new Custom(), new Date(), () => 1, Symbol("s")]) {
      expect(() => convertYielded(bad as unknown as undefined), String(bad)).to.throw(BadYieldError);
    }
    expect(new BadYieldError()).to.be.instanceOf(TypeError).with.property("name", "BadYieldError");
  });

  it("P137 maybeFuture gives back a Future, follows a PromiseLike and wraps the rest", async () => {
    const own = new Future<number>();
    expect(maybeFuture(own)).to.equal(own);
    expect(maybeFuture(5).result()).to.equal(5);
    expect(maybeFuture<number | undefined>(undefined).result()).to.equal(undefined);
    expect(maybeFuture([own]).result()).to.deep.equal([own]);
    const followed = maybeFuture(Promise.resolve(6));
    expect(followed).to.be.instanceOf(Future);
    expect(await followed).to.equal(6);
  });
});
