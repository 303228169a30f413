/** What somebody who watches a loop is told, step by step, and what `loop.statistics()` answers. */
import type { FileDescriptor } from "./handler-table.js";
import type { IOLoop } from "./ioloop.js";
import type { TimeoutHandle } from "./timeouts.js";

/**
 * One step of an iteration. In the order of an iteration: it starts; callbacks and timeouts run; changed interests go to the poller; it
 * waits; what is ready is known; handlers run; it ends. Things may be added, removed or cancelled at any time.
 */
export type LoopStep =
  | { readonly type: "iteration-start"; readonly iteration: number }
  | { readonly type: "callback-added"; readonly callback: (...args: never) => unknown }
  | { readonly type: "callback-run"; readonly callback: (...args: never) => unknown }
  | { readonly type: "timeout-added"; readonly timeout: TimeoutHandle; readonly deadline: number }
  | { readonly type: "timeout-run"; readonly timeout: TimeoutHandle; readonly callback: (...args: never) => unknown }
  | { readonly type: "timeout-cancelled"; readonly timeout: TimeoutHandle }
  | { readonly type: "handler-added"; readonly fd: FileDescriptor; readonly events: number }
  | { readonly type: "handler-removed"; readonly fd: FileDescriptor }
  | { readonly type: "interest-changed"; readonly fd: FileDescriptor; readonly from: number; readonly to: number }
  | { readonly type: "wait"; readonly seconds: number }
  | { readonly type: "ready"; readonly ready: readonly (readonly [fd: number, events: number])[] }
  | { readonly type: "handler-run"; readonly fd: FileDescriptor; readonly events: number; readonly handler: (...args: never) => unknown }
  | { readonly type: "iteration-end"; readonly iteration: number };

/**
 * Called synchronously at each step, before what the step names happens where it names something that runs. It is given the loop, whose
 * `statistics()`, `_callbacks`, `_timeouts` and `_handlers` hold the rest of the picture. It must not change the loop. One that throws is
 * logged on `application` and taken off.
 */
export type LoopObserver = (step: LoopStep, loop: IOLoop) => void;

/** The state of a loop in numbers. */
export interface LoopStatistics {
  /** Callbacks queued. */
  readonly callbacks: number;
  /** Timeouts that will run. */
  readonly timeouts: number;
  /** Cancelled timeouts that still take a place in the heap. */
  readonly cancelledTimeouts: number;
  /** Registered descriptors, without the loop's own waker. */
  readonly handlers: number;
  /** Iterations begun since the loop was made. */
  readonly iterations: number;
  /** Between `start()` and the resolution of its promise. */
  readonly running: boolean;
  /** Waiting for the poller, which it may do for an hour. */
  readonly waiting: boolean;
  readonly closed: boolean;
}
