/** The errors of streams (`tornado.iostream`). Depends on nothing. */

/**
 * An operation met a closed stream, or the stream was closed while the operation was under way. `realError` tells why it closed;
 * `undefined` after a plain end of file or `close()`.
 *
 * The close callback runs after the other callbacks of a stream, so this error may come before it. Tornado: `StreamClosedError`, with
 * `real_error` (4.3).
 */
export class StreamClosedError extends Error {
  override readonly name = "StreamClosedError";
  /** What closed the stream, the very object that its `error` holds; also `cause`. */
  readonly realError: Error | undefined;

  constructor(realError?: Error) {
    super("Stream is closed", realError === undefined ? undefined : { cause: realError });
    this.realError = realError;
  }
}

/** More than `maxBytes` bytes have come without the delimiter or a match. The stream closes with it. Tornado: `UnsatisfiableReadError`. */
export class UnsatisfiableReadError extends Error {
  override readonly name = "UnsatisfiableReadError";
}

/** A read would hold more than `maxBufferSize` bytes, or a write more than `maxWriteBufferSize`. Tornado: `StreamBufferFullError`. */
export class StreamBufferFullError extends Error {
  override readonly name = "StreamBufferFullError";
}
