/**
 * The blocking thresholds: Tornado's `set_blocking_log_threshold` and `set_blocking_signal_threshold`, which it had until 5.1 and did with
 * SIGALRM. JavaScript cannot interrupt itself, so what took too long is reported when it is over.
 */
import { applicationLog } from "../log.js";

/** What the action of a blocking threshold is told. */
export interface BlockInfo {
  /** The threshold, in seconds. */
  readonly threshold: number;
  /** How long the loop had been busy when this was noticed, in seconds of real time. */
  readonly seconds: number;
  /** The function that was running when the threshold passed. */
  readonly callback: (...args: never) => unknown;
  /** That function's name and the beginning of its source: the stack of a function that has returned is gone. */
  readonly stack: string;
}

/** What to do about it. */
export type BlockAction = (info: BlockInfo) => void;

const SOURCE_SHOWN = 200;

/** Measures the loop's own work between two polls (L109): the waits, and what Node does in between, are not counted. */
export class BlockingWatch {
  readonly threshold: number;
  readonly #action: BlockAction;
  #before = 0;
  #began = 0;
  #reported = true;

  constructor(threshold: number, action: BlockAction) {
    this.threshold = threshold;
    this.#action = action;
  }

  /** A poll has returned: a span begins. */
  polled(): void {
    this.#before = 0;
    this.#reported = false;
    this.#began = performance.now();
  }

  /** The span's work goes on in another turn. */
  resume(): void {
    this.#began = performance.now();
  }

  /** The turn ends, the span does not. */
  pause(): void {
    this.#before += performance.now() - this.#began;
  }

  /** The loop has left: what a later run does before its first poll is not measured. */
  left(): void {
    this.#reported = true;
  }

  /** `callback` has returned: was it the one that took too long? At most one report for a span. */
  ran(callback: (...args: never) => unknown): void {
    if (this.#reported) return;
    const busy = (this.#before + performance.now() - this.#began) / 1000;
    if (busy <= this.threshold) return;
    this.#reported = true;
    const stack = `${callback.name || "<anonymous>"}: ${Function.prototype.toString.call(callback).slice(0, SOURCE_SHOWN)}`;
    try {
      this.#action({ threshold: this.threshold, seconds: busy, callback, stack });
    } catch (error) {
      // It only watches: the run is not its business.
      applicationLog.error("The action of a blocking threshold failed", error);
    }
  }
}
