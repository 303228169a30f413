/**
 * The waiters of locks, conditions, events and queues, and the lines they stand in.
 *
 * A waiter *is* the Future that the call returned, and carries the links of its line itself: a wait without deadline and signal costs that one
 * object and nothing else (C10). The line is doubly linked, so a waiter that dies leaves it at once, in constant time, wherever it stands; dead
 * entries never pile up (P56, P94). Tornado keeps them in a deque and sweeps it after every hundredth time-out.
 *
 * Of grant, deadline, abort and cancel the first decides (P9). Whoever decides takes the waiter out of its line and lets go of its timer and
 * its signal before settling it, and settling runs no user code. Depends on `concurrent` and `ioloop`.
 */
import { Future, TimeoutError } from "../concurrent/index.js";
import { IOLoop, type TimeoutHandle } from "../ioloop/index.js";
import { type AbortSubscription, type AbortTarget, subscribeToAbort } from "./abort-watch.js";
import type { WaitPlan } from "./wait-options.js";

/** What a waiter with a deadline or a signal holds besides. */
class Guard {
  loop: IOLoop | undefined = undefined;
  timer: TimeoutHandle | undefined = undefined;
  subscription: AbortSubscription | undefined = undefined;

  letGo(): void {
    if (this.timer !== undefined) this.loop?.removeTimeout(this.timer);
    this.subscription?.leave();
    this.timer = this.loop = this.subscription = undefined;
  }
}

function expire(waiter: Waiter<unknown>): void {
  if (waiter.done()) return;
  waiter._leave();
  waiter._expired();
}

/** A pending `acquire`, `wait`, `get`, `put` or `join`. @internal */
export abstract class Waiter<T> extends Future<T> implements AbortTarget {
  _line: WaiterList | undefined = undefined;
  _previous: Waiter<unknown> | undefined = undefined;
  _next: Waiter<unknown> | undefined = undefined;
  _guard: Guard | undefined = undefined;

  /** Starts the timer and listens to the signal, where the plan asks for them. The signal must not be aborted yet. */
  _arm(plan: WaitPlan): void {
    const { seconds, signal } = plan;
    if (seconds === undefined && signal === undefined) return;
    const guard = new Guard();
    if (seconds !== undefined) {
      const loop = IOLoop.current();
      guard.loop = loop;
      guard.timer = loop.callAt(plan.relative ? loop.time() + seconds : seconds, expire, this);
    }
    if (signal !== undefined) guard.subscription = subscribeToAbort(signal, this);
    this._guard = guard;
  }

  /** Out of the line, timer removed, signal let go: what comes before every settling. */
  _leave(): void {
    this._line?.remove(this);
    this._disarm();
  }

  /** From here on neither deadline nor abort counts. */
  _disarm(): void {
    if (this._guard === undefined) return;
    this._guard.letGo();
    this._guard = undefined;
  }

  /** The deadline has passed. */
  _expired(): void {
    this.setException(new TimeoutError());
  }

  _aborted(reason: unknown): void {
    if (this.done()) return;
    this._leave();
    this._withdrawn(reason);
  }

  /** The signal was aborted; the line has been left. The reason is passed on as it is, were it a class. */
  _withdrawn(reason: unknown): void {
    this._settleFailed(reason, false);
  }

  override _onCancel(): void {
    this._leave();
  }
}

/** A line of waiters in order of arrival. @internal */
export class WaiterList<W extends Waiter<unknown> = Waiter<unknown>> {
  #first: Waiter<unknown> | undefined = undefined;
  #last: Waiter<unknown> | undefined = undefined;
  #length = 0;

  /** How many wait. Every one of them is alive. */
  get length(): number {
    return this.#length;
  }

  push(waiter: W): void {
    const entry: Waiter<unknown> = waiter;
    entry._line = this;
    entry._previous = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last._next = entry;
    this.#last = entry;
    this.#length++;
  }

  remove(entry: Waiter<unknown>): void {
    const { _previous: previous, _next: next } = entry;
    if (previous === undefined) this.#first = next;
    else previous._next = next;
    if (next === undefined) this.#last = previous;
    else next._previous = previous;
    entry._line = entry._previous = entry._next = undefined;
    this.#length--;
  }

  /** Takes the longest-waiting out of the line, its timer and signal let go, ready to be granted; `undefined` if nobody waits. */
  shift(): W | undefined {
    for (let entry = this.#first; entry !== undefined; entry = this.#first) {
      entry._leave();
      // Somebody may have settled a Future that was handed to him, by setResult() or chainFuture().
      if (!entry.done()) return entry as W;
    }
    return undefined;
  }
}

/** A Future that failed already, with exactly `error`. @internal */
export function failed<T>(error: unknown): Future<T> {
  const future = new Future<T>();
  future._settleFailed(error, false);
  return future;
}

/** A Future that is done already. @internal */
export function resolved<T>(value: T): Future<T> {
  const future = new Future<T>();
  future.setResult(value);
  return future;
}
