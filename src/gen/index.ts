/** Coroutine helpers (`tornado.gen`), and what waiting has in common for locks and queues. Other parts of the library import from here. */
export { abortReason } from "./abort-watch.js";
export { type EventWaitOptions, readWaitArguments, type WaitOptions, type WaitPlan } from "./wait-options.js";
export { failed, resolved, Waiter, WaiterList } from "./waiter.js";
