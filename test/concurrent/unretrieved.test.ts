/**
 * What is logged when a failed Future is collected unread. Each test drops its Futures in a function of its own, so that no variable of a
 * frame that is still there holds them.
 */
import { expect } from "chai";
import { CancelledError, Future, chainFuture } from "../../src/concurrent/index.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { collectGarbage, collectWhatIsDropped } from "./collect-garbage.js";
import { ManualScheduler } from "./manual-scheduler.js";

function fail(error: unknown = new Error("lost")): Future<number> {
  const future = new Future<number>({ loop: new ManualScheduler() });
  future.setException(error);
  return future;
}

/** Makes, drops and collects; `logged` says whether a record is what we wait for. */
async function drop(make: () => unknown, logged: boolean): Promise<void> {
  await (() => {
    const result = make();
    return result instanceof Promise ? result.then(() => undefined) : undefined;
  })();
  if (logged) await collectGarbage(() => logRecords().length > 0);
  else await collectWhatIsDropped();
}

describe("a failed Future that is collected", () => {
  after(() => collectWhatIsDropped());

  it("P28 unread, logs one line with the stack, once", async () => {
    const records = expectLog("application", "error", /Future exception was never retrieved\nError: lost\n\s+at /);
    await drop(() => fail(), true);
    await collectWhatIsDropped();
    expect(logRecords()).to.have.lengthOf(1);
    expect(records).to.be.an("array");
  });

  it("P28 unread, logs whatever was set as the failure", async () => {
    expectLog("application", "error", /never retrieved\n.*a text/);
    await drop(() => fail("a text"), true);
  });

  it("P28 unread, logs also where the error refers to the Future", async () => {
    expectLog("application", "error", /never retrieved[^]*circular/);
    await drop(() => {
      const error = new Error("circular") as Error & { future?: unknown };
      error.future = fail(error);
    }, true);
  });

  it("P28 unread, logs also where the error was made by a method of the Future", async () => {
    expectLog("application", "error", /never retrieved[^]*from a method/);
    class Own extends Future<number> {
      giveUp(): void {
        this.setException(new Error("from a method"));
      }
    }
    await drop(() => {
      new Own().giveUp();
    }, true);
  });

  it("P28 is not kept alive by the mechanism", async () => {
    expectLog("application", "error", /never retrieved/);
    const reference = (() => new WeakRef(fail()))();
    await collectGarbage(() => reference.deref() === undefined && logRecords().length > 0);
    expect(reference.deref()).to.equal(undefined);
  });

  it("P28 with done callbacks added and removed only, counts as unread", async () => {
    expectLog("application", "error", /never retrieved/, 3);
    await drop(() => {
      const added = fail();
      added.addDoneCallback(() => undefined);
      const before = new Future<number>({ loop: new ManualScheduler() });
      before.addDoneCallback(() => undefined);
      before.setException(new Error("lost"));
      const removed = fail();
      removed.removeDoneCallback(() => undefined);
    }, false);
  });

  it("P28 shown by String only, counts as unread", async () => {
    expectLog("application", "error", /never retrieved/);
    await drop(() => String(fail()), true);
  });

  for (const [how, read] of [
    ["result()", (f: Future<number>) => expect(() => f.result()).to.throw("lost")],
    ["exception()", (f: Future<number>) => f.exception()],
    ["then()", (f: Future<number>) => f.then(undefined, () => undefined)],
    ["catch()", (f: Future<number>) => f.catch(() => undefined)],
    ["await", async (f: Future<number>) => await f.catch(() => undefined)],
    ["cancel()", (f: Future<number>) => f.cancel()],
    ["being copied by chainFuture and the copy read", (f: Future<number>) => readCopy(f)],
  ] as const) {
    it(`P28 after ${how}, logs nothing`, async () => {
      await drop(() => read(fail()), false);
      // Also where the collector has been asked to tell by then.
      await drop(async () => {
        const future = fail();
        await nextRound();
        await read(future);
      }, false);
      expect(logRecords()).to.deep.equal([]);
    });
  }

  function readCopy(f: Future<number>): void {
    const copy = new Future<number>();
    chainFuture(f, copy);
    copy.exception();
  }

  it("P28 awaited or reacted to before it failed, logs nothing", async () => {
    await drop(() => {
      const future = new Future<number>();
      void future.catch(() => undefined);
      future.setException(new Error("lost"));
    }, false);
    expect(logRecords()).to.deep.equal([]);
  });

  it("P28 copied by chainFuture, logs for the copy alone", async () => {
    expectLog("application", "error", /never retrieved/);
    await drop(() => {
      const source = new Future<number>();
      chainFuture(source, new Future<number>());
      source.setException(new Error("lost"));
    }, false);
  });

  it("P28 failed by a part that counts it as read, logs nothing", async () => {
    await drop(() => {
      new Future<number>()._fail(new Error("reported elsewhere"));
    }, false);
    expect(logRecords()).to.deep.equal([]);
  });

  it("P28 with a CancelledError or AbortError, logs nothing; nor does a cancelled one", async () => {
    await drop(() => {
      fail(new CancelledError());
      fail(new DOMException("aborted", "AbortError"));
      new Future<number>().cancel();
    }, false);
    expect(logRecords()).to.deep.equal([]);
  });
});
