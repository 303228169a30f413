/** The errors of asyncio's streams. Depends on nothing. */

/** The end came where more was wanted (Python's built-in of the same name). */
export class EOFError extends Error {
  static {
    this.prototype.name = "EOFError";
  }
}

/** The stream ended before a read had what it was to read. asyncio: `IncompleteReadError`. */
export class IncompleteReadError extends EOFError {
  static {
    this.prototype.name = "IncompleteReadError";
  }

  /** What came before the end. The reader does not have it any more. */
  readonly partial: Buffer;
  /** How many bytes were asked for; `undefined` where it was a separator. */
  readonly expected: number | undefined;

  constructor(partial: Buffer, expected: number | undefined) {
    super(`${partial.length} bytes read on a total of ${String(expected)} expected bytes`);
    this.partial = partial;
    this.expected = expected;
  }
}

/** No separator within the reader's limit. Nothing has been taken out of the buffer. asyncio: `LimitOverrunError` (3.5.2). */
export class LimitOverrunError extends Error {
  static {
    this.prototype.name = "LimitOverrunError";
  }

  /** How many bytes can be read and skipped without touching a separator. */
  readonly consumed: number;

  constructor(message: string, consumed: number) {
    super(message);
    this.consumed = consumed;
  }
}
