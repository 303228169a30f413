/** `sleep`. Depends on `ioloop`. */
import { inspect } from "node:util";

import type { Future } from "../concurrent/index.js";
import { type Duration, durationToSeconds, isDuration } from "../ioloop/index.js";
import { abortReason } from "./abort-watch.js";
import { readWaitArguments } from "./wait-options.js";
import { failed, Waiter } from "./waiter.js";
import { checkKeys } from "./yieldable.js";

class Sleeper extends Waiter<void> {
  override _expired(): void {
    this.setResult(undefined);
  }
}

function secondsFrom(duration: unknown): number {
  if (typeof duration === "number" && !Number.isNaN(duration)) return duration;
  if (isDuration(duration)) return durationToSeconds(duration, "duration");
  throw new TypeError(
    `duration is ${inspect(duration, { depth: 0 })}: pass a number of seconds, or a Duration such as { milliseconds: 50 }`,
  );
}

/**
 * Finishes after `duration`, on the current loop; here a number is **relative**, in seconds. Zero or less: in the next iteration.
 * `cancel()` and an abort remove the timer.
 *
 * Tornado: `tornado.gen.sleep` (4.1).
 *
 * @throws TypeError if `duration` is neither a number nor a Duration, or NaN; for a wrong option
 */
export function sleep(duration: number | Duration, options?: { signal?: AbortSignal | undefined }): Future<void> {
  const seconds = secondsFrom(duration);
  checkKeys(options, ["signal"]);
  const { signal } = readWaitArguments(undefined, options);
  if (signal?.aborted === true) return failed<void>(abortReason(signal));
  const sleeper = new Sleeper();
  sleeper._arm({ seconds: seconds === Infinity ? undefined : seconds, relative: true, signal, onTimeout: undefined });
  return sleeper;
}
