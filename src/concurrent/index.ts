/** Futures and executors (`tornado.concurrent`). Other parts of the library import from here. */
export {
  chainFuture,
  futureAddDoneCallback,
  futureSetExcInfo,
  futureSetExceptionUnlessCancelled,
  futureSetResultUnlessCancelled,
  isPromiseLike,
} from "./chain-future.js";
export { CancelledError, InvalidStateError, TimeoutError, isCancellation } from "./errors.js";
export { Future, isFuture } from "./future.js";
export type { FutureListener, FutureOptions } from "./future.js";
export { currentScheduler, setCurrentScheduler } from "./scheduler.js";
export type { CallbackScheduler } from "./scheduler.js";
