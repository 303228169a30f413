/** `ensureFuture`. Depends on Futures. */
import { chainFuture, Future, isFuture } from "../concurrent/index.js";
import { isThenable } from "../ioloop/index.js";
import { checkOptions, show } from "../process/index.js";
import { ioLoopOf, type LoopArgument } from "./loop-argument.js";

/**
 * A Future with the outcome of `x`: a Future as it is, another awaitable followed, a function called at once and what it returns followed; what it
 * throws is the Future's failure.
 *
 * asyncio: `ensure_future`.
 *
 * @throws TypeError for what can be neither awaited nor called
 */
export function ensureFuture<T>(x: PromiseLike<T> | (() => PromiseLike<T>), options: { loop?: LoopArgument | undefined } = {}): Future<T> {
  checkOptions("ensureFuture()", ["loop"], options);
  if (isFuture(x) && x instanceof Future) return x as Future<T>;
  const future = new Future<T>();
  if (options.loop !== undefined) future._scheduler = ioLoopOf(options.loop);
  let source: unknown = x;
  if (typeof x === "function") {
    try {
      source = x();
    } catch (error) {
      future._settleFailed(error, false);
      return future;
    }
  }
  if (!isThenable(source)) throw new TypeError(`x is ${show(source)}: pass something that can be awaited, or an async function`);
  chainFuture(source as PromiseLike<T>, future);
  return future;
}
