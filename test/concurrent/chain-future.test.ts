import { expect } from "chai";
import {
  CancelledError,
  Future,
  InvalidStateError,
  chainFuture,
  futureAddDoneCallback,
  futureSetExcInfo,
  futureSetExceptionUnlessCancelled,
  futureSetResultUnlessCancelled,
} from "../../src/concurrent/index.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { collectGarbage, collectWhatIsDropped } from "./collect-garbage.js";
import { ManualScheduler } from "./manual-scheduler.js";

const boom = new Error("boom");

function cancelled(message?: string): Future<number> {
  const future = new Future<number>();
  future.cancel(message);
  return future;
}

function finished<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}

function cancellationOf(future: Future<unknown>): unknown {
  try {
    future.result();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Chains a new Future to `source` and gives it. */
function chained<T>(source: PromiseLike<T>): Future<T> {
  const target = new Future<T>();
  chainFuture(source, target);
  return target;
}

describe("futureAddDoneCallback", () => {
  it("P35 calls the function before it returns if the Future is done, and lets its exception through", () => {
    const seen: unknown[] = [];
    const future = finished(1);
    futureAddDoneCallback(future, (f) => void seen.push(f));
    expect(seen).to.deep.equal([future]);
    const thrower = (): never => {
      throw boom;
    };
    expect(() => futureAddDoneCallback(future, thrower)).to.throw(boom);
  });

  it("P35 equals the method on a pending Future", () => {
    const loop = new ManualScheduler();
    const future = new Future<number>({ loop });
    const seen: unknown[] = [];
    const see = (f: Future<number>): void => void seen.push(f);
    futureAddDoneCallback(future, see);
    futureAddDoneCallback(future, see);
    future.setResult(1);
    expect(seen).to.deep.equal([]);
    loop.iterate();
    expect(seen).to.deep.equal([future, future]);
  });

  it("P35 refuses what is no Future and what is no function", () => {
    expect(() => futureAddDoneCallback(Promise.resolve(1) as never, () => undefined)).to.throw(TypeError, "Promise");
    expect(() => futureAddDoneCallback(finished(1), 5 as never)).to.throw(TypeError, "5");
  });
});

describe("chainFuture", () => {
  after(() => collectWhatIsDropped());

  it("P36 copies value or identical failure of a done Future at once", () => {
    const value = { some: "value" };
    expect(chained(finished(value)).result()).to.equal(value);
    const failure = new Future<number>();
    failure.setException(boom);
    expect(chained(failure).exception()).to.equal(boom);
  });

  it("P36 copies the outcome of a pending Future by the end of the microtasks, without a loop", async () => {
    const source = new Future<number>();
    const target = chained(source);
    expect(target.done()).to.equal(false);
    source.setResult(5);
    await Promise.resolve();
    expect(target.result()).to.equal(5);
    const failing = new Future<number>();
    const failed = chained(failing);
    failing.setException(boom);
    await Promise.resolve();
    expect(failed.exception()).to.equal(boom);
  });

  it("P36 takes native promises and other thenables", async () => {
    expect(await chained(Promise.resolve(1))).to.equal(1);
    expect(await chained(Promise.reject(boom)).catch((error: unknown) => error)).to.equal(boom);
    const thenable = { then: (fulfil: (value: string) => void) => fulfil("value") } as unknown as PromiseLike<string>;
    expect(await chained(thenable)).to.equal("value");
  });

  it("P36 takes a promise that is rejected with undefined", async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what other code's promises may do
    const target = chained(chained(Promise.reject()));
    const outcome = await target.then(
      () => "fulfilled",
      (reason: unknown) => ({ reason }),
    );
    expect(outcome).to.deep.equal({ reason: undefined });
    expect(target.cancelled()).to.equal(false);
  });

  it("P36 takes a Future of a second copy of the package, done, pending or cancelled", async () => {
    const path = "../../src/concurrent/future.js?copy-for-chain";
    const copy = (await import(path)) as { Future: typeof Future };
    const done = new copy.Future<number>();
    done.setResult(1);
    expect(chained(done).result()).to.equal(1);
    const pending = new copy.Future<number>();
    const target = chained(pending);
    pending.setResult(2);
    expect(await target).to.equal(2);
    const gone = new copy.Future<number>();
    const other = chained(gone);
    gone.cancel("gone");
    await nextRound();
    expect(other.cancelled()).to.equal(true);
    const late = chained(gone);
    expect(late.cancelled()).to.equal(true);
  });

  it("P36 refuses a source without then and a target that is no Future", () => {
    expect(() => chainFuture(5 as never, new Future())).to.throw(TypeError, "5");
    expect(() => chainFuture(finished(1), Promise.resolve(1) as never)).to.throw(TypeError, "Promise");
  });

  for (const [name, make] of [
    ["Future", (): { source: PromiseLike<number>; settle: () => void } => settler()],
    ["promise", (): { source: PromiseLike<number>; settle: () => void } => settler(true)],
  ] as const) {
    it(`P37 a target that is settled first is left alone by a ${name}`, async () => {
      const { source, settle } = make();
      const target = chained(source);
      target.setResult(7);
      settle();
      await nextRound();
      expect(target.result()).to.equal(7);
    });
  }

  function settler(native = false): { source: PromiseLike<number>; settle: () => void } {
    const future = new Future<number>();
    return { source: native ? future.then((value) => value) : future, settle: () => future.setResult(1) };
  }

  it("P37 the failure of a source whose target was settled first does not count as read", async () => {
    expectLog("application", "error", /never retrieved[^]*unread source/);
    (() => {
      const source = new Future<number>();
      chained(source).cancel();
      source.setException(new Error("unread source"));
    })();
    await collectGarbage(() => logRecords().length > 0);
  });

  it("P37 cancelling the target does not touch the source", () => {
    const source = new Future<number>();
    const target = chained(source);
    target.cancel();
    expect(source.done()).to.equal(false);
    source.setResult(1);
    expect(source.result()).to.equal(1);
    expect(target.cancelled()).to.equal(true);
  });

  it("P38 a cancelled source cancels the target with the same error, chained before or after", () => {
    const before = new Future<number>();
    const target = chained(before);
    before.cancel("why");
    for (const [source, copy] of [
      [before, target],
      [before, chained(before)],
    ] as const) {
      expect(copy.cancelled()).to.equal(true);
      const error = cancellationOf(copy);
      expect(error).to.be.instanceOf(CancelledError);
      expect(error).to.equal(cancellationOf(source));
      expect((error as Error).message).to.equal("why");
    }
  });

  it("P38 a source that merely failed with a CancelledError does not cancel the target", () => {
    const source = new Future<number>();
    const error = new CancelledError();
    source.setException(error);
    const target = chained(source);
    expect(target.cancelled()).to.equal(false);
    expect(target.exception()).to.equal(error);
  });

  for (const [how, settle] of [
    ["a value", (f: Future<number>) => f.setResult(1)],
    ["a cancellation", (f: Future<number>) => void f.cancel()],
    ["a failure", (f: Future<number>) => f.setException(boom)],
  ] as const) {
    it(`P39 ${how} goes through a chain of 100 000 Futures without overflowing the stack`, async () => {
      const first = new Future<number>();
      let last = first;
      for (let i = 0; i < 100_000; i++) last = chained(last);
      settle(first);
      await Promise.resolve();
      expect(last.done()).to.equal(true);
      expect(last.cancelled()).to.equal(first.cancelled());
      last.cancel();
    });
  }

  it("P39 a chain that is built from its end settles too", () => {
    const last = new Future<number>();
    let first = last;
    for (let i = 0; i < 100_000; i++) {
      const source = new Future<number>();
      chainFuture(source, first);
      first = source;
    }
    first.setResult(9);
    expect(last.result()).to.equal(9);
  });
});

describe("settling what may be cancelled", () => {
  after(() => collectWhatIsDropped());

  it("P40 futureSetResultUnlessCancelled sets, and does nothing on a cancelled Future", () => {
    const future = new Future<number>();
    futureSetResultUnlessCancelled(future, 1);
    expect(future.result()).to.equal(1);
    const gone = cancelled();
    futureSetResultUnlessCancelled(gone, 1);
    expect(gone.cancelled()).to.equal(true);
  });

  it("P40 futureSetResultUnlessCancelled throws on a finished Future", () => {
    expect(() => futureSetResultUnlessCancelled(finished(1), 2)).to.throw(InvalidStateError);
  });

  it("P41 futureSetExceptionUnlessCancelled fails a pending Future and throws on a finished one", () => {
    const future = new Future<number>();
    futureSetExceptionUnlessCancelled(future, boom);
    expect(future.exception()).to.equal(boom);
    expect(() => futureSetExceptionUnlessCancelled(finished(1), boom)).to.throw(InvalidStateError);
  });

  it("P41 futureSetExceptionUnlessCancelled logs the error on a cancelled Future", () => {
    expectLog("application", "error", /cancelled[^]*Error: boom/);
    const gone = cancelled();
    futureSetExceptionUnlessCancelled(gone, boom);
    expect(gone.cancelled()).to.equal(true);
    expect(() => futureSetExceptionUnlessCancelled(gone, undefined)).to.throw(TypeError);
  });

  it("P42 futureSetExcInfo takes an Error or a triple", () => {
    for (const info of [boom, [Error, boom, undefined]] as const) {
      const future = new Future<number>();
      futureSetExcInfo(future, info);
      expect(future.exception()).to.equal(boom);
      expect(() => futureSetExcInfo(finished(1), info)).to.throw(InvalidStateError);
    }
  });

  it("P42 futureSetExcInfo logs on a cancelled Future", () => {
    expectLog("application", "error", /Error: boom/, 2);
    futureSetExcInfo(cancelled(), boom);
    futureSetExcInfo(cancelled(), [Error, boom, undefined]);
  });

  it("P42 futureSetExcInfo without an exception throws Error and changes nothing", () => {
    for (const info of [[undefined, undefined, undefined] as const, [] as never, undefined as never]) {
      const future = new Future<number>();
      expect(() => futureSetExcInfo(future, info)).to.throw(Error, "no exception");
      expect(future.done()).to.equal(false);
    }
  });
});
