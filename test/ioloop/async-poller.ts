/** A poller of somebody else's that answers by a promise: by hand, or for real by asking an epoll set again and again. */
import { EPollPoller } from "../../src/ioloop/index.js";
import type { Pairs, Poller } from "../../src/ioloop/index.js";
import { realMilliseconds } from "../support/real-timers.js";

/** Watches real descriptors; each poll is a promise that asks once in every round of Node's. */
export class AsyncPoller implements Poller {
  readonly #inner = new EPollPoller();
  /** Seconds it was asked to wait, poll by poll. */
  readonly waits: number[] = [];

  register(fd: number, events: number): void {
    this.#inner.register(fd, events);
  }

  modify(fd: number, events: number): void {
    this.#inner.modify(fd, events);
  }

  unregister(fd: number): void {
    this.#inner.unregister(fd);
  }

  poll(timeout: number): Promise<Pairs> {
    this.waits.push(timeout);
    const until = realMilliseconds() + timeout * 1000;
    return new Promise((resolve) => {
      const ask = (): void => {
        const pairs = [...this.#inner.poll(0)];
        if (pairs.length > 0 || realMilliseconds() >= until) resolve(pairs);
        else setImmediate(ask);
      };
      ask();
    });
  }

  close(): void {
    this.#inner.close();
  }
}

/** Answers when the test says so, with what it says. */
export class ManualPoller implements Poller {
  #waiting: ((pairs: Pairs) => void) | undefined;
  /** What is registered: masks by descriptor. */
  readonly registered: Map<number, number> = new Map<number, number>();

  register(fd: number, events: number): void {
    this.registered.set(fd, events);
  }

  modify(fd: number, events: number): void {
    this.registered.set(fd, events);
  }

  unregister(fd: number): void {
    this.registered.delete(fd);
  }

  poll(): Promise<Pairs> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** Ends the poll under way. */
  answer(...pairs: (readonly [fd: number, events: number])[]): void {
    const waiting = this.#waiting;
    if (waiting === undefined) throw new Error("No poll is under way");
    this.#waiting = undefined;
    waiting(pairs);
  }

  close(): void {
    this.registered.clear();
  }
}
