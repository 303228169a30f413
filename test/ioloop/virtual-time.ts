/**
 * Time that passes only while nothing can happen: for tests in which promises, real descriptors and timeouts meet.
 *
 * The fake poller moves its clock in the turn that asks, before promise reactions run (H19). This one gives Node its rounds first and moves the
 * clock only if they bring nothing that wakes the loop.
 */
import { EPollPoller, type Pairs, type Poller, type PollIOLoop } from "../../src/ioloop/index.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";

export class VirtualPoller implements Poller {
  /** The clock, in seconds. */
  now = 1000;
  readonly time = (): number => this.now;
  readonly #inner = new EPollPoller();

  register(fd: number, events: number): void {
    this.#inner.register(fd, events);
  }

  modify(fd: number, events: number): void {
    this.#inner.modify(fd, events);
  }

  unregister(fd: number): void {
    this.#inner.unregister(fd);
  }

  async poll(timeout: number): Promise<Pairs> {
    await nextRound();
    await nextRound();
    const ready = [...this.#inner.poll(0)];
    if (ready.length === 0) this.now += timeout;
    return ready;
  }

  close(): void {
    this.#inner.close();
  }
}

/** A loop on virtual time, which begins at 1000. */
export function makeVirtualLoop(): { loop: PollIOLoop; clock: VirtualPoller } {
  const clock = new VirtualPoller();
  return { loop: makeLoop({ impl: clock, timeFunc: clock.time }), clock };
}
