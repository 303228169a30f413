/**
 * The host of a poller of somebody else's, which waits by itself: at once, blocking the thread or moving a fake clock, or by a promise. A
 * wait of the latter kind is ended through the loop's waker, which is registered with the poller as any descriptor.
 */
import { clearInterval, setInterval } from "node:timers";
import { isThenable } from "../checks.js";
import type { Pairs, Poller } from "../pollers/poller.js";
import type { Waker } from "../waker.js";
import type { Host } from "./host.js";
import { TurnTimer } from "./turn-timer.js";

/** A timer that never matters but for keeping the process alive: its period is Node's longest. */
const KEEP_ALIVE_MS = 2 ** 31 - 1;

interface Failure {
  readonly error: unknown;
}

export class DirectHost implements Host {
  readonly #poller: Poller;
  readonly #waker: Waker;
  readonly #timer: TurnTimer;
  /** The loop's own batch: what is removed between an answer and its dispatch leaves it there (H13). */
  readonly #ready: Map<number, number>;
  #keepAlive: NodeJS.Timeout | undefined;
  #failure: Failure | undefined;
  #pending = false;
  #stopped: (() => void) | undefined;

  constructor(poller: Poller, turn: () => void, waker: Waker, ready: Map<number, number>) {
    this.#poller = poller;
    this.#ready = ready;
    this.#waker = waker;
    this.#timer = new TurnTimer(turn);
  }

  start(): void {
    this.#keepAlive ??= setInterval(() => undefined, KEEP_ALIVE_MS);
    this.#timer.soonFromOutside();
  }

  wait(seconds: number): boolean {
    let answer: Pairs | PromiseLike<Pairs>;
    try {
      answer = this.#poller.poll(seconds);
    } catch (error) {
      this.#failure = { error };
      return true;
    }
    if (!isThenable(answer)) {
      this.#take(answer);
      return true;
    }
    this.#pending = true;
    answer.then(
      (pairs) => {
        this.#answered(() => {
          this.#take(pairs);
        });
      },
      (error: unknown) => {
        this.#answered(() => {
          this.#failure = { error };
        });
      },
    );
    return false;
  }

  /** What is ready went into the batch when the answer came. */
  collect(): readonly number[] {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    return [];
  }

  shorten(): void {
    this.wake();
  }

  changed(): void {
    this.wake();
  }

  again(): void {
    this.#timer.soon();
  }

  wake(): void {
    if (this.#pending) this.#waker.wake();
    else this.#timer.soonFromOutside();
  }

  stop(stopped: () => void): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
    this.#failure = undefined;
    this.#timer.cancel();
    if (!this.#pending) {
      stopped();
      return;
    }
    // The poller's own wait goes on; a run after this one must not take its answer for one to a question of its own.
    this.#stopped = stopped;
    this.#waker.wake();
  }

  close(): void {
    // It owns nothing: the poller is closed by the loop.
  }

  #take(pairs: Pairs): void {
    try {
      for (const [fd, events] of pairs) this.#ready.set(fd, events);
    } catch (error) {
      this.#failure = { error };
    }
  }

  #answered(take: () => void): void {
    this.#pending = false;
    if (this.#stopped !== undefined) {
      this.#stopped();
      this.#stopped = undefined;
      return;
    }
    take();
    this.#timer.soonFromOutside();
  }
}
