/** Watching a loop, stepping it by hand, and its numbers: `observer`, `runIteration()`, `statistics()` (design.md; issue 2). */
import { expect } from "chai";
import { IOLoop } from "../../src/ioloop/index.js";
import type { LoopStep, PollIOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop as makeAnyLoop } from "../support/loop.js";
import { AsyncPoller } from "./async-poller.js";
import { drain, Files, makeFakeLoop, put } from "./driving.js";
import { duringWait } from "./waiting.js";

function first(): void {}
function second(): void {}

describe("observer, runIteration() and statistics()", () => {
  eachCombination((_, makeLoop) => {
    let files: Files;

    beforeEach(() => {
      files = new Files();
    });

    afterEach(() => {
      files.close();
    });

    it("L1 observer: is told every kind of step, in the order of an iteration", () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      const steps: LoopStep[] = [];
      loop.observer = (step, where) => {
        expect(where).to.equal(loop);
        steps.push(step);
      };
      const handler = (): void => {
        loop.removeHandler(reader);
      };
      loop.addHandler(reader, handler, IOLoop.NONE);
      loop.updateHandler(reader, IOLoop.READ);
      loop.addCallback(first);
      const due = loop.callAt(5, second);
      const cancelled = loop.callAt(6, second);
      loop.removeTimeout(cancelled);
      loop.runIteration();
      loop.observer = undefined;
      const { ERROR, READ } = IOLoop;
      expect(steps).to.deep.equal([
        { type: "handler-added", fd: reader, events: ERROR },
        { type: "interest-changed", fd: reader, from: ERROR, to: READ | ERROR },
        { type: "callback-added", callback: first },
        { type: "timeout-added", timeout: due, deadline: 5 },
        { type: "timeout-added", timeout: cancelled, deadline: 6 },
        { type: "timeout-cancelled", timeout: cancelled },
        { type: "iteration-start", iteration: 1 },
        { type: "callback-run", callback: first },
        { type: "timeout-run", timeout: due, callback: second },
        { type: "wait", seconds: 0 },
        { type: "ready", ready: [[reader, READ]] },
        { type: "handler-run", fd: reader, events: READ, handler },
        { type: "handler-removed", fd: reader },
        { type: "iteration-end", iteration: 1 },
      ]);
    });

    it("L1 observer: hears of each step before what it names happens", () => {
      const loop = makeLoop();
      const order: string[] = [];
      loop.addCallback(() => order.push("callback"));
      loop.callAt(0, () => order.push("timeout"));
      loop.observer = ({ type }) => order.push(type);
      loop.runIteration();
      loop.observer = undefined;
      expect(order).to.deep.equal(["iteration-start", "callback-run", "callback", "timeout-run", "timeout", "wait", "iteration-end"]);
    });

    it("L1 observer: nothing is lost in a run with much going on; what begins ends, what is added runs", async () => {
      const loop = makeLoop();
      const [reader, writer] = files.pipe();
      const counts: Record<string, number> = {};
      let iteration = 0;
      let open = false;
      loop.observer = (step) => {
        counts[step.type] = (counts[step.type] ?? 0) + 1;
        if (step.type === "iteration-start") {
          expect(open, "the one before has ended").to.equal(false);
          expect(step.iteration).to.equal(iteration + 1);
          iteration = step.iteration;
          open = true;
        } else if (step.type === "iteration-end") {
          expect(open).to.equal(true);
          expect(step.iteration).to.equal(iteration);
          open = false;
        }
      };
      let callbacks = 0;
      let timeouts = 0;
      let handled = 0;
      loop.addHandler(
        reader,
        () => {
          drain(reader);
          if (++handled < 20) {
            loop.addCallback(() => {
              callbacks++;
              put(writer);
            });
            loop.callLater(0, () => timeouts++);
            loop.removeTimeout(loop.callLater(60, first));
          } else {
            loop.removeHandler(reader);
            loop.callLater(0.002, () => {
              timeouts++;
              loop.stop();
            });
          }
        },
        IOLoop.READ,
      );
      put(writer);
      await loop.start();
      loop.observer = undefined;
      expect(open, "the last one has ended").to.equal(false);
      expect(loop.statistics().iterations).to.equal(iteration);
      expect([callbacks, timeouts, handled]).to.deep.equal([19, 20, 20]);
      expect(counts).to.include({
        "callback-added": 19,
        "callback-run": 19,
        "timeout-added": 39,
        "timeout-run": 20,
        "timeout-cancelled": 19,
        "handler-run": 20,
        "handler-added": 1,
        "handler-removed": 1,
        "iteration-start": iteration,
        "iteration-end": iteration,
      });
    });

    it("L1 observer: one that throws is taken off and logged, and the loop goes on", async () => {
      const loop = makeLoop();
      expectLog("application", "error", /observer .* failed and was taken off\nError: cannot look/);
      let calls = 0;
      loop.observer = () => {
        calls++;
        throw new Error("cannot look");
      };
      loop.addCallback(() => loop.stop());
      expect(loop.observer).to.equal(undefined);
      await loop.start();
      expect(calls).to.equal(1);
    });

    it("L55 observer: hears of a registration that is gone because its descriptor was closed", async () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      files.dup(reader);
      const removed: unknown[] = [];
      loop.addHandler(reader, () => undefined, IOLoop.READ);
      files.drop(reader);
      loop.observer = (step) => {
        if (step.type === "handler-removed") removed.push(step.fd);
      };
      for (let count = 0; count < 12; count++) loop.runIteration();
      loop.observer = undefined;
      expect(removed).to.deep.equal([reader]);
      expect(loop.statistics().handlers).to.equal(0);
    });

    it("L1 runIteration: runs exactly one iteration, with a wait of 0, before it returns", () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      const order: string[] = [];
      loop.addHandler(
        reader,
        () => {
          order.push("handler");
          loop.addCallback(() => order.push("callback of the handler"));
        },
        IOLoop.READ,
      );
      loop.addCallback(() => {
        order.push("callback");
        expect(IOLoop.current()).to.equal(loop);
        loop.addCallback(() => order.push("callback of the callback"));
      });
      loop.callLater(3600, () => order.push("not due"));
      loop.callAt(0, () => order.push("timeout"));
      loop.runIteration();
      expect(order.splice(0)).to.deep.equal(["callback", "timeout", "handler"]);
      loop.runIteration();
      expect(order.splice(0)).to.deep.equal(["callback of the callback", "callback of the handler", "handler"]);
      expect(loop.statistics()).to.include({ iterations: 2, running: false, waiting: false, callbacks: 1 });
      loop.close();
    });

    it("H8 runIteration: promise reactions run when the caller's own turn ends", async () => {
      const loop = makeLoop();
      const order: string[] = [];
      loop.addCallback(async () => {
        order.push("callback");
        await null;
        order.push("reaction");
      });
      loop.runIteration();
      loop.runIteration();
      order.push("caller");
      await null;
      expect(order).to.deep.equal(["callback", "caller", "reaction"]);
    });

    it("H1 runIteration: is refused while the loop runs, inside itself and when the loop is closed", async () => {
      const loop = makeLoop();
      await duringWait(loop, () => {
        expect(() => loop.runIteration()).to.throw(Error, /running IOLoop/);
      });
      const errors: unknown[] = [];
      loop.addCallback(() => {
        try {
          loop.runIteration();
        } catch (error) {
          errors.push(error);
        }
      });
      loop.runIteration();
      expect(errors).to.have.lengthOf(1);
      loop.close();
      expect(() => loop.runIteration()).to.throw(Error, /closed IOLoop/);
    });

    it("L70 runIteration: leaves start() and stop() as they were, before it and after it", async () => {
      const loop = makeLoop();
      const order: string[] = [];
      loop.addCallback(() => order.push("by hand"));
      loop.runIteration();
      loop.addCallback(() => {
        order.push("in the run");
        loop.stop();
      });
      await loop.start();
      loop.addCallback(() => order.push("by hand again"));
      loop.runIteration();
      expect(order).to.deep.equal(["by hand", "in the run", "by hand again"]);
    });

    it("L63 runIteration: what an overridden handleCallbackException throws is thrown, and what had not run is kept", () => {
      const loop = makeLoop();
      loop.handleCallbackException = (_callback, error) => {
        throw error;
      };
      const order: string[] = [];
      loop.addCallback(() => {
        throw new Error("thrown on");
      });
      loop.addCallback(() => order.push("next"));
      const kept = loop.callAt(1, () => order.push("timeout"));
      loop.callAt(2, () => order.push("later timeout"));
      expect(() => loop.runIteration()).to.throw(Error, "thrown on");
      expect(order).to.deep.equal([]);
      expect(loop.statistics()).to.include({ callbacks: 1, timeouts: 2, cancelledTimeouts: 0 });
      loop.removeTimeout(kept);
      expect(loop.statistics()).to.include({ timeouts: 1, cancelledTimeouts: 1 });
      loop.runIteration();
      expect(order).to.deep.equal(["next", "later timeout"]);
      expect(loop.statistics()).to.include({ callbacks: 0, timeouts: 0, cancelledTimeouts: 0 });
    });

    it("L35 statistics: count what is there", async () => {
      const loop = makeLoop();
      const [reader] = files.pipe();
      expect(loop.statistics()).to.deep.equal({
        callbacks: 0,
        timeouts: 0,
        cancelledTimeouts: 0,
        handlers: 0,
        iterations: 0,
        running: false,
        waiting: false,
        closed: false,
      });
      loop.addCallback(first);
      loop.addCallback(first);
      const handles = [60, 61, 62].map((delay) => loop.callLater(delay, first));
      loop.removeTimeout(handles[1]!);
      loop.addHandler(reader, first, IOLoop.READ);
      expect(loop.statistics()).to.include({ callbacks: 2, timeouts: 2, cancelledTimeouts: 1, handlers: 1 });
      await duringWait(loop, () => {
        expect(loop.statistics()).to.include({ callbacks: 0, running: true, waiting: true, iterations: 1 });
      });
      expect(loop.statistics()).to.include({ running: false, waiting: false, timeouts: 2, handlers: 1 });
      loop.close();
      expect(loop.statistics()).to.include({ callbacks: 0, timeouts: 0, cancelledTimeouts: 0, handlers: 0, closed: true });
    });
  });

  it("L1 observer: on a fake clock it is told the waits that the poller is asked for", async () => {
    const { fake, loop } = makeFakeLoop();
    const waits: number[] = [];
    loop.observer = (step) => {
      if (step.type === "wait") waits.push(step.seconds);
    };
    loop.callLater(12.5, () => {
      loop.addCallback(() => loop.callLater(4000, loop.stop));
    });
    await loop.start();
    expect(waits).to.deep.equal([12.5, 0, 3600, 400]);
    expect(waits).to.deep.equal(fake.waits);
  });

  it("L1 runIteration: works with a poller of one's own, and says so when that answers by a promise", () => {
    const { fake, loop } = makeFakeLoop();
    let events = 0;
    loop.addHandler(900, (_fd, mask) => (events = mask), IOLoop.READ);
    fake.answer([900, IOLoop.READ]);
    loop.runIteration();
    expect(events).to.equal(IOLoop.READ);
    expect(fake.waits).to.deep.equal([0]);
    loop.removeHandler(900);

    const promising: PollIOLoop = makeAnyLoop({ impl: new AsyncPoller(), makeCurrent: false });
    expect(() => promising.runIteration()).to.throw(Error, /needs a poller that answers at once/);
  });
});
