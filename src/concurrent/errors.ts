/** The errors of futures and of everything that waits. Depends on nothing. */

/** The operation was cancelled, by `Future.cancel()` or by something that stands on it (`asyncio.CancelledError`). Never logged. */
export class CancelledError extends Error {
  static {
    this.prototype.name = "CancelledError";
  }

  constructor(message = "The operation was cancelled", options?: ErrorOptions) {
    super(message, options);
  }
}

/** A Future was asked for an outcome it does not have yet, or given a second one (`asyncio.InvalidStateError`). */
export class InvalidStateError extends Error {
  static {
    this.prototype.name = "InvalidStateError";
  }
}

/** A deadline passed: the one class for the whole package (`tornado.util.TimeoutError`, `tornado.gen.TimeoutError`). */
export class TimeoutError extends Error {
  static {
    this.prototype.name = "TimeoutError";
  }

  constructor(message = "The operation timed out", options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * Whether `error` says that somebody gave up waiting rather than that something went wrong: our {@link CancelledError}, also that of another
 * copy of the package, or an error named 'AbortError', its JavaScript counterpart. Where the one is not logged, the other is not.
 */
export function isCancellation(error: unknown): boolean {
  if (error instanceof CancelledError) return true;
  return typeof error === "object" && error !== null && "name" in error && (error.name === "AbortError" || error.name === "CancelledError");
}
