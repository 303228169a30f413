/**
 * What every part of asyncio's face needs of a loop: it may be given as an `IOLoop` or as an `EventLoop`, and its exception handler is kept here,
 * beside the `IOLoop` and not in the `EventLoop`, so that transports and protocols need not know that class. Depends on `ioloop` and the log.
 */
import { IOLoop } from "../ioloop/index.js";
import { applicationLog } from "../log.js";
import { show } from "../process/index.js";

/** A loop as it may be given everywhere: an `IOLoop`, or asyncio's face of one. */
export type LoopArgument = IOLoop | { readonly _ioLoop: IOLoop };

/** What {@link callExceptionHandler} is told. Other keys may stand beside these. */
export interface ExceptionContext {
  /** What has happened. */
  message: string;
  /** What was thrown. */
  exception?: unknown;
  /** Further facts: `transport`, `protocol`, `future`. */
  [fact: string]: unknown;
}

/** What `EventLoop.setExceptionHandler` takes; `loop` is the `EventLoop`. */
export type ExceptionHandler = (context: ExceptionContext) => void;

const handlers = new WeakMap<IOLoop, ExceptionHandler>();

/**
 * The `IOLoop` of an argument; the current one without it.
 *
 * @throws TypeError for what is no loop
 */
export function ioLoopOf(loop: unknown): IOLoop {
  if (loop === undefined) return IOLoop.current();
  if (loop instanceof IOLoop) return loop;
  if (typeof loop === "object" && loop !== null && "_ioLoop" in loop && loop._ioLoop instanceof IOLoop) return loop._ioLoop;
  throw new TypeError(`loop is ${show(loop)}: pass an IOLoop or an EventLoop`);
}

/** Sets who hears of failures that no caller can be told of; `undefined` restores the log. */
export function setExceptionHandler(loop: IOLoop, handler: ExceptionHandler | undefined): void {
  if (handler === undefined) handlers.delete(loop);
  else handlers.set(loop, handler);
}

/** Tells of a failure that no caller can be told of: the handler that was set, else the log `application`. */
export function callExceptionHandler(loop: IOLoop, context: ExceptionContext): void {
  const handler = handlers.get(loop);
  if (handler === undefined) {
    logException(context);
    return;
  }
  try {
    handler(context);
  } catch (error) {
    applicationLog.error("The exception handler of an EventLoop failed", error);
    logException(context);
  }
}

/** What happens without a handler. */
export function logException({ message, exception }: ExceptionContext): void {
  if (exception === undefined) applicationLog.error(message);
  else applicationLog.error(message, exception);
}
