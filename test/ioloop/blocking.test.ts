/** The blocking thresholds (L109-L111). The real clock that they go by is a fake one here; the process's own fate is that of a child's. */
import { expect } from "chai";
import sinon from "sinon";
import { type BlockInfo, IOLoop, type PollIOLoop } from "../../src/ioloop/index.js";
import { runSource } from "../support/child.js";
import type { FakePoller } from "../support/fake-poller.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { makeFakeLoop } from "./driving.js";

describe("IOLoop: blocking thresholds", () => {
  let loop: PollIOLoop;
  let fake: FakePoller;
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    ({ loop, fake } = makeFakeLoop());
    clock = sinon.useFakeTimers({ toFake: ["performance"] });
  });

  /** Takes `seconds` of real time; the loop's own clock stands still. */
  function work(seconds: number): void {
    clock.tick(seconds * 1000);
  }

  /** Sets a threshold of one second and collects what is reported. */
  function watch(threshold = 1): BlockInfo[] {
    const reports: BlockInfo[] = [];
    loop.setBlockingSignalThreshold(threshold, (info) => reports.push(info));
    return reports;
  }

  /** Runs the loop with `callbacks` in the first iteration after a poll, and stops it in the one after. */
  async function runAfterPoll(...callbacks: (() => unknown)[]): Promise<void> {
    loop.addCallback(() => {
      for (const callback of callbacks) loop.addCallback(callback);
      loop.addCallback(() => loop.addCallback(loop.stop));
    });
    await loop.start();
  }

  it("L109 adds up the handlers, callbacks and timeouts between two polls", async () => {
    const reports = watch();
    const handler = (): void => {
      work(0.4);
      loop.removeHandler(9);
    };
    const callback = (): void => work(0.4);
    const timeout = (): void => {
      work(0.4);
      loop.addCallback(loop.stop);
    };
    loop.addHandler(9, handler, IOLoop.READ);
    fake.answer([9, IOLoop.READ]);
    loop.addCallback(() => {
      loop.addCallback(callback);
      loop.callAt(1000, timeout);
    });
    await loop.start();
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include({ threshold: 1, callback: timeout });
    expect(reports[0]?.seconds).to.be.closeTo(1.2, 1e-9);
    expect(reports[0]?.stack).to.match(/timeout[^]*work\(0?\.4\)/);
  });

  it("L109 a span of just the threshold is none; each span is measured on its own", async () => {
    const reports = watch();
    await runAfterPoll(
      () => work(1),
      () => loop.addCallback(() => work(0.9)),
    );
    expect(reports).to.deep.equal([]);
  });

  it("L109 handlers of one batch do not count for the next", async () => {
    const reports = watch();
    let calls = 0;
    loop.addHandler(
      9,
      () => {
        work(0.6);
        if (++calls === 4) loop.stop();
      },
      IOLoop.READ,
    );
    for (let batch = 0; batch < 4; batch++) fake.answer([9, IOLoop.READ]);
    await loop.start();
    loop.removeHandler(9);
    expect(reports).to.deep.equal([]);
  });

  it("L109 reports a slow handler by itself", async () => {
    const reports = watch();
    const handler = (): void => {
      work(2);
      loop.stop();
    };
    loop.addHandler(9, handler, IOLoop.READ);
    fake.answer([9, IOLoop.READ]);
    await loop.start();
    loop.removeHandler(9);
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include({ seconds: 2, callback: handler });
  });

  it("L109 makes at most one report for each span", async () => {
    const reports = watch();
    const slow = (): void => work(2);
    await runAfterPoll(slow, slow, () => loop.addCallback(slow));
    expect(reports.map((each) => each.seconds)).to.deep.equal([2, 2]);
  });

  it("L109 does not count waiting", async () => {
    const reports = watch();
    fake.onPoll = () => work(10);
    await runAfterPoll(() => work(0.5));
    loop.callLater(60, loop.stop);
    await loop.start();
    expect(reports).to.deep.equal([]);
  });

  it("L109 does not count what Node does between the loop's turns", async () => {
    const reports = watch();
    setImmediate(() => work(5));
    await runAfterPoll(() => {
      work(0.5);
      void Promise.resolve().then(() => work(5));
      setImmediate(() => work(5));
    });
    expect(reports).to.deep.equal([]);
  });

  it("L109 does not count the work before the first poll, of any run", async () => {
    const reports = watch();
    for (let run = 0; run < 3; run++) {
      loop.addCallback(() => work(5));
      await runAfterPoll(() => work(0.5));
    }
    expect(reports).to.deep.equal([]);
  });

  it("L109 does not count what happens between iterations run by hand", () => {
    const reports = watch();
    for (let step = 0; step < 3; step++) {
      loop.addCallback(() => work(0.5));
      loop.runIteration();
      work(5);
    }
    expect(reports).to.deep.equal([]);
  });

  it("L109 goes by real time, not by timeFunc", async () => {
    const reports = watch();
    await runAfterPoll(() => fake.advance(100));
    expect(reports).to.deep.equal([]);
    await runAfterPoll(() => work(1.5));
    expect(reports).to.have.length(1);
  });

  it("L109 a function that throws has taken its time as well", async () => {
    const reports = watch();
    loop.handleCallbackException = () => undefined;
    await runAfterPoll(() => {
      work(2);
      throw new Error("expected");
    });
    expect(reports).to.have.length(1);
  });

  it("L110 setBlockingLogThreshold() logs one warning with the threshold and the function's name", async () => {
    expectLog("general", "warn", /2\.000 seconds.*threshold 0\.5.*crunchNumbers/);
    loop.setBlockingLogThreshold(0.5);
    await runAfterPoll(function crunchNumbers() {
      work(2);
    });
    expect(logRecords().filter((each) => each.level === "warn")).to.have.length(1);
  });

  it("L110 undefined switches off", async () => {
    loop.setBlockingLogThreshold(0.5);
    loop.setBlockingLogThreshold(undefined);
    await runAfterPoll(() => work(2));
    loop.setBlockingSignalThreshold(0.5, () => expect.fail("switched off"));
    loop.setBlockingSignalThreshold(undefined, undefined);
    await runAfterPoll(() => work(2));
    expect(logRecords()).to.deep.equal([]);
  });

  it("L110 L111 setBlockingLogThreshold() is the case of the action logStack, which can be replaced", async () => {
    const logStack = sinon.stub(loop, "logStack");
    loop.setBlockingLogThreshold(1);
    const slow = (): void => work(2);
    await runAfterPoll(slow);
    expect(logStack.callCount).to.equal(1);
    expect(logStack.firstCall.args[0]).to.include({ threshold: 1, seconds: 2, callback: slow });
    expect(loop._blockingSignalThreshold).to.equal(1);
  });

  it("L111 setBlockingSignalThreshold() calls the action instead of logging", async () => {
    const reports = watch(0.25);
    const slow = (): void => work(0.5);
    await runAfterPoll(slow);
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include({ threshold: 0.25, seconds: 0.5, callback: slow });
    expect(logRecords()).to.deep.equal([]);
  });

  it("L111 an action that throws ends neither the run nor the watch", async () => {
    expectLog("application", "error", /blocking threshold[^]*bad action/, 2);
    loop.setBlockingSignalThreshold(1, () => {
      throw new Error("bad action");
    });
    const slow = (): void => work(2);
    await runAfterPoll(slow, () => loop.addCallback(slow));
  });

  it("L111 refuses a threshold that is no time and an action that is no function", () => {
    expect(() => loop.setBlockingLogThreshold(NaN)).to.throw(TypeError, /seconds is NaN/);
    expect(() => loop.setBlockingLogThreshold("1" as unknown as number)).to.throw(TypeError, /seconds is '1'/);
    expect(() => loop.setBlockingSignalThreshold(1, "log" as unknown as () => void)).to.throw(TypeError, /action is 'log'/);
    expect(loop._blockingSignalThreshold).to.equal(undefined);
  });

  it("L111 without an action the process gets SIGALRM, which ends it by default", async () => {
    const program = (rest: string): string => `
      import { IOLoop } from "../src/ioloop/index.js";
      const loop = IOLoop.current();
      loop.setBlockingSignalThreshold(0.01, undefined);
      ${rest}
      loop.addCallback(() => loop.addCallback(() => {
        const until = performance.now() + 50;
        while (performance.now() < until);
      }));
      loop.callLater(0.2, () => {
        process.stdout.write("still here");
        loop.stop();
      });
      await loop.start();
    `;
    const [plain, listening] = await Promise.all([
      runSource(program("")),
      // Not once(): on a busy machine a later iteration may take too long as well, and its signal would find nobody listening.
      runSource(program(`let heard = false; process.on("SIGALRM", () => { if (!heard) process.stdout.write("alarm, "); heard = true; });`)),
    ]);
    expect(plain).to.include({ signal: "SIGALRM", code: null, stdout: "" });
    expect(listening).to.include({ signal: null, code: 0, stdout: "alarm, still here" });
  }).timeout(20_000);
});
