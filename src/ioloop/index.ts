/** The event loop: `IOLoop` and `PeriodicCallback`, as in Tornado's `ioloop` module, and the parts they are made of. */
export type { BlockAction, BlockInfo } from "./blocking.js";
export { type ConfigurableClass, configureFamily, familyOf, registerImplementation, type SavedConfiguration } from "./configurable.js";
export { checkCallback, isSystemError, isThenable } from "./checks.js";
export type { Callback, QueuedCallback } from "./context.js";
export { checkSeconds, type Deadline, deadlineToSeconds, type Duration, durationToSeconds, isDuration, seconds } from "./deadline.js";
export { EPollIOLoop, PosixPollIOLoop } from "./epoll-ioloop.js";
export type { EventCallback, FileDescriptor, Selectable } from "./handler-table.js";
export type { HostName } from "./host/index.js";
export { type CurrentOptions, IOLoop, type IOLoopClass, type IOLoopOptions } from "./ioloop.js";
export { checkMask, describeMask, ERROR, NONE, READ, WRITE } from "./masks.js";
export type { LoopObserver, LoopStatistics, LoopStep } from "./observer.js";
export { PeriodicCallback, type PeriodicCallbackOptions } from "./periodic-callback.js";
export { PollIOLoop, type PollIOLoopOptions } from "./poll-ioloop.js";
export type { HostedPoller, Pairs, Poller } from "./pollers/poller.js";
export { EPollPoller } from "./pollers/epoll.js";
export { PollPoller } from "./pollers/poll.js";
export type { _Timeout, TimeoutHandle } from "./timeouts.js";
/** What a timeout runs once its arguments are bound. */
export type TimeoutCallback = () => unknown;
export { type WakeHandle, wakeLoop, type WakeToken } from "./wake-handle.js";
export { Waker } from "./waker.js";
