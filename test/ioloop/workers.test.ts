/** Loops in worker threads (H17 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { once } from "node:events";
import { IOLoop } from "../../src/ioloop/index.js";
import type { WorkReport } from "../fixtures/loop-worker.js";
import { runFile } from "../support/child.js";
import { onEachNode } from "../support/nodes.js";
import { startWorker } from "../support/worker.js";

describe("a loop in a worker", function () {
  this.timeout(20_000);

  for (const poller of ["epoll", "poll"]) {
    it(`H17 works, and the thread has its own singleton, mark and configuration (${poller})`, async () => {
      const singleton = IOLoop.instance();
      IOLoop.configure("PosixPollIOLoop");
      try {
        const worker = startWorker("loop-worker.ts", { task: "work", poller });
        const exit = once(worker, "exit");
        const [report] = (await once(worker, "message")) as [WorkReport];
        expect(await exit).to.deep.equal([0]);
        expect(report.initialized, "singleton").to.equal(false);
        expect(report.hadCurrent, "mark").to.equal(false);
        expect(report.configured).to.equal("EPollIOLoop");
        expect(report.refused).to.match(/RangeError: host is "uv-poll": it needs the main thread/);
        expect(report.happened).to.deep.equal(["current", "callback", "timeout", "handler", "periodic", "runSync"]);
        expect(IOLoop.instance()).to.equal(singleton);
      } finally {
        IOLoop.configure(undefined);
        singleton.close();
      }
    });
  }
});

/** A second, and what a busy machine adds; an end that waits for the loop never comes. In milliseconds. */
const LIMIT = 5000;

describe("H17 a worker whose loop waits ends within about a second, by terminate(), process.exit() and with the process", function () {
  this.timeout(40_000);
  onEachNode((_, execPath) => async () => {
    const child = await runFile("test/fixtures/worker-ends.ts", { execPath, timeLimit: 20 });
    const ended = Date.now();
    expect(child, child.stderr).to.include({ code: 3, signal: null });
    const { results, exiting } = JSON.parse(child.stdout) as {
      results: { task: string; poller: string; code: number; milliseconds: number }[];
      exiting: number;
    };
    expect(results).to.have.lengthOf(6);
    for (const { task, poller, code, milliseconds } of results) {
      expect(code, `${task}, ${poller}`).to.equal({ wait: 1, exit: 5, leave: 0 }[task]);
      expect(milliseconds, `${task}, ${poller}`).to.be.below(LIMIT);
    }
    expect(ended - exiting).to.be.below(LIMIT);
  });
});
