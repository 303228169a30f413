/**
 * How one wait is spent inside Node: what a host must provide. `uv-poll.ts` is the one for the main thread, `thread-pool.ts` for workers,
 * `direct.ts` for pollers that wait by themselves.
 *
 * A host of a poller of ours never says what is ready, only that something may be; the poller is asked in the turn that dispatches (H13).
 */
import type { HostedPoller } from "../pollers/poller.js";
import { TurnTimer } from "./turn-timer.js";

/** The names by which a host is forced: option `host`, environment variable `IOLOOP_HOST`. */
export type HostName = "uv-poll" | "thread-pool";

export interface Host {
  /** Keeps the process alive from here on, and sets off the first turn. */
  start(): void;
  /**
   * Step 7, called in a turn: true when the answer is there at once (so always for 0 seconds, with a poller of ours), false when a turn will
   * follow: when the poller has something, when the time is over, or at a `wake()`.
   */
  wait(seconds: number): boolean;
  /** What is ready goes into `ready`. Returns the descriptors whose registrations turned out to be gone. */
  collect(ready: Map<number, number>): readonly number[];
  /** During a wait: it must end in `seconds` at the latest. */
  shorten(seconds: number): void;
  /** During a wait: the poller's registrations have changed. */
  changed(): void;
  /** Called in a turn: asks for another, after Node has made a round. */
  again(): void;
  /** The same from anywhere; it ends the wait, if there is one. Several calls before the turn comes make one turn. */
  wake(): void;
  /** Runs no more turns and calls `stopped` when nothing is under way: from then on it keeps nothing alive. */
  stop(stopped: () => void): void;
  /** Frees it; only when it is stopped or was never started. */
  close(): void;
}

/** What the two hosts of our own pollers share. */
export abstract class PollerHost implements Host {
  protected readonly poller: HostedPoller;
  protected readonly timer: TurnTimer;

  constructor(poller: HostedPoller, turn: () => void) {
    this.poller = poller;
    this.timer = new TurnTimer(turn);
  }

  wait(seconds: number): boolean {
    if (seconds === 0) return true;
    this.timer.in(seconds);
    return false;
  }

  collect(ready: Map<number, number>): readonly number[] {
    this.poller.harvest(ready);
    if (this.poller.tainted) this.replacePoller();
    return this.poller.takeVanished();
  }

  shorten(seconds: number): void {
    this.timer.in(seconds);
  }

  again(): void {
    this.timer.soon();
  }

  wake(): void {
    this.timer.soonFromOutside();
  }

  abstract start(): void;
  abstract changed(): void;
  abstract stop(stopped: () => void): void;
  abstract close(): void;

  /** Lets the poller make a new kernel object while nothing watches the old one. */
  protected abstract replacePoller(): void;
}
