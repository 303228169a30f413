/** `PeriodicCallback` (L112-L131), on a fake clock. */
import { inspect } from "node:util";
import { expect } from "chai";
import sinon from "sinon";
import { CancelledError } from "../../src/concurrent/index.js";
import { IOLoop, PeriodicCallback, type PollIOLoop } from "../../src/ioloop/index.js";
import type { FakePoller } from "../support/fake-poller.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound } from "../support/real-timers.js";
import { makeFakeLoop } from "./driving.js";
import { makeVirtualLoop, type VirtualPoller } from "./virtual-time.js";

describe("PeriodicCallback", () => {
  let loop: PollIOLoop;
  let fake: FakePoller;

  beforeEach(() => {
    ({ loop, fake } = makeFakeLoop());
  });

  /** A callback that notes when it is called and then lets the clock move as `durations` say; after the last one it stops the loop. */
  function taking(...durations: number[]): { callback: () => void; calls: number[] } {
    const calls: number[] = [];
    const callback = (): void => {
      calls.push(fake.now);
      fake.advance(durations[calls.length - 1] ?? 0);
      if (calls.length === durations.length) loop.stop();
    };
    return { callback, calls };
  }

  /** Runs until `callback` has been called as often as there are durations, with a period of 10 s, and returns when that was. */
  async function callsAt(durations: number[], jitter = 0): Promise<number[]> {
    const { callback, calls } = taking(...durations);
    const periodic = new PeriodicCallback(callback, 10_000, { jitter });
    periodic.start();
    await loop.start();
    periodic.stop();
    return calls;
  }

  describe("arguments", () => {
    for (const time of [0, -1, -Infinity, {}, { seconds: -1 }, { minutes: 1, seconds: -60 }]) {
      it(`L112 refuses a period of ${JSON.stringify(time)}`, () => {
        expect(() => new PeriodicCallback(() => undefined, time)).to.throw(RangeError, /^callbackTime is .*positive.*[^.]$/);
      });
    }

    for (const time of [NaN, "10", undefined, null, true, 10n, { second: 1 }, { seconds: NaN }, { seconds: "1" }, new Date(0), [10]]) {
      it(`L112 refuses ${inspect(time)} as a period`, () => {
        expect(() => new PeriodicCallback(() => undefined, time as number)).to.throw(
          TypeError,
          /^callbackTime(\.seconds)? is .*pass.*[^.]$/,
        );
      });
    }

    it("L112 stores a Duration as milliseconds, exactly", () => {
      const stored = (time: object | number): number => new PeriodicCallback(() => undefined, time).callbackTime;
      expect(stored({ minutes: 1, seconds: 23 })).to.equal(83_000);
      expect(stored({ milliseconds: 1001 })).to.equal(1001);
      expect(stored({ seconds: 1.001 })).to.equal(1001);
      expect(stored({ milliseconds: 0.5 })).to.equal(0.5);
      expect(stored({ days: 1 })).to.equal(86_400_000);
      expect(stored(0.25)).to.equal(0.25);
    });

    it("L112 refuses a callback that is no function, a jitter that is no number, a loop that is none, an unknown option", () => {
      const make = (callback: unknown, options?: object) => () => new PeriodicCallback(callback as () => void, 10, options);
      expect(make("f")).to.throw(TypeError, /callback is 'f'/);
      expect(make(() => undefined, { jitter: "0.1" })).to.throw(TypeError, /jitter is '0.1'/);
      expect(make(() => undefined, { jitter: NaN })).to.throw(TypeError, /jitter is NaN/);
      expect(make(() => undefined, { ioLoop: {} })).to.throw(TypeError, /ioLoop is/);
      expect(make(() => undefined, { iOLoop: loop })).to.throw(TypeError, /iOLoop.*ioLoop/);
    });
  });

  it("L113 runs nothing before start(), and first one period after it", async () => {
    const { callback, calls } = taking(0);
    const periodic = new PeriodicCallback(callback, 10_000);
    loop.callAt(1500, () => periodic.start());
    await loop.start();
    periodic.stop();
    expect(calls).to.deep.equal([1510]);
  });

  it("L113 calls without arguments", async () => {
    const callback = sinon.spy(() => loop.stop());
    const periodic = new PeriodicCallback(callback, 10_000);
    periodic.start();
    await loop.start();
    periodic.stop();
    expect(callback.args).to.deep.equal([[]]);
  });

  it("L114 belongs to the loop that is current at start(), not at construction", async () => {
    const { loop: other, fake: otherFake } = makeFakeLoop();
    const seen: IOLoop[] = [];
    const periodic = new PeriodicCallback(() => {
      seen.push(IOLoop.current());
      periodic.ioLoop?.stop();
    }, 10_000);
    expect(periodic.ioLoop).to.equal(undefined);
    other.makeCurrent();
    periodic.start();
    expect(periodic.ioLoop).to.equal(other);
    loop.makeCurrent();
    await other.start();
    periodic.stop();
    expect(seen).to.deep.equal([other]);
    expect(otherFake.waits).to.deep.equal([10]);
    expect(loop.statistics().iterations).to.equal(0);
    periodic.start();
    expect(periodic.ioLoop).to.equal(loop);
    periodic.stop();
  });

  it("L114 belongs to options.ioLoop if that is given", async () => {
    const { loop: other } = makeFakeLoop();
    expect(IOLoop.current()).to.equal(loop);
    const periodic = new PeriodicCallback(() => other.stop(), 10_000, { ioLoop: other });
    expect(periodic.ioLoop).to.equal(other);
    periodic.start();
    expect(other.statistics().timeouts).to.equal(1);
    expect(loop.statistics().timeouts).to.equal(0);
    await other.start();
    periodic.stop();
  });

  it("L115 isRunning() is true from start() to stop(), also during a call", async () => {
    const during: boolean[] = [];
    const periodic = new PeriodicCallback(() => {
      during.push(periodic.isRunning());
      periodic.stop();
      during.push(periodic.isRunning());
      loop.stop();
    }, 10_000);
    expect(periodic.isRunning()).to.equal(false);
    periodic.start();
    expect(periodic.isRunning()).to.equal(true);
    await loop.start();
    expect(during).to.deep.equal([true, false]);
    expect(periodic.isRunning()).to.equal(false);
  });

  it("L115 L94 start() on a closed loop throws and does not count as started", () => {
    const periodic = new PeriodicCallback(() => undefined, 10_000, { ioLoop: loop });
    loop.close();
    expect(() => periodic.start()).to.throw(Error, /closed/);
    expect(periodic.isRunning()).to.equal(false);
  });

  describe("stop()", () => {
    it("L116 leaves no timeout, and no call comes after it", async () => {
      const callback = sinon.spy();
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      loop.callAt(1025, () => periodic.stop());
      loop.callAt(1100, loop.stop);
      await loop.start();
      expect(callback.callCount).to.equal(2);
      expect(loop.statistics().timeouts).to.equal(0);
    });

    it("L116 inside the callback ends it", async () => {
      const callback = sinon.spy();
      const periodic = new PeriodicCallback(() => {
        callback();
        periodic.stop();
      }, 10_000);
      periodic.start();
      loop.callAt(1100, loop.stop);
      await loop.start();
      expect(callback.callCount).to.equal(1);
    });

    it("L116 by another timeout of the same iteration ends it", async () => {
      const callback = sinon.spy();
      const periodic = new PeriodicCallback(callback, 10_000);
      loop.callAt(1010, () => periodic.stop());
      periodic.start();
      loop.callAt(1100, loop.stop);
      await loop.start();
      expect(callback.callCount).to.equal(0);
    });

    it("L116 holds also for a _run() called by hand", () => {
      const callback = sinon.spy();
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      periodic.stop();
      periodic._run();
      expect(callback.callCount).to.equal(0);
      expect(loop.statistics().timeouts).to.equal(0);
    });

    it("L116 before start(), or twice, does nothing", () => {
      const periodic = new PeriodicCallback(() => undefined, 10_000);
      periodic.stop();
      periodic.start();
      periodic.stop();
      periodic.stop();
      expect(periodic.isRunning()).to.equal(false);
      expect(loop.statistics().timeouts).to.equal(0);
    });
  });

  describe("starting again", () => {
    it("L117 after a stop measures from the new start, with one schedule", async () => {
      const { callback, calls } = taking(0, 0, 0);
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      loop.callAt(1007, () => {
        periodic.stop();
        periodic.start();
      });
      await loop.start();
      periodic.stop();
      expect(calls).to.deep.equal([1017, 1027, 1037]);
    });

    it("L117 while running restarts it, and the rate does not double", async () => {
      const { callback, calls } = taking(0, 0, 0);
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      periodic.start();
      loop.callAt(1007, () => periodic.start());
      await loop.start();
      periodic.stop();
      expect(calls).to.deep.equal([1017, 1027, 1037]);
    });

    for (const asynchronous of [false, true]) {
      it(`L117 inside ${asynchronous ? "an async" : "the"} callback makes one schedule, not two`, async () => {
        const { loop, clock } = makeVirtualLoop();
        const calls: number[] = [];
        const call = (): void => {
          calls.push(clock.now);
          if (calls.length === 1) {
            periodic.stop();
            periodic.start();
          } else if (calls.length === 2) {
            periodic.start();
          } else if (calls.length === 5) {
            loop.stop();
          }
        };
        const periodic = new PeriodicCallback(asynchronous ? async () => call() : call, 10_000, { ioLoop: loop });
        periodic.start();
        await loop.start();
        expect(calls).to.deep.equal([1010, 1020, 1030, 1040, 1050]);
        periodic.stop();
        expect(loop.statistics().timeouts).to.equal(0);
      });
    }

    it("L117 inside the callback measures from that start", async () => {
      const calls: number[] = [];
      const periodic = new PeriodicCallback(() => {
        calls.push(fake.now);
        fake.advance(3);
        if (calls.length === 1) periodic.start();
        fake.advance(1);
        if (calls.length === 3) loop.stop();
      }, 10_000);
      periodic.start();
      await loop.start();
      periodic.stop();
      expect(calls).to.deep.equal([1010, 1023, 1033]);
    });
  });

  describe("errors", () => {
    it("L118 in the callback are handled with the user's callback as first argument, and the schedule goes on", async () => {
      const caught: unknown[][] = [];
      loop.handleCallbackException = (...args) => caught.push(args);
      const error = new Error("expected");
      const callback = sinon.spy((): never => {
        if (callback.callCount === 3) loop.stop();
        throw error;
      });
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      await loop.start();
      periodic.stop();
      expect(callback.callCount).to.equal(3);
      expect(caught).to.deep.equal([
        [callback, error],
        [callback, error],
        [callback, error],
      ]);
      expect(fake.now).to.equal(1030);
    });

    it("L118 are logged by default with the callback's name", async () => {
      expectLog("application", "error", /Exception in callback tick[^]*Error: expected/);
      const periodic = new PeriodicCallback(function tick() {
        loop.stop();
        throw new Error("expected");
      }, 10_000);
      periodic.start();
      await loop.start();
      periodic.stop();
    });

    for (const how of ["thrown", "as a rejection"]) {
      it(`L118 a CancelledError ${how} is not logged and the schedule goes on`, async () => {
        const callback = sinon.spy((): unknown => {
          if (callback.callCount === 3) loop.stop();
          if (how === "thrown") throw new CancelledError();
          return Promise.reject(new CancelledError());
        });
        const periodic = new PeriodicCallback(callback, 10_000);
        periodic.start();
        await loop.start();
        periodic.stop();
        expect(callback.callCount).to.equal(3);
        expect(logRecords()).to.deep.equal([]);
      });
    }

    it("L119 a rejection is handled once, with the user's callback, and the schedule goes on", async () => {
      const caught: unknown[][] = [];
      loop.handleCallbackException = (...args) => caught.push(args);
      const error = new Error("expected");
      const callback = sinon.spy(async (): Promise<never> => {
        if (callback.callCount === 2) loop.stop();
        await Promise.resolve();
        throw error;
      });
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      await loop.start();
      await nextRound();
      periodic.stop();
      expect(caught).to.deep.equal([
        [callback, error],
        [callback, error],
      ]);
    });

    for (const how of ["thrown", "as a rejection"]) {
      it(`L63 an override that throws for an error ${how} ends the run; the schedule goes on in the next`, async () => {
        const fatal = new Error("fatal");
        loop.handleCallbackException = () => {
          throw fatal;
        };
        const callback = sinon.spy((): unknown => {
          if (callback.callCount === 2) loop.stop();
          if (callback.callCount > 1) return undefined;
          if (how === "thrown") throw new Error("expected");
          return Promise.reject(new Error("expected"));
        });
        const periodic = new PeriodicCallback(callback, 10_000);
        periodic.start();
        const [outcome] = await Promise.allSettled([loop.start()]);
        expect(outcome).to.deep.equal({ status: "rejected", reason: fatal });
        await loop.start();
        periodic.stop();
        expect(callback.callCount).to.equal(2);
      });
    }

    it("L118 a thenable whose then() throws is an error of the callback, and the schedule goes on", async () => {
      const caught: unknown[][] = [];
      loop.handleCallbackException = (...args) => caught.push(args);
      const error = new Error("expected");
      const callback = sinon.spy(() => {
        if (callback.callCount === 2) loop.stop();
        return {
          then(): never {
            throw error;
          },
        };
      });
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      await loop.start();
      await nextRound();
      periodic.stop();
      expect(caught).to.deep.equal([
        [callback, error],
        [callback, error],
      ]);
    });
  });

  describe("a promise returned", () => {
    let loop: PollIOLoop;
    let clock: VirtualPoller;

    beforeEach(() => {
      ({ loop, clock } = makeVirtualLoop());
      loop.makeCurrent();
    });

    /** A callback that is over `seconds` after it began; notes both. */
    function lasting(
      seconds: number,
      onStart?: (count: number) => void,
    ): { callback: () => Promise<void>; starts: number[]; ends: number[] } {
      const starts: number[] = [];
      const ends: number[] = [];
      const callback = async (): Promise<void> => {
        starts.push(clock.now);
        onStart?.(starts.length);
        await new Promise<void>((resolve) => {
          loop.callLater(seconds, resolve);
        });
        ends.push(clock.now);
      };
      return { callback, starts, ends };
    }

    it("L119 is waited for, so calls do not overlap: 10 ms, each taking 25 ms", async () => {
      const { callback, starts, ends } = lasting(0.025);
      const periodic = new PeriodicCallback(callback, 10);
      periodic.start();
      loop.callAt(1000.099, () => periodic.stop());
      loop.callAt(1000.2, loop.stop);
      await loop.start();
      expect(starts.map((each) => Math.round((each - 1000) * 1000))).to.deep.equal([10, 40, 70]);
      expect(ends.map((each) => Math.round((each - 1000) * 1000))).to.deep.equal([35, 65, 95]);
    });

    it("L120 stop() while it is pending: the call ends, and is not scheduled again", async () => {
      const { callback, starts, ends } = lasting(25);
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      loop.callAt(1020, () => periodic.stop());
      loop.callAt(1200, loop.stop);
      await loop.start();
      expect(starts).to.deep.equal([1010]);
      expect(ends).to.deep.equal([1035]);
      expect(loop.statistics().timeouts).to.equal(0);
    });

    it("L120 stop and start while it is pending: one schedule, no overlap, slots from the new start", async () => {
      const { callback, starts, ends } = lasting(25);
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      loop.callAt(1022, () => {
        periodic.stop();
        periodic.start();
        periodic.start();
      });
      loop.callAt(1100, () => periodic.stop());
      loop.callAt(1200, loop.stop);
      await loop.start();
      // From 1022 on the slots are 1032, 1042, ...: the first free one after the end at 1035.
      expect(starts).to.deep.equal([1010, 1042, 1072]);
      expect(ends).to.deep.equal([1035, 1067, 1097]);
    });

    it("L120 a loop closed while it is pending: no call, no error", async () => {
      let finish: () => void = () => undefined;
      const callback = sinon.spy(() => {
        loop.stop();
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      });
      const periodic = new PeriodicCallback(callback, 10_000);
      periodic.start();
      await loop.start();
      loop.close();
      finish();
      await new Promise(setImmediate);
      expect(callback.callCount).to.equal(1);
    });
  });

  it("L121 reads callbackTime and jitter at each scheduling", async () => {
    sinon.stub(Math, "random").returns(1);
    const calls: number[] = [];
    const periodic = new PeriodicCallback(() => {
      calls.push(fake.now);
      if (calls.length === 1) periodic.callbackTime = 20_000;
      if (calls.length === 3) periodic.jitter = 0.5;
      if (calls.length === 4) loop.stop();
    }, 10_000);
    periodic.start();
    // Already scheduled for 1010; holds from the next one.
    periodic.callbackTime = 15_000;
    await loop.start();
    periodic.stop();
    expect(calls).to.deep.equal([1010, 1030, 1050, 1075]);
  });

  describe("the schedule", () => {
    it("L122 goes by slots of one period; a stop due with a call comes after it if it was set later", async () => {
      const calls: number[] = [];
      const periodic = new PeriodicCallback(() => calls.push(fake.now), 10_000);
      periodic.start();
      loop.callLater(50, loop.stop);
      await loop.start();
      periodic.stop();
      expect(calls).to.deep.equal([1010, 1020, 1030, 1040, 1050]);
    });

    it("L123 skips the slots that a call overran, and makes none up", async () => {
      expect(await callsAt([9, 9, 10, 11, 20, 20, 35, 35, 0, 0, 0])).to.deep.equal([
        1010, 1020, 1030, 1050, 1070, 1100, 1130, 1170, 1210, 1220, 1230,
      ]);
      expect(fake.waits).to.deep.equal([10, 1, 1, 10, 9, 10, 10, 5, 5, 10, 10]);
    });

    it("L124 holds for further durations", async () => {
      expect(await callsAt([5, 25, 0, 40, 0, 9.999, 10, 0])).to.deep.equal([1010, 1020, 1050, 1060, 1110, 1120, 1130, 1150]);
    });

    it("L125 never calls twice for one slot when the clock goes back a little", async () => {
      expect(await callsAt([-2, -1, -3, -2, 0])).to.deep.equal([1010, 1020, 1030, 1040, 1050]);
    });

    it("L126 waits out a clock that goes back a lot", async () => {
      expect(await callsAt([-100, 0, 0])).to.deep.equal([1010, 1020, 1030]);
      expect(fake.waits).to.deep.equal([10, 110, 10]);
    });

    it("L127 catches up with a clock that goes forward by arithmetic", () => {
      const periodic = new PeriodicCallback(() => undefined, 10_000);
      periodic._nextTimeout = 1010;
      periodic._updateNext(5000.5);
      expect(periodic._nextTimeout).to.equal(5010);
      // Slot by slot this would take until tomorrow.
      periodic._nextTimeout = 0;
      periodic._updateNext(1e15);
      expect(periodic._nextTimeout).to.equal(1e15 + 10);
    });

    it("L127 catches up in a running loop too", async () => {
      expect(await callsAt([3990.5, 0])).to.deep.equal([1010, 5010]);
    });

    it("L128 jitter 0.5 spreads each period by a quarter to both sides", async () => {
      const random = sinon.stub(Math, "random");
      [0.5, 1, 0, 0.75].forEach((value, index) => random.onCall(index).returns(value));
      random.returns(0.5);
      expect(await callsAt([0, 0, 0, 0], 0.5)).to.deep.equal([1010, 1022.5, 1030, 1041.25]);
    });

    it("L128 jitter 0.1 spreads it by a twentieth", async () => {
      const random = sinon.stub(Math, "random");
      [0, 1, 0.5].forEach((value, index) => random.onCall(index).returns(value));
      random.returns(0.5);
      expect(await callsAt([0, 0, 0], 0.1)).to.deep.equal([1009.5, 1020, 1030]);
    });

    it("L129 reads Math.random once per scheduling with jitter, and never without", async () => {
      const random = sinon.stub(Math, "random").returns(0.5);
      await callsAt([0, 0, 0]);
      expect(random.callCount).to.equal(0);
      await callsAt([0, 0, 0], 0.1);
      // At start() and after each of the three calls.
      expect(random.callCount).to.equal(4);
    });

    it("L130 jitter counts from the previous due time: a random walk, not a window around slots", async () => {
      sinon.stub(Math, "random").returns(1);
      expect(await callsAt([0, 0, 0, 0], 0.5)).to.deep.equal([1012.5, 1025, 1037.5, 1050]);
    });

    for (const [next, now, period, expected] of [
      [1000, 1000, 10_000, 1010],
      [1000, 1009.9, 10_000, 1010],
      [1000, 1010, 10_000, 1020],
      [1000, 1047, 10_000, 1050],
      [1000, 999, 10_000, 1010],
      [1000, 0, 10_000, 1010],
      [1000, 1000, 250, 1000.25],
    ] as const) {
      it(`L131 _updateNext(${now}) takes a next of ${next} with period ${period} ms to ${expected}`, () => {
        const periodic = new PeriodicCallback(() => undefined, period);
        periodic._nextTimeout = next;
        periodic._updateNext(now);
        expect(periodic._nextTimeout).to.equal(expected);
      });
    }

    it("L131 the arithmetic runs with loop.time() at start(), from that time, and after each call", async () => {
      const update = sinon.spy(PeriodicCallback.prototype, "_updateNext");
      expect(await callsAt([3, 0])).to.deep.equal([1010, 1020]);
      expect(update.args).to.deep.equal([[1000], [1013], [1020]]);
    });
  });
});
