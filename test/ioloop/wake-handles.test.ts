/** The way in from other threads (H11 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { once } from "node:events";
import { IOLoop, wakeLoop } from "../../src/ioloop/index.js";
import type { WakeToken } from "../../src/ioloop/index.js";
import { createEventFd, readDescriptor } from "../../src/platform/index.js";
import { eachCombination } from "../support/combinations.js";
import { openDescriptors } from "../support/descriptors.js";
import { countCalls } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { nextRound, settle } from "../support/real-timers.js";
import { startWorker } from "../support/worker.js";
import { Files } from "./driving.js";
import { AT_ONCE, deferred, duringWait, millisecondsUntil, quickest, untilWaiting } from "./waiting.js";

describe("wake handles", function () {
  this.timeout(20_000);

  eachCombination((_, makeLoop) => {
    it("H11 wake() ends the wait and runs the callback as a callback of the loop, never inside the call", async () => {
      const loop = makeLoop({ makeCurrent: false });
      let called = deferred();
      const ran: { args: unknown[]; current: IOLoop | undefined }[] = [];
      const handle = loop.createWakeHandle((...args: unknown[]) => {
        ran.push({ args, current: IOLoop.current(false) });
        called.resolve();
      });
      let wakes = 0;
      await duringWait(loop, async () => {
        const attempt = async (): Promise<number> => {
          await untilWaiting(loop);
          called = deferred();
          handle.wake();
          expect(ran.length).to.equal(wakes);
          await null;
          expect(ran.length).to.equal(wakes++);
          return millisecondsUntil(called.promise);
        };
        expect(await quickest(AT_ONCE, attempt)).to.be.below(AT_ONCE);
      });
      expect(ran).to.have.lengthOf(wakes);
      for (const { args, current } of ran) {
        expect(args).to.deep.equal([]);
        expect(current).to.equal(loop);
      }
    });

    it("H11 a token works in several workers, by workerData and by message, and nothing posted before the last wake is missed", async () => {
      const loop = makeLoop();
      const counter = new SharedArrayBuffer(4);
      const numbers = new Int32Array(counter);
      let seen = 0;
      let runs = 0;
      const handle = loop.createWakeHandle(() => {
        runs++;
        seen = Atomics.load(numbers, 0);
      });
      const WAKES = 2000;
      await duringWait(loop, async () => {
        const workers = [1, 2].map(() => startWorker("wake-worker.ts", { token: handle.token, counter, wakes: WAKES }));
        const patient = startWorker("wake-worker.ts");
        const ready = once(patient, "message");
        await Promise.all(
          workers.map(async (worker) => {
            const exit = once(worker, "exit");
            expect(await once(worker, "message")).to.deep.equal([true]);
            expect(await exit).to.deep.equal([0]);
          }),
        );
        expect(await settle(() => seen === 2 * WAKES)).to.equal(true);
        expect(runs).to.be.within(1, 2 * WAKES);

        await ready;
        const before = runs;
        patient.postMessage(handle.token);
        expect(await once(patient, "message")).to.deep.equal([true]);
        expect(await settle(() => runs > before)).to.equal(true);

        handle.close();
        const after = runs;
        patient.postMessage(handle.token);
        expect(await once(patient, "message"), "closed").to.deep.equal([false]);
        await nextRound();
        await nextRound();
        expect(runs).to.equal(after);
        const exit = once(patient, "exit");
        patient.postMessage("end");
        await exit;
      });
    });

    it("H11 wakes merge, and each handle has its own callback", async () => {
      const loop = makeLoop();
      const runs = { one: 0, two: 0, three: 0 };
      const one = loop.createWakeHandle(() => runs.one++);
      const two = loop.createWakeHandle(() => runs.two++);
      loop.createWakeHandle(() => runs.three++);
      await duringWait(loop, async () => {
        for (let wake = 0; wake < 1000; wake++) one.wake();
        two.wake();
        expect(await settle(() => runs.one > 0 && runs.two > 0)).to.equal(true);
        await nextRound();
      });
      expect(runs).to.deep.equal({ one: 1, two: 1, three: 0 });
    });

    it("H11 a wake before start(), and one between two runs, is not lost", async () => {
      const loop = makeLoop();
      let runs = 0;
      const handle = loop.createWakeHandle(() => {
        runs++;
        loop.stop();
      });
      handle.wake();
      await loop.start();
      expect(runs).to.equal(1);
      handle.wake();
      await loop.start();
      expect(runs).to.equal(2);
    });

    it("H11 a callback that wakes its own handle runs again, and others get their turns", async () => {
      const loop = makeLoop();
      let runs = 0;
      const handle = loop.createWakeHandle(() => {
        runs++;
        if (runs < 20) handle.wake();
      });
      await duringWait(loop, async () => {
        handle.wake();
        expect(await settle(() => runs === 20)).to.equal(true);
      });
    });

    it("H11 an error of the callback is handled as that of any callback", async () => {
      const loop = makeLoop();
      expectLog("application", "error", /Exception in callback.*\nError: woken for nothing/);
      const { promise, resolve } = deferred();
      const handle = loop.createWakeHandle(() => {
        resolve();
        throw new Error("woken for nothing");
      });
      await duringWait(loop, async () => {
        handle.wake();
        await promise;
      });
    });

    for (const [what, close] of [
      ["handle.close()", (_: IOLoop, handle: { close(): void }) => handle.close()],
      ["loop.close()", (loop: IOLoop) => loop.close()],
    ] as const) {
      it(`H11 after ${what} wakeLoop() answers false and touches no descriptor, though the number is used again`, () => {
        const loop = makeLoop();
        const files = new Files();
        try {
          const before = new Set(openDescriptors().keys());
          const handle = loop.createWakeHandle(() => undefined);
          expect(
            [...openDescriptors().keys()].filter((fd) => !before.has(fd)),
            "a handle takes no descriptor",
          ).to.deep.equal([]);
          expect(wakeLoop(handle.token)).to.equal(true);
          close(loop, handle);
          const number = loop._waker.fileno();
          // Every number that the loop had is taken by an eventfd, in which a stray wake would be seen.
          const strangers = [1, 2, 3, 4, 5].map(() => files.adopt(createEventFd()));
          using writes = countCalls("write");
          expect(wakeLoop(handle.token)).to.equal(false);
          handle.wake();
          handle.close();
          expect(writes.calls).to.equal(0);
          for (const fd of strangers) expect(readDescriptor(fd, Buffer.alloc(8))).to.equal(undefined);
          if (what === "loop.close()") expect(number).to.equal(-1);
        } finally {
          files.close();
        }
      });
    }

    it("H11 a wake that came before handle.close() may still run its callback, but no later one does", async () => {
      const loop = makeLoop();
      let runs = 0;
      const handle = loop.createWakeHandle(() => runs++);
      await duringWait(loop, async () => {
        handle.close();
        handle.wake();
        await nextRound();
        await nextRound();
      });
      expect(runs).to.equal(0);
    });
  });

  it("H11 a token can be cloned, and the clone wakes the same loop", () => {
    using loop = new IOLoop({ makeCurrent: false });
    let runs = 0;
    const handle = loop.createWakeHandle(() => runs++);
    expect(wakeLoop(structuredClone(handle.token))).to.equal(true);
    loop.runIteration();
    loop.runIteration();
    expect(runs).to.equal(1);
  });

  it("H11 what is no token, or no function, is refused", () => {
    using loop = new IOLoop({ makeCurrent: false });
    for (const wrong of [undefined, null, 5, "token", {}, { kind: "ioloop.WakeToken", state: new SharedArrayBuffer(3) }]) {
      expect(() => wakeLoop(wrong as unknown as WakeToken), String(wrong)).to.throw(TypeError, /token is .*createWakeHandle/);
    }
    expect(() => loop.createWakeHandle(undefined as unknown as () => void)).to.throw(TypeError, /callback is undefined/);
    loop.close();
    expect(() => loop.createWakeHandle(() => undefined)).to.throw(Error, /closed IOLoop/);
  });
});
