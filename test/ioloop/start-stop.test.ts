/** Starting and stopping (L67-L74). */
import { expect } from "chai";
import { IOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { nextRound } from "../support/real-timers.js";
import { drain, Files, makeFakeLoop } from "./driving.js";
import { untilWaiting } from "./waiting.js";

/** Starts the loop and stops it in the first iteration: what was queued before runs. */
async function runQueued(loop: IOLoop): Promise<void> {
  loop.addCallback(loop.stop);
  await loop.start();
}

describe("IOLoop: start and stop", () => {
  const files = new Files();

  afterEach(() => files.close());

  it("L67 stop() in a callback: the snapshot and the due list run, nothing is polled, what they added comes in the next run", async () => {
    const { loop, fake } = makeFakeLoop();
    const ran: string[] = [];
    const say = (name: string) => () => void ran.push(name);
    loop.addCallback(() => {
      ran.push("c1");
      loop.stop();
      loop.addCallback(say("X"));
      loop.callAt(1, say("Y"));
    });
    loop.addCallback(say("c2"));
    loop.callAt(1000, say("T"));
    await loop.start();
    expect(ran).to.deep.equal(["c1", "c2", "T"]);
    expect(fake.waits).to.deep.equal([]);
    ran.length = 0;
    loop.callAt(1001, loop.stop);
    await loop.start();
    expect(ran).to.deep.equal(["X", "Y"]);
  });

  it("L67 stop() in a timeout: the rest of the due list runs, and the loop leaves without polling", async () => {
    const { loop, fake } = makeFakeLoop();
    const ran: string[] = [];
    loop.callAt(999, loop.stop);
    loop.callAt(1000, () => ran.push("T"));
    await loop.start();
    expect(ran).to.deep.equal(["T"]);
    expect(fake.waits).to.deep.equal([]);
  });

  eachCombination((_name, makeLoop) => {
    it("L68 stop() in a handler: the rest of the batch, one round of callbacks and due timeouts, then the end", async () => {
      const loop = makeLoop();
      const [first] = files.fullPipe();
      const [second] = files.fullPipe();
      const ran: string[] = [];
      const handler = (fd: number): void => {
        ran.push("handler");
        drain(fd);
        if (ran.length > 1) return;
        loop.stop();
        loop.addCallback(() => {
          ran.push("X");
          loop.addCallback(() => ran.push("later X"));
          loop.callAt(0, () => ran.push("later Y"));
        });
        loop.callAt(0, () => ran.push("Y"));
      };
      loop.addHandler(first, handler, IOLoop.READ);
      loop.addHandler(second, handler, IOLoop.READ);
      await loop.start();
      expect(ran).to.deep.equal(["handler", "handler", "X", "Y"]);
      expect(loop.statistics()).to.include({ callbacks: 1, timeouts: 1, running: false });
      await runQueued(loop);
      expect(ran.slice(4)).to.deep.equal(["later X", "later Y"]);
      loop.removeHandler(first);
      loop.removeHandler(second);
    });

    it("L69 stop() from outside ends the wait at once; what is queued with it runs, what that adds stays", async () => {
      const loop = makeLoop();
      const ran: string[] = [];
      const run = loop.start();
      await untilWaiting(loop);
      loop.stop();
      loop.addCallback(() => {
        ran.push("callback");
        loop.addCallback(() => ran.push("later"));
      });
      loop.callAt(0, () => ran.push("timeout"));
      await run;
      expect(ran).to.deep.equal(["callback", "timeout"]);
      await runQueued(loop);
      expect(ran).to.deep.equal(["callback", "timeout", "later"]);
    });

    it("L69 stop() from outside: what is ready is dispatched first", async () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      const ran: string[] = [];
      const run = loop.start();
      await untilWaiting(loop);
      loop.addHandler(
        reader,
        () => {
          ran.push("handler");
          drain(reader);
          loop.addCallback(() => ran.push("callback"));
        },
        IOLoop.READ,
      );
      loop.stop();
      await run;
      loop.removeHandler(reader);
      expect(ran).to.deep.equal(["handler", "callback"]);
    });

    it("L70 stop() before start(): that start() resolves without an iteration, the next is normal", async () => {
      const loop = makeLoop();
      const ran: string[] = [];
      loop.addCallback(() => ran.push("callback"));
      loop.callAt(0, () => ran.push("timeout"));
      loop.stop();
      loop.stop();
      loop.stop();
      await loop.start();
      expect(ran).to.deep.equal([]);
      expect(loop.statistics()).to.include({ iterations: 0, callbacks: 1, timeouts: 1 });
      await runQueued(loop);
      expect(ran).to.deep.equal(["callback", "timeout"]);
    });

    it("L71 start and stop follow each other without end; callbacks, timeouts and handlers carry over", async () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      const ran = { handler: 0, callback: 0, timeout: 0 };
      let runs = 0;
      const callback = (): void => {
        ran.callback++;
        loop.addCallback(callback);
      };
      const timeout = (): void => {
        ran.timeout++;
        loop.callAt(0, timeout);
      };
      loop.addHandler(
        reader,
        () => {
          ran.handler++;
          loop.stop();
        },
        IOLoop.READ,
      );
      loop.addCallback(callback);
      loop.callAt(0, timeout);
      for (; runs < 50; runs++) await loop.start();
      loop.removeHandler(reader);
      // Two rounds of callbacks and timeouts in each run: one before the poll, one after the handler has stopped it.
      expect(ran).to.deep.equal({ handler: 50, callback: 100, timeout: 100 });
      // A callback and a timeout are always left, so that nothing is left to look at.
      loop.close();
    });

    it("L73 start() while running throws from the call itself and disturbs nothing", async () => {
      const loop = makeLoop();
      const ran: string[] = [];
      const run = loop.start();
      expect(() => loop.start()).to.throw(Error, /already running/);
      await untilWaiting(loop);
      expect(() => loop.start()).to.throw(Error, /already running/);
      loop.addCallback(() => {
        expect(() => loop.start()).to.throw(Error, /already running/);
        ran.push("in a callback");
      });
      loop.callLater(0.01, () => {
        ran.push("afterwards");
        loop.stop();
      });
      await run;
      expect(ran).to.deep.equal(["in a callback", "afterwards"]);
    });

    it("L73 start() between stop() and the end of the run throws, too", async () => {
      const loop = makeLoop();
      let inCallback: unknown;
      loop.addCallback(() => {
        loop.stop();
        try {
          void loop.start();
        } catch (error) {
          inCallback = error;
        }
      });
      await loop.start();
      expect(inCallback)
        .to.be.instanceOf(Error)
        .with.property("message")
        .that.matches(/already running/);
      const run = loop.start();
      await untilWaiting(loop);
      loop.stop();
      expect(() => loop.start()).to.throw(Error, /already running/);
      await run;
      await runQueued(loop);
    });

    it("L71 a run that begins in the reaction to the end of the last one is as good as any", async () => {
      const loop = makeLoop();
      const ran: number[] = [];
      const again = (left: number): Promise<void> => {
        loop.addCallback(() => {
          ran.push(left);
          loop.stop();
        });
        return loop.start().then(() => (left > 1 ? again(left - 1) : undefined));
      };
      await again(5);
      expect(ran).to.deep.equal([5, 4, 3, 2, 1]);
    });
  });

  it("L70 several stops count as one, also those after the run's own", async () => {
    const { loop } = makeFakeLoop();
    let calls = 0;
    loop.addCallback(() => {
      loop.stop();
      loop.stop();
    });
    await loop.start();
    loop.addCallback(() => calls++);
    await runQueued(loop);
    expect(calls).to.equal(1);
  });

  it("L70 a stop() between start() and the first iteration: that iteration's callbacks run", async () => {
    const { loop, fake } = makeFakeLoop();
    let calls = 0;
    loop.addCallback(() => calls++);
    const run = loop.start();
    loop.stop();
    await run;
    expect(calls).to.equal(1);
    expect(fake.waits).to.deep.equal([]);
  });

  it("L72 stop() returns undefined, is bound, and does nothing on a closed loop", async () => {
    const { loop, fake } = makeFakeLoop();
    const stop: () => unknown = loop.stop;
    loop.callLater(1, stop);
    await loop.start();
    expect(fake.now).to.equal(1001);
    loop.addCallback(stop);
    await loop.start();
    expect(stop()).to.equal(undefined);
    await loop.start();
    loop.close();
    expect(stop()).to.equal(undefined);
  });

  it("L74 start() on a closed loop throws from the call itself, also after a stop()", async () => {
    const { loop } = makeFakeLoop();
    loop.close();
    expect(() => loop.start()).to.throw(Error, /start\(\) on a closed IOLoop/);
    loop.stop();
    expect(() => loop.start()).to.throw(Error, /closed/);
    const { loop: stopped } = makeFakeLoop();
    stopped.stop();
    stopped.close();
    expect(() => stopped.start()).to.throw(Error, /closed/);
    await nextRound();
    expect(loop.statistics()).to.include({ running: false, closed: true, iterations: 0 });
  });
});
