/** A loop that a test turns by hand, on a clock that only the test moves. */
import { relativeDeadlineWarning } from "../../src/gen/wait-options.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { FakePoller } from "../support/fake-poller.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";

export class ManualLoop {
  readonly clock: FakePoller;
  readonly loop: PollIOLoop;

  /** The clock starts far from 0, so that a small number is a deadline of long ago. */
  constructor(now = 1_000_000_000) {
    this.clock = new FakePoller(now);
    this.loop = makeLoop({ impl: this.clock, timeFunc: this.clock.time });
    this.loop.makeCurrent();
  }

  get now(): number {
    return this.clock.now;
  }

  /** Timeouts that will run. */
  get timers(): number {
    return this.loop.statistics().timeouts;
  }

  /** One iteration, and then the microtasks that came of it. */
  async turn(): Promise<void> {
    this.loop.runIteration();
    await nextRound();
  }

  /** Moves the clock, then one iteration. */
  async advance(seconds: number): Promise<void> {
    this.clock.advance(seconds);
    await this.turn();
  }
}

/** A new one for each test of the suite. */
export function useManualLoop(): { readonly manual: ManualLoop } {
  const holder: { manual: ManualLoop } = { manual: undefined as unknown as ManualLoop };
  beforeEach(() => {
    holder.manual = new ManualLoop();
    // It comes once in a process; only the tests of P10 want it.
    relativeDeadlineWarning.given = true;
  });
  return holder;
}
