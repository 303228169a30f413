/**
 * The two ways in which a host asks Node for a turn: at once, and at a time.
 *
 * The functions are those of `node:timers` at import, so that a test which fakes the global ones does not stop the loop.
 */
import { clearImmediate, clearTimeout, setImmediate, setTimeout } from "node:timers";
import { withoutContext } from "../context.js";

/** Node turns a longer delay into 1 ms (H15). The loop's own limit, an hour, is far below; a subclass could lift that one. */
const LONGEST_DELAY = 2 ** 31 - 1;

export class TurnTimer {
  readonly #turn: () => void;
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When `#timer` fires, in milliseconds of `performance.now()`. */
  #firesAt = Infinity;
  /** When the present wait ends, on the same clock. */
  #wanted = Infinity;

  constructor(turn: () => void) {
    this.#turn = turn;
  }

  /** Asks for a turn from a place whose async context is none already. */
  soon(): void {
    // One hop costs 0.4 µs an iteration. It is what makes promise jobs run (after a native callback they do not, from Node 26.4 on) and what
    // lets an exception surface (inside a native callback it is lost).
    this.#immediate ??= setImmediate(this.#run);
  }

  /** Asks for a turn from user code, whose async context must not become the turn's. */
  soonFromOutside(): void {
    if (this.#immediate === undefined) withoutContext(() => this.soon());
  }

  /**
   * Asks for a turn in `seconds`, in place of an earlier request. A timer that fires sooner than needed is kept and set anew when it does:
   * a server whose timeouts are pushed back with every message makes no timer for each.
   */
  in(seconds: number): void {
    this.#wanted = performance.now() + seconds * 1000;
    if (this.#wanted >= this.#firesAt) return;
    clearTimeout(this.#timer);
    this.#arm(seconds * 1000);
  }

  /** Withdraws every request. */
  cancel(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = this.#immediate = undefined;
    this.#firesAt = this.#wanted = Infinity;
  }

  #arm(milliseconds: number): void {
    const delay = Math.min(Math.ceil(milliseconds), LONGEST_DELAY);
    this.#firesAt = performance.now() + delay;
    // Unref'd: what keeps the process alive is the host, not how long it waits.
    this.#timer = withoutContext(() => setTimeout(this.#fired, delay)).unref();
  }

  readonly #fired = (): void => {
    this.#timer = undefined;
    this.#firesAt = Infinity;
    if (this.#wanted === Infinity) return;
    const left = this.#wanted - performance.now();
    // Node rounds to its own millisecond and may be up to one early; the loop, not the timer, decides what is due (L25), so the rest is
    // waited out rather than spun through (H14).
    if (left > 0) this.#arm(left);
    else this.soon();
  };

  readonly #run = (): void => {
    this.#immediate = undefined;
    this.#wanted = Infinity;
    this.#turn();
  };
}
