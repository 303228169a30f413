/**
 * A poller and clock for tests about time: it answers at once, moves its clock by the wait it was asked for, and remembers the waits.
 *
 *     const fake = new FakePoller(1000);
 *     const loop = makeLoop({ impl: fake, timeFunc: fake.time });
 *
 * It is the poller of the specification's worked trace (L2). The loop's waker and whatever else is registered is remembered, not watched.
 */
import type { Pairs, Poller } from "../../src/ioloop/pollers/poller.js";

/** More polls than this mean that a test's loop has nothing left that could stop it. */
const MOST_POLLS = 100_000;

export class FakePoller implements Poller {
  /** The clock, in seconds. */
  now: number;
  /** Seconds the loop asked to wait, poll by poll. */
  readonly waits: number[] = [];
  /** What is registered: masks by descriptor. */
  readonly registered: Map<number, number> = new Map<number, number>();
  /** Calls that changed `registered`, as ["register", fd, events] and so on, in order. */
  readonly changes: [operation: "register" | "modify" | "unregister", fd: number, events: number][] = [];
  closed = false;
  readonly #answers: Pairs[] = [];
  /** Called at each poll, before it answers; `answer()` in it sets what this poll says. */
  onPoll: ((timeout: number) => void) | undefined;

  constructor(now = 1000) {
    this.now = now;
  }

  /** The clock as a function, for `timeFunc`. */
  readonly time = (): number => this.now;

  /** Moves the clock, as code that takes its time would. */
  advance(seconds: number): void {
    this.now += seconds;
  }

  /** Puts a batch in line: the next poll that finds one answers with it and takes no time. */
  answer(...pairs: (readonly [fd: number, events: number])[]): void {
    this.#answers.push(pairs);
  }

  register(fd: number, events: number): void {
    this.changes.push(["register", fd, events]);
    this.registered.set(fd, events);
  }

  modify(fd: number, events: number): void {
    this.changes.push(["modify", fd, events]);
    this.registered.set(fd, events);
  }

  unregister(fd: number): void {
    this.changes.push(["unregister", fd, this.registered.get(fd) ?? 0]);
    this.registered.delete(fd);
  }

  poll(timeout: number): Pairs {
    this.waits.push(timeout);
    if (this.waits.length > MOST_POLLS) throw new Error(`The fake poller was asked ${MOST_POLLS} times: stop the loop in the test`);
    this.onPoll?.(timeout);
    const batch = this.#answers.shift();
    if (batch !== undefined) return batch;
    this.now += timeout;
    return [];
  }

  close(): void {
    this.closed = true;
  }
}
