/** When start() begins and ends, and what keeps the process alive (H1, H2, H21 of docs/spec/ioloop.md). */
import { expect } from "chai";
import type { LoopStep } from "../../src/ioloop/index.js";
import { runFile } from "../support/child.js";
import { childSetups } from "../support/child-setups.js";
import { eachCombination } from "../support/combinations.js";
import { nextRound, settle } from "../support/real-timers.js";
import { quickest, untilWaiting } from "./waiting.js";

/** Lets every promise job and nextTick callback run that follows from this turn. */
async function restOfTurn(): Promise<void> {
  for (let hop = 0; hop < 50; hop++) await null;
  await new Promise((resolve) => process.nextTick(resolve));
  for (let hop = 0; hop < 50; hop++) await null;
}

describe("start()", () => {
  eachCombination((_, makeLoop) => {
    it("H1 resolves with undefined after the last iteration", async () => {
      const loop = makeLoop();
      const order: string[] = [];
      loop.addCallback(() => {
        order.push("callback");
        loop.stop();
        loop.callAt(0, () => order.push("not in this run"));
      });
      loop.callAt(0, () => order.push("timeout"));
      const settled = loop.start().then((value) => {
        order.push("resolved");
        return value;
      });
      expect(await settled).to.equal(undefined);
      expect(order).to.deep.equal(["callback", "timeout", "resolved"]);
      expect(loop.statistics().running).to.equal(false);
      loop.close();
    });

    it("H1 runs nothing inside the call, nor in the same turn", async () => {
      const loop = makeLoop();
      let ran = 0;
      loop.addCallback(() => ran++);
      loop.callAt(0, () => ran++);
      const steps: LoopStep[] = [];
      loop.observer = (step) => steps.push(step);
      const run = loop.start();
      expect([ran, steps.length]).to.deep.equal([0, 0]);
      await restOfTurn();
      expect([ran, steps.length]).to.deep.equal([0, 0]);
      expect(await settle(() => ran === 2)).to.equal(true);
      loop.observer = undefined;
      loop.stop();
      await run;
    });

    it("H1 does not resolve in the turn of the call, though a stop() was made before", async () => {
      const loop = makeLoop();
      loop.stop();
      let resolved = false;
      const run = loop.start().then(() => {
        resolved = true;
      });
      await restOfTurn();
      expect(resolved).to.equal(false);
      await run;
      expect(loop.statistics().iterations).to.equal(0);
    });

    it("H1 does not resolve inside stop(), nor in its turn, when that ends a wait", async () => {
      const loop = makeLoop();
      let resolved = false;
      const run = loop.start().then(() => {
        resolved = true;
      });
      await untilWaiting(loop);
      loop.stop();
      await restOfTurn();
      expect(resolved).to.equal(false);
      await run;
    });

    it("H21 is refused in a callback of the same loop, and the run goes on", async () => {
      const loop = makeLoop();
      const errors: unknown[] = [];
      let later = false;
      loop.addCallback(async () => {
        try {
          await loop.start();
        } catch (error) {
          errors.push(error);
        }
        loop.callLater(0.005, () => {
          later = true;
          loop.stop();
        });
      });
      await loop.start();
      expect(errors).to.have.lengthOf(1);
      expect(errors[0])
        .to.be.instanceOf(Error)
        .with.property("message")
        .that.matches(/already running/);
      expect(later).to.equal(true);
    });

    it("H21 refuses runSync() in a callback of the same loop by a rejection, and does not call the function", async () => {
      const loop = makeLoop();
      let called = false;
      const errors: unknown[] = [];
      loop.addCallback(async () => {
        const promise = loop.runSync(async () => {
          called = true;
        });
        try {
          await promise;
        } catch (error) {
          errors.push(error);
        }
        loop.stop();
      });
      await loop.start();
      await nextRound();
      expect(called).to.equal(false);
      expect(errors).to.have.lengthOf(1);
      expect(errors[0])
        .to.be.instanceOf(Error)
        .with.property("message")
        .that.matches(/running IOLoop/);
    });
  });
});

describe("the life of the process", function () {
  this.timeout(20_000);
  const program = "test/fixtures/life-span.ts";

  for (const { name, env } of childSetups) {
    describe(name, () => {
      it("H2 lasts as long as the loop runs, with nothing to do, through a top-level await", async () => {
        const result = await runFile(program, { args: ["await"], env, timeLimit: 8 });
        expect(result).to.include({ stdout: "stopped\n", stderr: "", code: 0 });
      });

      it("H2 lasts as long as the loop runs when start() is the last line, and ends with it", async () => {
        const result = await runFile(program, { args: ["last"], env, timeLimit: 8 });
        expect(result).to.include({ stdout: "alive\n", stderr: "", code: 0 });
      });

      it("H2 is not prolonged by loops that are not running, closed or not, whatever is left on them", async () => {
        const result = await runFile(program, { args: ["left-behind"], env, timeLimit: 8 });
        expect(result).to.include({ stdout: "loops 4\n", stderr: "", code: 0, timedOut: false });
      });

      it("H2 ends at process.exit() during a wait", async () => {
        const end = async (): Promise<number> => {
          const result = await runFile(program, { args: ["exit"], env, timeLimit: 8 });
          expect(result).to.include({ stderr: "", code: 7 });
          return Date.now() - Number(result.stdout);
        };
        // A call in the thread pool is waited for, up to its second.
        const limit = env["IOLOOP_HOST"] === "uv-poll" ? 500 : 1600;
        expect(await quickest(limit, end)).to.be.below(limit);
      });

      it("H10 ends by a SIGINT that nobody listens for", async () => {
        const result = await runFile(program, { args: ["interrupted"], env, timeLimit: 8 });
        expect(result).to.include({ stdout: "interrupting\n", stderr: "", code: null, signal: "SIGINT", timedOut: false });
      });
    });
  }

  it("H2 lasts as long as a loop around a poller of one's own runs", async () => {
    const result = await runFile(program, { args: ["await-own-poller"], timeLimit: 8 });
    expect(result).to.include({ stdout: "stopped\n", stderr: "", code: 0 });
  });
});
