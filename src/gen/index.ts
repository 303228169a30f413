/** Coroutine helpers (`tornado.gen`), and what waiting has in common for locks and queues. Other parts of the library import from here. */
export { TimeoutError } from "../concurrent/index.js";
export { coroutine, isCoroutineFunction, Return } from "./coroutine.js";
export { maybeFuture } from "./follow.js";
export { moment } from "./moment.js";
export { convertYielded, Multi, multi, multiFuture, type MultiOptions } from "./multi.js";
export { sleep } from "./sleep.js";
export { WaitIterator } from "./wait-iterator.js";
export { withTimeout, type WithTimeoutOptions } from "./with-timeout.js";
export { BadYieldError, type ErrorClass, type QuietExceptions, type Yieldable, type Yielded } from "./yieldable.js";
export { type EventWaitOptions, type WaitOptions } from "./wait-options.js";

// What locks and queues stand on; not part of the library's face.
export { abortReason, type AbortSubscription, type AbortTarget, isAbortSignal, subscribeToAbort } from "./abort-watch.js";
export { readWaitArguments, type WaitPlan } from "./wait-options.js";
export { failed, resolved, Waiter, WaiterList } from "./waiter.js";
