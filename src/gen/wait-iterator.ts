/** `WaitIterator`: results in the order of completion. Depends on `concurrent`. */
import { Future, type FutureListener } from "../concurrent/index.js";
import { isThenable } from "../ioloop/index.js";
import { toFuture } from "./follow.js";
import { failed } from "./waiter.js";
import { badYield, isPlainObject } from "./yieldable.js";

/** One input: what was passed in, under which index or key, and the Future that stands for it. */
class Input implements FutureListener {
  readonly index: number | string;
  readonly source: PromiseLike<unknown>;
  readonly future: Future<unknown>;
  readonly #finished: (input: Input) => void;

  constructor(index: number | string, source: PromiseLike<unknown>, finished: (input: Input) => void) {
    this.index = index;
    this.source = source;
    this.future = toFuture(source);
    this.#finished = finished;
  }

  _futureSettled(): void {
    this.#finished(this);
  }
}

function readInputs(inputs: readonly unknown[]): [index: number | string, source: PromiseLike<unknown>][] {
  const isKeyed = (x: unknown): x is Record<string, unknown> => isPlainObject(x) && !isThenable(x);
  let entries: [number | string, unknown][];
  const [first] = inputs;
  if (inputs.length === 1 && isKeyed(first)) {
    entries = Object.entries(first);
  } else {
    if (inputs.some(isKeyed)) {
      throw new RangeError("WaitIterator was given an object of Futures beside other arguments: pass either Futures or one object of them");
    }
    entries = [...inputs.entries()];
  }
  for (const [, source] of entries) if (!isThenable(source)) throw badYield(source, " with WaitIterator");
  return entries as [number | string, PromiseLike<unknown>][];
}

/**
 * Gives the results of its inputs as they come, each with its position or key.
 *
 * Tornado: `tornado.gen.WaitIterator` (4.1).
 *
 * @example
 * const it = new WaitIterator(first, second);
 * while (!it.done()) {
 *   const value = await it.next();
 *   console.log(it.currentIndex, value);
 * }
 */
export class WaitIterator<T> {
  #index: number | string | undefined = undefined;
  #source: PromiseLike<T> | undefined = undefined;
  /** Inputs that are done and not handed out, from `#head` on. */
  readonly #finished: Input[] = [];
  #head = 0;
  /** Inputs not handed out. */
  #left: number;
  #running: Future<T> | undefined = undefined;

  /**
   * @param futures - Futures or other PromiseLikes, or one plain object of them
   * @throws BadYieldError if one cannot be awaited
   * @throws RangeError for an object beside other arguments
   */
  constructor(...futures: readonly PromiseLike<T>[]);
  constructor(byKey: Readonly<Record<string, PromiseLike<T>>>);
  constructor(...inputs: readonly unknown[]) {
    const entries = readInputs(inputs);
    this.#left = entries.length;
    const finished = (input: Input): void => {
      this.#finished.push(input);
      if (this.#running?.done() === false) this.#handOut();
    };
    for (const [index, source] of entries) {
      const input = new Input(index, source, finished);
      if (input.future.done()) this.#finished.push(input);
      else input.future._addListener(input);
    }
  }

  /** The position or key of the input that gave the latest result, until the next call of {@link next}. */
  get currentIndex(): number | string | undefined {
    return this.#index;
  }

  /** The input, as passed in, that gave the latest result, until the next call of {@link next}. */
  get currentFuture(): PromiseLike<T> | undefined {
    return this.#source;
  }

  /** Whether every input has been handed out. */
  done(): boolean {
    if (this.#left > 0) return false;
    this.#index = this.#source = undefined;
    return true;
  }

  /**
   * The next result, in a Future of its own; a failed or cancelled input makes it fail, and the iteration can go on. Fails with `Error` after the
   * end, and while the previous one is pending.
   */
  next(): Future<T> {
    if (this.#running?.done() === false) return failed<T>(new Error("The previous next() is still pending: await it first"));
    if (this.#left === 0) return failed<T>(new Error("Every input has been handed out: ask done() first"));
    const running = new Future<T>();
    this.#running = running;
    this.#index = this.#source = undefined;
    if (this.#head < this.#finished.length) this.#handOut();
    return running;
  }

  /** `for await`: ends when all are handed out, throws at the first failure; a second loop goes on with the rest. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: (): Promise<IteratorResult<T, undefined>> => {
        if (this.done()) return Promise.resolve({ done: true, value: undefined });
        return this.next().then((value) => ({ done: false, value }));
      },
    };
  }

  #handOut(): void {
    const running = this.#running as Future<T>;
    const input = this.#finished[this.#head] as Input;
    // Cleared at once, so that an iterator does not keep alive what it has handed out; the array is let go as a whole at the end.
    this.#finished[this.#head++] = undefined as unknown as Input;
    if (this.#head === this.#finished.length) this.#head = this.#finished.length = 0;
    this.#left--;
    this.#index = input.index;
    this.#source = input.source as PromiseLike<T>;
    let value: T;
    try {
      value = input.future.result() as T;
    } catch (error) {
      running._settleFailed(error, false);
      return;
    }
    running.setResult(value);
  }
}
