/** Timeouts: deadlines, order, cancelling, compaction and the clock (L22-L39 of docs/spec/ioloop.md), and bad deadlines. */
import { expect } from "chai";
import sinon from "sinon";
import { IOLoop, PeriodicCallback, PollIOLoop, type Duration } from "../../src/ioloop/index.js";
import { collectGarbage } from "../concurrent/collect-garbage.js";
import { expectError, thrown } from "../platform/expectations.js";
import { eachCombination } from "../support/combinations.js";
import { FakePoller } from "../support/fake-poller.js";
import { Files, makeFakeLoop, put } from "./driving.js";
import { untilWaiting } from "./waiting.js";

const nothing = (): void => undefined;

describe("IOLoop: deadlines", () => {
  it("L22 takes a number as absolute time on the loop's clock, whatever it shows at the call", () => {
    const { fake, loop } = makeFakeLoop();
    expect(loop.addTimeout(1005.5, nothing).deadline).to.equal(1005.5);
    fake.advance(100);
    expect(loop.addTimeout(1005.5, nothing).deadline).to.equal(1005.5);
    loop.runIteration();
    expect(loop.statistics().timeouts).to.equal(0);
  });

  it("L22 takes a Duration as relative to the clock at the call, the sum of its fields", () => {
    const { fake, loop } = makeFakeLoop();
    const deadlineOf = (duration: Duration): number => {
      const timeout = loop.addTimeout(duration, nothing);
      loop.removeTimeout(timeout);
      return timeout.deadline;
    };
    expect(deadlineOf({ seconds: 5 })).to.equal(1005);
    fake.advance(1);
    expect(deadlineOf({ days: 1, hours: 1, minutes: 1, seconds: 1, milliseconds: 500 })).to.equal(1001 + 86_400 + 3_600 + 60 + 1.5);
    expect(deadlineOf({ minutes: -1, seconds: 0.25 })).to.equal(1001 - 59.75);
    expect(deadlineOf({})).to.equal(1001);
    loop.runIteration();
  });

  const noDeadlines: [what: string, value: unknown, shown: RegExp][] = [
    ["a string", "5", /^deadline is '5': pass seconds on the loop's clock, or a Duration/],
    ["undefined", undefined, /^deadline is undefined: pass/],
    ["null", null, /^deadline is null: pass/],
    ["a Date", new Date(0), /^deadline is 1970-01-01T00:00:00.000Z: pass/],
    ["a bigint", 5n, /^deadline is 5n: pass/],
    ["true", true, /^deadline is true: pass/],
    ["NaN", NaN, /^deadline is NaN: pass a number of seconds/],
    ["an array", [5], /^deadline is \[.*5.*\]: pass/],
    ["a function", nothing, /^deadline is \[Function: nothing\]: pass/],
    ["a symbol", Symbol("soon"), /^deadline is Symbol\(soon\): pass/],
    ["an object with a foreign key", { seconds: 5, second: 1 }, /^deadline is \{ seconds: 5, second: 1 \}: pass/],
    ["a Duration with a string", { seconds: "5" }, /^deadline\.seconds is '5': pass a number/],
    ["a Duration with NaN", { hours: 1, seconds: NaN }, /^deadline\.seconds is NaN: pass a number/],
    ["a Duration without a sum", { hours: Infinity, seconds: -Infinity }, /^deadline adds Infinity and -Infinity: pass/],
  ];
  for (const [what, value, message] of noDeadlines) {
    it(`L22 refuses ${what} as a deadline, with a TypeError that says what would be right, and schedules nothing`, () => {
      const { loop } = makeFakeLoop();
      expectError(() => loop.addTimeout(value as number, nothing), TypeError, message);
      expect(loop.statistics()).to.include({ timeouts: 0, cancelledTimeouts: 0 });
      expect([...loop._timeouts]).to.deep.equal([]);
    });
  }

  it("L23 has callLater(d) be callAt(time() + d)", () => {
    const { fake, loop } = makeFakeLoop();
    const callAt = sinon.spy(loop, "callAt");
    fake.advance(7);
    const push = sinon.spy();
    const timeout = loop.callLater(2.5, push, "a", 1);
    expect(timeout.deadline).to.equal(1009.5);
    expect(callAt.args).to.deep.equal([[1009.5, push, "a", 1]]);
    loop.removeTimeout(timeout);
  });

  it("L23 takes numbers only in callLater and callAt", () => {
    const { loop } = makeFakeLoop();
    for (const value of [{ seconds: 1 }, NaN, true, "1", undefined, null, 1n, new Date(0)]) {
      expectError(() => loop.callLater(value as number, nothing), TypeError, /^delay is .+: pass a number of seconds$/);
      expectError(() => loop.callAt(value as number, nothing), TypeError, /^when is .+: pass a number of seconds$/);
    }
    expect(thrown(() => loop.callLater("1" as never, nothing)).message).to.include("'1'");
    expect([...loop._timeouts]).to.deep.equal([]);
  });

  it("L24 passes extra arguments through, and returns a handle of its own each time", () => {
    const { loop } = makeFakeLoop();
    const log: unknown[] = [];
    const push = (...args: unknown[]): void => void log.push(...args);
    const handles = [
      loop.addTimeout(1000, push, 1),
      loop.addTimeout({ seconds: 0 }, push, 2),
      loop.callAt(1000, push, 3),
      loop.callLater(0, push, 4),
      loop.callLater(0, push, 5, undefined, "six"),
    ];
    expect(new Set(handles).size).to.equal(5);
    expect(handles).to.not.include(undefined);
    loop.runIteration();
    expect(log).to.deep.equal([1, 2, 3, 4, 5, undefined, "six"]);
  });

  it("L25 runs a timeout in the first iteration whose reading of the clock has reached the deadline", () => {
    const { fake, loop } = makeFakeLoop();
    const ran = sinon.spy();
    loop.callAt(1010, ran);
    for (const now of [1009, 1009.999, 1010 - 1e-9]) {
      fake.now = now;
      loop.runIteration();
      expect(ran.called, String(now)).to.equal(false);
    }
    fake.now = 1010;
    loop.runIteration();
    expect(ran.callCount).to.equal(1);
  });

  it("L26 runs due timeouts by deadline, those with the same one in the order they were added", () => {
    const { loop } = makeFakeLoop();
    const log: unknown[] = [];
    const push = (what: unknown): void => void log.push(what);
    for (let each = 1; each <= 6; each++) loop.callAt(1000, push, each);
    loop.callAt(999, push, "earlier");
    loop.addCallback(push, "callback");
    loop.runIteration();
    expect(log).to.deep.equal(["callback", "earlier", 1, 2, 3, 4, 5, 6]);
  });

  it("L27 has past and negative deadlines and delays due in the next iteration", () => {
    const { loop } = makeFakeLoop();
    const log: unknown[] = [];
    const push = (what: unknown): void => void log.push(what);
    loop.callLater(-1, push, "callLater(-1)");
    loop.addTimeout({ seconds: -2 }, push, "2 s ago");
    loop.callAt(3, push, "callAt(3)");
    loop.addTimeout(-5, push, "addTimeout(-5)");
    loop.callAt(-Infinity, push, "for ever");
    loop.callLater(-Infinity, push, "for ever, relative");
    loop.runIteration();
    expect(log).to.deep.equal(["for ever", "for ever, relative", "addTimeout(-5)", "callAt(3)", "2 s ago", "callLater(-1)"]);
  });

  it("L28 reaches a far deadline by waits of an hour", async () => {
    const { fake, loop } = makeFakeLoop();
    loop.callLater(10_000, loop.stop);
    await loop.start();
    expect(fake.waits).to.deep.equal([3600, 3600, 2800]);
  });

  it("L28 takes Infinity, which is never due", async () => {
    const { fake, loop } = makeFakeLoop();
    const never = sinon.spy();
    const handles = [loop.callAt(Infinity, never), loop.callLater(Infinity, never), loop.addTimeout({ days: Infinity }, never)];
    loop.callAt(1e12, loop.stop);
    fake.onPoll = () => fake.advance(1e11);
    await loop.start();
    expect(never.called).to.equal(false);
    expect(loop.statistics().timeouts).to.equal(3);
    for (const handle of handles) loop.removeTimeout(handle);
  });
});

describe("IOLoop: cancelling timeouts", () => {
  it("L29 never runs a timeout that was removed before its deadline", async () => {
    const { loop } = makeFakeLoop();
    const ran = sinon.spy();
    const timeout = loop.callAt(1010, ran);
    loop.callAt(1009, () => loop.removeTimeout(timeout));
    loop.callAt(1020, loop.stop);
    await loop.start();
    expect(ran.called).to.equal(false);
  });

  it("L30 does not run one on the due list that a timeout or callback of the same iteration has removed", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    loop.callAt(1000, () => {
      log.push("first");
      loop.removeTimeout(second);
    });
    const second = loop.callAt(1000, () => log.push("second"));
    const third = loop.callAt(1000, () => log.push("third"));
    loop.callAt(1000, () => {
      log.push("stop");
      loop.stop();
    });
    loop.addCallback(() => loop.removeTimeout(third));
    await loop.start();
    expect(log).to.deep.equal(["first", "stop"]);
    expect(fake.waits).to.deep.equal([]);
    expect(loop.statistics()).to.include({ timeouts: 0, cancelledTimeouts: 0 });
  });

  it("L31 does nothing for a handle that has run, is running, or was removed, nor on a closed loop", () => {
    const { loop } = makeFakeLoop();
    const log: string[] = [];
    const ran = loop.callAt(1000, () => log.push("ran"));
    const running = loop.callAt(1000, () => {
      loop.removeTimeout(running);
      log.push("running");
    });
    const removed = loop.callAt(1000, () => log.push("removed"));
    loop.removeTimeout(removed);
    loop.removeTimeout(removed);
    loop.runIteration();
    for (const handle of [ran, running, removed]) loop.removeTimeout(handle);
    expect(log).to.deep.equal(["ran", "running"]);
    const kept = loop.callAt(2000, nothing);
    expect(loop.statistics()).to.include({ timeouts: 1, cancelledTimeouts: 0 });
    loop.close();
    for (const handle of [ran, removed, kept]) loop.removeTimeout(handle);
    expect(loop.statistics()).to.include({ timeouts: 0, cancelledTimeouts: 0 });
  });

  it("L31 refuses what is no handle, with its value", () => {
    const { loop } = makeFakeLoop();
    for (const value of [undefined, null, 7, "handle", {}, { deadline: 1, callback: nothing }]) {
      expectError(
        () => loop.removeTimeout(value as never),
        TypeError,
        /^timeout is .+: pass what addTimeout, callAt or callLater returned$/,
      );
    }
    expect(thrown(() => loop.removeTimeout("handle" as never)).message).to.include("'handle'");
    // Node's own handle is the likely mistake; a screenful of its fields would be no help.
    const immediate = setImmediate(nothing);
    clearImmediate(immediate);
    expect(thrown(() => loop.removeTimeout(immediate as never)).message).to.include("[Immediate]");
    loop.close();
    expectError(() => loop.removeTimeout(7 as never), TypeError, /^timeout is 7/);
  });

  it("L32 runs a timeout that a timeout adds for now one iteration later, with a poll between", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    let left = 3;
    const again = (): void => {
      log.push("timeout");
      if (left-- > 0) loop.callLater(0, again);
      else loop.stop();
    };
    loop.callLater(0, again);
    loop.addHandler(900, () => log.push("handler"), IOLoop.READ);
    fake.onPoll = () => {
      log.push("poll");
      fake.answer([900, IOLoop.READ]);
    };
    await loop.start();
    expect(log.join(" ")).to.equal("timeout poll handler timeout poll handler timeout poll handler timeout");
    expect(fake.waits).to.deep.equal([0, 0, 0]);
    loop.removeHandler(900);
  });

  it("L33 keeps timeouts over stop and start, and runs those overdue in the first iteration after", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    loop.callAt(1010, () => log.push(`first ${fake.now}`));
    loop.callAt(1030, () => {
      log.push(`second ${fake.now}`);
      loop.stop();
    });
    loop.addCallback(loop.stop);
    await loop.start();
    expect(log).to.deep.equal([]);
    fake.advance(15);
    loop.addCallback(() => log.push("callback"));
    await loop.start();
    expect(log).to.deep.equal(["callback", "first 1015", "second 1030"]);
    expect(fake.waits).to.deep.equal([15]);
  });

  it("L34 throws an Error for a timeout on a closed loop", () => {
    const { loop } = makeFakeLoop();
    loop.close();
    expectError(() => loop.addTimeout(1000, nothing), Error, /closed IOLoop: make a new one$/);
    expectError(() => loop.addTimeout({ seconds: 1 }, nothing), Error, /closed IOLoop/);
    expectError(() => loop.callLater(1, nothing), Error, /closed IOLoop/);
    expectError(() => loop.callAt(1000, nothing), Error, /^callAt\(\) on a closed IOLoop/);
    expect([...loop._timeouts]).to.deep.equal([]);
  });

  it("L35 only clears an entry that is removed, and drops it when it reaches the head", () => {
    const { fake, loop } = makeFakeLoop();
    const handles = Array.from({ length: 100 }, (_, each) => loop.callAt(1100 - each, nothing));
    const before = [...loop._timeouts];
    for (const handle of handles) if (handle.deadline > 1050) loop.removeTimeout(handle);
    expect([...loop._timeouts]).to.deep.equal(before);
    expect(loop.statistics()).to.include({ timeouts: 50, cancelledTimeouts: 50 });
    fake.now = 1050;
    // The live ones are taken; then only cancelled entries are left, and those leave from the head.
    loop.runIteration();
    expect(loop.statistics()).to.include({ timeouts: 0, cancelledTimeouts: 0 });
    expect([...loop._timeouts]).to.deep.equal([]);
  });

  it("L35 drops what a removed timeout refers to at once, though its handle is kept", async () => {
    const { loop } = makeFakeLoop();
    const head = loop.callAt(1010, nothing);
    const { handle, references } = (() => {
      const argument = {};
      const callback = (_: object): void => undefined;
      return { handle: loop.callAt(1020, callback, argument), references: [new WeakRef(argument), new WeakRef(callback)] };
    })();
    loop.removeTimeout(handle);
    const gone = (): boolean => references.every((reference) => reference.deref() === undefined);
    await collectGarbage(gone);
    expect(gone()).to.equal(true);
    expect(loop._timeouts.length).to.equal(2);
    loop.removeTimeout(head);
  });

  const compactions: [cancelled: number, live: number, left: number][] = [
    [512, 0, 513],
    [513, 0, 1],
    [513, 511, 512],
    [513, 512, 1026],
  ];
  for (const [cancelled, live, left] of compactions) {
    it(`L36 leaves ${left} entries of a live head, ${cancelled} cancelled and ${live} live later ones`, () => {
      const { loop } = makeFakeLoop();
      loop.callAt(1010, nothing);
      const toCancel = Array.from({ length: cancelled }, (_, each) => loop.callAt(1100 + each, nothing));
      for (let each = 0; each < live; each++) loop.callAt(1050 + each * 2, nothing);
      for (const handle of toCancel) loop.removeTimeout(handle);
      expect(loop._timeouts.length, "before an iteration").to.equal(1 + cancelled + live);
      loop.runIteration();
      expect(loop._timeouts.length).to.equal(left);
      expect(loop.statistics()).to.include({ timeouts: 1 + live, cancelledTimeouts: left - 1 - live });
      loop.close();
    });
  }

  it("L36 compacts after the due entries were taken", () => {
    const { fake, loop } = makeFakeLoop();
    // 513 of 1026 are not more than half; once the head has been taken they are.
    loop.callAt(1010, nothing);
    const toCancel = Array.from({ length: 513 }, () => loop.callAt(1100, nothing));
    for (let each = 0; each < 512; each++) loop.callAt(1050, nothing);
    for (const handle of toCancel) loop.removeTimeout(handle);
    fake.now = 1010;
    loop.runIteration();
    expect(loop._timeouts.length).to.equal(512);
    loop.close();
  });

  it("L37 keeps the order, and the order of equal deadlines, through a compaction", () => {
    const { fake, loop } = makeFakeLoop();
    const ran: number[] = [];
    const expected: [deadline: number, added: number][] = [];
    const toCancel = [];
    // A fixed, jumbled sequence of deadlines with many equal ones.
    for (let each = 0; each < 2000; each++) {
      const deadline = 1001 + ((each * 7919) % 17);
      const handle = loop.callAt(deadline, () => ran.push(each));
      if (each % 3 === 0) expected.push([deadline, each]);
      else toCancel.push(handle);
    }
    for (const handle of toCancel) loop.removeTimeout(handle);
    loop.runIteration();
    expect(loop._timeouts.length).to.equal(expected.length);
    fake.now = 1100;
    loop.runIteration();
    expected.sort(([a, first], [b, second]) => a - b || first - second);
    expect(ran).to.deep.equal(expected.map(([, added]) => added));
  });

  it("L37 does not count the removal of what has run or was removed already", () => {
    const { loop } = makeFakeLoop();
    const fired = Array.from({ length: 600 }, () => loop.callAt(1000, nothing));
    loop.callAt(1010, nothing);
    loop.runIteration();
    const removed = loop.callAt(1020, nothing);
    for (const handle of fired) loop.removeTimeout(handle);
    for (let each = 0; each < 600; each++) loop.removeTimeout(removed);
    expect(loop.statistics()).to.include({ timeouts: 1, cancelledTimeouts: 1 });
    loop.runIteration();
    // Counted 1200 times over, a compaction would have been due.
    expect(loop._timeouts.length).to.equal(2);
    loop.close();
  });
});

describe("IOLoop: the clock", () => {
  it("L38 uses timeFunc for deadlines, the due test, the wait and PeriodicCallback", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    expect(loop.time()).to.equal(1000);
    loop.callLater(10, () => log.push(`callLater ${fake.now}`));
    loop.addTimeout({ seconds: 11 }, () => log.push(`Duration ${fake.now}`));
    const periodic = new PeriodicCallback(
      () => {
        log.push(`periodic ${fake.now}`);
        if (fake.now >= 1024) {
          periodic.stop();
          loop.stop();
        }
      },
      12_000,
      { ioLoop: loop },
    );
    periodic.start();
    await loop.start();
    expect(log).to.deep.equal(["callLater 1010", "Duration 1011", "periodic 1012", "periodic 1024"]);
    expect(fake.waits).to.deep.equal([10, 1, 1, 12]);
  });

  it("L38 uses time() as a subclass overrides it", async () => {
    const fake = new FakePoller(50);
    class OwnTime extends PollIOLoop {
      override time(): number {
        return fake.now * 2;
      }
    }
    const loop = new OwnTime({ impl: fake, makeCurrent: false });
    const log: number[] = [];
    loop.callLater(20, () => log.push(fake.now));
    loop.callAt(130, () => {
      log.push(fake.now);
      loop.stop();
    });
    await loop.start();
    // The first wait is 20 of its seconds, which this poller takes for its own: at 70 it is 140, and both are due.
    expect(log).to.deep.equal([70, 70]);
    expect(fake.waits).to.deep.equal([20]);
    loop.close();
  });

  it("L38 has timeouts due at the next iteration when the clock jumps forward, and late when it jumps back", () => {
    const { fake, loop } = makeFakeLoop();
    const log: number[] = [];
    loop.callAt(1010, () => log.push(fake.now));
    loop.callAt(1020, () => log.push(fake.now));
    fake.now = 900;
    loop.runIteration();
    expect(log).to.deep.equal([]);
    fake.now = 1015;
    loop.runIteration();
    expect(log).to.deep.equal([1015]);
    fake.now = 1005;
    loop.runIteration();
    fake.now = 5000;
    loop.runIteration();
    expect(log).to.deep.equal([1015, 5000]);
  });
});

eachCombination((_, makeCombinedLoop) => {
  describe("IOLoop: timeouts on a real clock", () => {
    it("L25 never runs a timeout early", async () => {
      const loop = makeCombinedLoop();
      const early: number[] = [];
      const delays = [0, 0.0001, 0.0005, 0.001, 0.0013, 0.0025, 0.0049, 0.0075, 0.0101];
      for (const delay of delays) {
        const deadline = loop.time() + delay;
        loop.callAt(deadline, () => {
          early.push(deadline - loop.time());
          if (early.length === delays.length) loop.stop();
        });
      }
      await loop.start();
      expect(Math.max(...early)).to.be.at.most(0);
    });

    it("L29 removes a timeout that the loop waits for", async () => {
      const loop = makeCombinedLoop();
      const ran = sinon.spy();
      // Long enough to be removed in time on any machine, and the loop must not be stopped by it either.
      const timeout = loop.callLater(60, ran);
      const ended = loop.start();
      await untilWaiting(loop);
      loop.removeTimeout(timeout);
      loop.callLater(0.005, loop.stop);
      await ended;
      loop.runIteration();
      expect(ran.called).to.equal(false);
    });

    it("L32 lets handlers run beside a chain of timeouts without delay", async () => {
      const loop = makeCombinedLoop();
      const files = new Files();
      try {
        const [reader, writer] = files.pipe();
        let links = 0;
        const again = (): void => {
          if (links++ === 5) put(writer);
          next = loop.callLater(0, again);
        };
        let next = loop.callLater(0, again);
        let linksAtEvent = NaN;
        loop.addHandler(
          reader,
          () => {
            linksAtEvent = links;
            loop.removeTimeout(next);
            loop.stop();
          },
          IOLoop.READ,
        );
        await loop.start();
        loop.removeTimeout(next);
        expect(linksAtEvent).to.equal(6);
        loop.removeHandler(reader);
      } finally {
        files.close();
      }
    });

    it("L39 has fractional epoch seconds that never decrease as its clock", () => {
      const loop = makeCombinedLoop();
      expect(loop.time()).to.be.closeTo(Date.now() / 1000, 1);
      let last = loop.time();
      let fractional = 0;
      for (let each = 0; each < 20_000; each++) {
        const now = loop.time();
        if (!(now >= last)) throw new Error(`The clock went from ${last} back to ${now}`);
        if (!Number.isInteger(now)) fractional++;
        last = now;
      }
      expect(fractional).to.be.greaterThan(0);
    });

    it("L39 follows the time that passes, not what becomes of the system clock", () => {
      const loop = makeCombinedLoop();
      const before = loop.time();
      // The system's clock is set to 1970.
      const clock = sinon.useFakeTimers({ now: 0, toFake: ["Date"] });
      const monotonic = (): number => Number(process.hrtime.bigint()) / 1e9;
      const outerStart = monotonic();
      const start = loop.time();
      const innerStart = monotonic();
      while (monotonic() - innerStart < 0.01);
      const innerEnd = monotonic();
      const end = loop.time();
      const outerEnd = monotonic();
      clock.restore();
      expect(start).to.be.at.least(before);
      // Epoch seconds in a double are good to a quarter of a microsecond.
      expect(end - start).to.be.within(innerEnd - innerStart - 1e-5, outerEnd - outerStart + 1e-5);
    });

    it("L22 L23 L31 goes on after bad deadlines and handles, with nothing left of them", async () => {
      const loop = makeCombinedLoop();
      loop.addCallback(() => {
        for (const value of ["5", NaN, null]) {
          expectError(() => loop.addTimeout(value as number, nothing), TypeError);
          expectError(() => loop.callLater(value as number, nothing), TypeError);
          expectError(() => loop.removeTimeout(value as never), TypeError);
        }
        expect(loop.statistics().timeouts).to.equal(0);
        loop.callLater(0.001, loop.stop);
      });
      await loop.start();
    });
  });
});
