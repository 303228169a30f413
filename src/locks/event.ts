/** `Event`: a flag one can wait for. Depends on `gen` and below. */
import type { Future } from "../concurrent/index.js";
import { abortReason, type EventWaitOptions, failed, readWaitArguments, resolved, WaiterList } from "../gen/index.js";
import type { Deadline } from "../ioloop/index.js";
import { FlagWaiter } from "./flag-waiter.js";

/**
 * A flag, initially clear, with waiters. `set()` wakes all of them, also if `clear()` follows at once.
 *
 * Tornado: `tornado.locks.Event` (4.2). It shadows the DOM's global of this name: import it by name.
 *
 * @example
 * const ready = new Event();
 * setTimeout(() => ready.set(), 10);
 * await ready.wait(seconds(1));
 */
export class Event {
  #set = false;
  readonly #waiters = new WaiterList<FlagWaiter>();

  /** Whether the flag is raised. */
  isSet(): boolean {
    return this.#set;
  }

  /** Raises the flag. Everyone who waits is done, in order of arrival, when this returns. */
  set(): void {
    if (this.#set) return;
    this.#set = true;
    for (let waiter = this.#waiters.shift(); waiter !== undefined; waiter = this.#waiters.shift()) waiter.setResult(true);
  }

  /** Lowers the flag. Nobody who waits is dropped. */
  clear(): void {
    this.#set = false;
  }

  /**
   * Waits for the flag; done at once, with `true`, if it is raised. At the deadline it fails with `TimeoutError`, or resolves `false` with
   * `onTimeout: "false"`; at an abort it fails with `signal.reason`.
   *
   * @throws TypeError for a wrong deadline, option or signal
   */
  wait(timeout?: Deadline, options?: EventWaitOptions): Future<boolean>;
  wait(options?: EventWaitOptions): Future<boolean>;
  wait(timeout?: Deadline | EventWaitOptions, options?: EventWaitOptions): Future<boolean> {
    const plan = readWaitArguments(timeout, options, true);
    if (plan.signal?.aborted === true) return failed(abortReason(plan.signal));
    if (this.#set) return resolved(true);
    const waiter = new FlagWaiter(plan.onTimeout === "false");
    waiter._arm(plan);
    this.#waiters.push(waiter);
    return waiter;
  }

  /** `<Event set>`, `<Event clear>`, with `waiters[n]` if somebody waits. */
  toString(): string {
    const waiting = this.#waiters.length > 0 ? ` waiters[${String(this.#waiters.length)}]` : "";
    return `<${this.constructor.name} ${this.#set ? "set" : "clear"}${waiting}>`;
  }
}
