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

type Answer = { readonly pairs: Pairs } | { readonly error: unknown };

export class DirectHost implements Host {
  readonly #poller: Poller;
  readonly #waker: Waker;
  readonly #timer: TurnTimer;
  #keepAlive: NodeJS.Timeout | undefined;
  #answer: Answer | undefined;
  #pending = false;
  #stopped: (() => void) | undefined;

  constructor(poller: Poller, turn: () => void, waker: Waker) {
    this.#poller = poller;
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
      this.#answer = { error };
      return true;
    }
    if (!isThenable(answer)) {
      this.#answer = { pairs: answer };
      return true;
    }
    this.#pending = true;
    answer.then(
      (pairs) => {
        this.#answered({ pairs });
      },
      (error: unknown) => {
        this.#answered({ error });
      },
    );
    return false;
  }

  collect(ready: Map<number, number>): readonly number[] {
    const answer = this.#answer;
    this.#answer = undefined;
    if (answer === undefined) return [];
    if ("error" in answer) throw answer.error;
    for (const [fd, events] of answer.pairs) ready.set(fd, events);
    return [];
  }

  shorten(): void {
    this.wake();
  }

  changed(): void {
    this.wake();
  }

  wake(): void {
    if (this.#pending) this.#waker.wake();
    else this.#timer.soonFromOutside();
  }

  stop(stopped: () => void): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
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
    this.#answer = undefined;
  }

  #answered(answer: Answer): void {
    this.#pending = false;
    if (this.#stopped !== undefined) {
      this.#stopped();
      this.#stopped = undefined;
      return;
    }
    this.#answer = answer;
    this.#timer.soonFromOutside();
  }
}
