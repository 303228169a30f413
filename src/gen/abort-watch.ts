/**
 * Who waits under which AbortSignal: one listener per signal, however many wait (P15).
 *
 * Node scans a target's listener list for duplicates at every `addEventListener` and warns from the eleventh on: 20 000 listeners on one
 * signal cost half a second. So a signal gets a single listener, which walks a doubly linked line of subscriptions in order of arrival;
 * joining and leaving the line cost constant time. Depends on nothing.
 */

/** What is told of an abort. It must neither throw nor run user code: it settles a Future. @internal */
export interface AbortTarget {
  _aborted(reason: unknown): void;
}

/** A place in the line of one signal. @internal */
export class AbortSubscription {
  readonly target: AbortTarget;
  line: SignalLine | undefined;
  previous: AbortSubscription | undefined;
  next: AbortSubscription | undefined;

  constructor(target: AbortTarget, line: SignalLine) {
    this.target = target;
    this.line = line;
  }

  /** Leaves the line; the last to leave takes the listener off the signal. Leaving twice does nothing. */
  leave(): void {
    const line = this.line;
    if (line === undefined) return;
    this.line = undefined;
    line.remove(this);
  }
}

const lines = new WeakMap<AbortSignal, SignalLine>();

class SignalLine {
  readonly #signal: AbortSignal;
  #first: AbortSubscription | undefined;
  #last: AbortSubscription | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this);
  }

  add(target: AbortTarget): AbortSubscription {
    const entry = new AbortSubscription(target, this);
    entry.previous = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    return entry;
  }

  remove(entry: AbortSubscription): void {
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = entry.next = undefined;
    if (this.#first === undefined) {
      lines.delete(this.#signal);
      this.#signal.removeEventListener("abort", this);
    }
  }

  /** The DOM's listener object: called by the signal, once, or by somebody who dispatches an 'abort' event of his own. */
  handleEvent(): void {
    if (!this.#signal.aborted) return;
    const reason = abortReason(this.#signal);
    for (let entry = this.#first; entry !== undefined; entry = this.#first) {
      entry.leave();
      entry.target._aborted(reason);
    }
  }
}

/**
 * Has `target._aborted(reason)` called, within the abort dispatch, when `signal` aborts. The signal must not be aborted yet.
 * @internal
 */
export function subscribeToAbort(signal: AbortSignal, target: AbortTarget): AbortSubscription {
  let line = lines.get(signal);
  if (line === undefined) {
    line = new SignalLine(signal);
    lines.set(signal, line);
  }
  return line.add(target);
}

/**
 * The reason a waiter fails with: the very object, but for `null`, which no Future can fail with.
 * @internal
 */
export function abortReason(signal: AbortSignal): unknown {
  const reason: unknown = signal.reason;
  if (reason !== null && reason !== undefined) return reason;
  const error = new Error("The operation was aborted", { cause: reason });
  error.name = "AbortError";
  return error;
}

/** Whether `value` can serve as an AbortSignal: Node's own, one of another realm, or a faithful replacement. @internal */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (value instanceof AbortSignal) return true;
  if (typeof value !== "object" || value === null) return false;
  const signal = value as Partial<AbortSignal>;
  return (
    typeof signal.aborted === "boolean" && typeof signal.addEventListener === "function" && typeof signal.removeEventListener === "function"
  );
}
