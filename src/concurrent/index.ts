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
export { DummyExecutor, dummyExecutor } from "./executor.js";
export type { Executor } from "./executor.js";
export { Future, isFuture } from "./future.js";
export type { FutureListener, FutureOptions } from "./future.js";
export { runOnExecutor } from "./run-on-executor.js";
export type { RunOnExecutor, RunOnExecutorOptions } from "./run-on-executor.js";
export { currentScheduler, setCurrentScheduler } from "./scheduler.js";
export type { CallbackScheduler } from "./scheduler.js";
export { ThreadPoolExecutor } from "./thread-pool-executor.js";
export type { ThreadPoolExecutorOptions } from "./thread-pool-executor.js";
