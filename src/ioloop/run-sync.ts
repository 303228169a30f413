/** `IOLoop.runSync`: one function from its beginning to its end in a loop of its own (L75-L83). */
import { inspect } from "node:util";
import { isCancellation, isFuture, TimeoutError } from "../concurrent/index.js";
import { applicationLog } from "../log.js";
import { checkCallback, checkKeys, isThenable } from "./checks.js";
import { checkSeconds } from "./deadline.js";
import type { IOLoop } from "./ioloop.js";

/** What `runSync` asks of a loop that is nobody else's business. */
export interface LoopState {
  isRunning(): boolean;
  isClosed(): boolean;
  isStopPending(): boolean;
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

export function runSync<T>(
  loop: IOLoop,
  func: () => PromiseLike<T> | undefined,
  options: number | { timeout?: number },
  state: LoopState,
): Promise<T> {
  checkCallback(func, "func");
  checkKeys(options, ["timeout"], "runSync()");
  const timeout = typeof options === "number" ? options : options.timeout;
  if (timeout !== undefined) checkSeconds(timeout, "timeout");
  if (state.isClosed()) return Promise.reject(new Error("runSync() on a closed IOLoop: make a new one"));
  if (state.isRunning()) {
    return Promise.reject(new Error("runSync() on a running IOLoop: await the function itself, the loop is there to serve it"));
  }

  let awaited: PromiseLike<T> | undefined;
  let outcome: Outcome<T> | undefined;
  let timedOut = false;
  let abandoned = false;

  const settle = (result: Outcome<T>): void => {
    if (abandoned) {
      if ("error" in result && !isCancellation(result.error)) {
        applicationLog.error("A function that runSync() no longer waited for failed", result.error);
      }
      return;
    }
    outcome = result;
    // It may have been stopped by another meanwhile; a stop now would be kept for the next start() (L70).
    if (state.isRunning()) loop.stop();
  };

  const call = (): void => {
    if (abandoned) return;
    try {
      const result: unknown = func();
      if (result === undefined || result === null) settle({ value: undefined as T });
      else if (!isThenable(result)) settle({ error: notAwaitable(result) });
      else {
        awaited = result as PromiseLike<T>;
        awaited.then(
          (value) => {
            settle({ value });
          },
          (error: unknown) => {
            settle({ error });
          },
        );
      }
    } catch (error) {
      settle({ error });
    }
  };

  const giveUp = (): void => {
    timedOut = true;
    // A Future that takes the cancellation is waited for: what it has to clean up belongs to this run.
    if (isFuture(awaited) && awaited.cancel()) return;
    loop.stop();
  };

  // With a stop() pending the loop will leave at once, and the function must not be left in its queue for another start (L82).
  if (!state.isStopPending()) loop.addCallback(call);
  const handle = timeout === undefined ? undefined : loop.addTimeout(loop.time() + timeout, giveUp);
  const finish = (): void => {
    abandoned = true;
    if (handle !== undefined) loop.removeTimeout(handle);
  };

  return loop.start().then(
    () => {
      finish();
      if (outcome !== undefined && "value" in outcome) return outcome.value;
      if (timedOut && (outcome === undefined || isCancellation(outcome.error))) {
        throw new TimeoutError(`Operation timed out after ${timeout} seconds`);
      }
      if (outcome !== undefined) throw outcome.error;
      throw new Error("The IOLoop was stopped before the function given to runSync() had finished");
    },
    (error: unknown) => {
      finish();
      throw error;
    },
  );
}

function notAwaitable(result: unknown): TypeError {
  return new TypeError(
    `The function given to runSync() returned ${inspect(result, { depth: 0 })}: it must return an awaitable or undefined`,
  );
}
