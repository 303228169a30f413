/** What is asked of a wait, and what may happen between its end and the dispatch (H13-H15, H19 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { IOLoop } from "../../src/ioloop/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { FakePoller } from "../support/fake-poller.js";
import { makeLoop as makeAnyLoop } from "../support/loop.js";
import { nextRound, realDelay, realMilliseconds, settle } from "../support/real-timers.js";
import { ManualPoller } from "./async-poller.js";
import { Files, makeFakeLoop, put } from "./driving.js";
import { duringWait, nodeRound, untilWaiting } from "./waiting.js";

describe("waits", () => {
  eachCombination((_, makeLoop) => {
    let files: Files;

    beforeEach(() => {
      files = new Files();
    });

    afterEach(() => {
      files.close();
    });

    /** Lets the descriptor become readable and the host learn of it, and runs `change` just before the turn that this sets off. */
    async function betweenPollAndDispatch(writer: number, change: () => void): Promise<void> {
      await nextRound();
      put(writer);
      await new Promise<void>((resolve) => {
        setImmediate(() => {
          change();
          resolve();
        });
      });
    }

    it("H13 gives no event to a handler that was removed between the poll and its dispatch", async () => {
      const loop = makeLoop();
      await duringWait(loop, async () => {
        for (let round = 0; round < 30; round++) {
          const [reader, writer] = files.pipe();
          let called = 0;
          let removed = false;
          loop.addHandler(
            reader,
            () => {
              called++;
              expect(removed).to.equal(false);
              loop.removeHandler(reader);
            },
            IOLoop.READ,
          );
          await untilWaiting(loop);
          await betweenPollAndDispatch(writer, () => {
            removed = called === 0;
            loop.removeHandler(reader);
          });
          await nextRound();
          await nextRound();
          files.drop(reader);
          files.drop(writer);
        }
      });
    });

    it("H13 gives no event of the old registration to a new one, of the same descriptor or of its number used again", async () => {
      const loop = makeLoop();
      const events: string[] = [];
      await duringWait(loop, async () => {
        for (let round = 0; round < 30; round++) {
          const [reader, writer] = files.pipe();
          const [fresh] = files.pipe();
          loop.addHandler(reader, () => undefined, IOLoop.READ);
          await untilWaiting(loop);
          await betweenPollAndDispatch(writer, () => {
            loop.removeHandler(reader);
            files.drop(reader);
            files.moveTo(fresh, reader);
            loop.addHandler(reader, () => events.push("nothing was written to this one"), IOLoop.READ);
          });
          await nextRound();
          await nextRound();
          loop.removeHandler(reader);
        }
      });
      expect(events).to.deep.equal([]);
    });

    it("H14 does not spin through the last millisecond, and runs nothing early", async () => {
      const loop = makeLoop();
      await duringWait(loop, async () => {
        for (let round = 0; round < 10; round++) {
          const { iterations } = loop.statistics();
          const deadline = loop.time() + 0.0025;
          const late = await new Promise<number>((resolve) => loop.callAt(deadline, () => resolve(loop.time() - deadline)));
          expect(late).to.be.at.least(0);
          expect(loop.statistics().iterations - iterations).to.be.at.most(5);
        }
      });
    });

    it("H14 tells the poller the exact wait", async () => {
      let clock = 1000;
      const loop = makeLoop({ timeFunc: () => clock });
      const waits: number[] = [];
      loop.observer = (step) => {
        if (step.type === "wait") waits.push(step.seconds);
      };
      const handle = loop.callAt(1012.34567, () => undefined);
      const run = loop.start();
      await untilWaiting(loop);
      clock = 1000.5;
      loop.addCallback(() => undefined);
      expect(await settle(() => waits.length === 2)).to.equal(true);
      loop.observer = undefined;
      loop.stop();
      await run;
      loop.removeTimeout(handle);
      expect(waits).to.deep.equal([1012.34567 - 1000, 1012.34567 - 1000.5]);
    });

    it("H15 a deadline more than 2^31 ms away is no immediate wake-up", async () => {
      const loop = makeLoop();
      const ran: number[] = [];
      const handles = [2 ** 31 / 1000, 2 ** 31 / 1000 + 0.001, 2 ** 32 / 1000, 1e12, Number.MAX_VALUE, Infinity].map((delay) =>
        loop.callLater(delay, () => ran.push(delay)),
      );
      await duringWait(loop, async () => {
        const { iterations } = loop.statistics();
        await realDelay(60);
        expect(loop.statistics().iterations - iterations).to.be.at.most(1);
      });
      expect(ran).to.deep.equal([]);
      for (const handle of handles) loop.removeTimeout(handle);
    });
  });
});

describe("a poller of one's own", () => {
  it("H13 that answers by a promise: no event for a handler removed before the dispatch", async () => {
    const poller = new ManualPoller();
    const loop = makeAnyLoop({ impl: poller });
    const events: string[] = [];
    loop.addHandler(900, () => events.push("removed"), IOLoop.READ);
    loop.addHandler(901, () => events.push("removed and added again"), IOLoop.READ);
    loop.addHandler(902, () => events.push("kept"), IOLoop.READ);
    const run = loop.start();
    await untilWaiting(loop);
    poller.answer([900, IOLoop.READ], [901, IOLoop.READ], [902, IOLoop.READ]);
    for (let hop = 0; hop < 10; hop++) await null;
    loop.removeHandler(900);
    loop.removeHandler(901);
    loop.addHandler(901, () => events.push("new one"), IOLoop.READ);
    expect(await settle(() => events.includes("kept"))).to.equal(true);
    expect(events).to.deep.equal(["kept"]);
    await untilWaiting(loop);
    loop.removeHandler(901);
    loop.removeHandler(902);
    loop.stop();
    poller.answer();
    await run;
  });

  it("H15 is asked for an hour at most", async () => {
    const { fake, loop } = makeFakeLoop();
    loop.callLater(2 ** 31 / 1000, loop.stop);
    await loop.start();
    expect(Math.max(...fake.waits)).to.equal(3600);
    expect(fake.waits.reduce((sum, wait) => sum + wait)).to.equal(2 ** 31 / 1000);
  });

  it("H19 is asked once in each iteration, for the wait of that iteration, and the loop waits no longer itself", async () => {
    const { fake, loop } = makeFakeLoop();
    const polls: number[] = [];
    fake.onPoll = () => polls.push(loop.statistics().iterations);
    for (const delay of [0, 0.5, 100, 100.25, 5000]) loop.callLater(delay, () => undefined);
    loop.callLater(5000, () => {
      loop.addCallback(loop.stop);
    });
    const began = realMilliseconds();
    await loop.start();
    expect(fake.waits).to.deep.equal([0.5, 99.5, 0.25, 3600, 1299.75, 0]);
    expect(polls).to.deep.equal([1, 2, 3, 4, 5, 6]);
    // Not the hour and more of those waits.
    expect(realMilliseconds() - began).to.be.below(5000);
  });

  it("H19 lets Node make a round after each dispatch", async () => {
    const { fake, loop } = makeFakeLoop();
    const rounds: number[] = [];
    loop.addHandler(900, () => rounds.push(nodeRound()), IOLoop.READ);
    for (let each = 0; each < 20; each++) fake.answer([900, IOLoop.READ]);
    loop.callLater(1, loop.stop);
    await loop.start();
    loop.removeHandler(900);
    expect(rounds.length).to.equal(20);
    expect(new Set(rounds).size).to.equal(20);
  });

  it("H19 is polled before the promise reactions of that iteration's callbacks and timeouts run", async () => {
    const { fake, loop } = makeFakeLoop();
    const order: string[] = [];
    fake.onPoll = () => order.push("poll");
    const react = (name: string): void => {
      order.push(name);
      void Promise.resolve().then(() => order.push(`reaction of the ${name}`));
    };
    loop.addCallback(react, "callback");
    loop.callAt(1000, react, "timeout");
    loop.addHandler(900, () => react("handler"), IOLoop.READ);
    fake.answer([900, IOLoop.READ]);
    loop.callAt(1001, loop.stop);
    await loop.start();
    loop.removeHandler(900);
    expect(order.slice(0, 4)).to.deep.equal(["callback", "timeout", "poll", "handler"]);
    expect(order.slice(4, 7)).to.have.members(["reaction of the callback", "reaction of the timeout", "reaction of the handler"]);
    expect(order.slice(7)).to.deep.equal(["poll"]);
  });

  it("H19 that fails ends the run with its error, and the loop can be started again", async () => {
    const fake = new FakePoller(1000);
    const loop: PollIOLoop = makeAnyLoop({ impl: fake, timeFunc: fake.time });
    fake.onPoll = () => {
      throw new Error("no more");
    };
    const error = await loop.start().catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(Error).with.property("message", "no more");
    fake.onPoll = undefined;
    loop.callLater(1, loop.stop);
    await loop.start();
  });
});
