/**
 * `StreamReader`: the buffer between a protocol, which feeds it, and a coroutine, which reads. Depends on Futures and on the read buffer of
 * `iostream`.
 *
 * A read that cannot be answered waits as the one object that it returned: a Future that knows what is wanted. Feeding wakes it, and it goes
 * on in a microtask, so it sees all that was fed in the same turn (A2). One microtask serves all readers of the thread that were woken since the last.
 */
import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { Future } from "../concurrent/index.js";
import type { IOLoop } from "../ioloop/index.js";
import { EMPTY, ReadBuffer } from "../iostream/index.js";
import { applicationLog } from "../log.js";
import { constructing } from "../names.js";
import type { Data } from "../platform/index.js";
import { checkOptions, show } from "../process/index.js";
import { IncompleteReadError, LimitOverrunError } from "./errors.js";
import { ioLoopOf, type LoopArgument } from "./loop-argument.js";
import { NEWLINE, type Separators, separatorsOf } from "./separators.js";
import type { ReadTransport } from "./transport.js";

/** What `new StreamReader()` takes. */
export interface StreamReaderOptions {
  /** The most bytes of a line or of what `readuntil` gives, its separator not counted; twice as many buffered bytes pause the transport. 65,536. */
  limit?: number | undefined;
  /** The loop whose callbacks the reads belong to; the current one without it. */
  loop?: LoopArgument | undefined;
}

/** What a reader needs of its transport: a `ReadTransport` has it. */
export type Pausable = Pick<ReadTransport, "pauseReading" | "resumeReading">;

/** The limit of a reader unless one says otherwise, in bytes. */
export const DEFAULT_LIMIT = 65536;

/** What a read wants. */
const AT_MOST = 0;
const TO_END = 1;
const EXACTLY = 2;
const UNTIL = 3;
const LINE = 4;

type Kind = typeof AT_MOST | typeof TO_END | typeof EXACTLY | typeof UNTIL | typeof LINE;

const METHODS: Readonly<Record<Kind, string>> = {
  [AT_MOST]: "read",
  [TO_END]: "read",
  [EXACTLY]: "readexactly",
  [UNTIL]: "readuntil",
  // As in asyncio, where readline calls readuntil.
  [LINE]: "readuntil",
};

/** A read, and the Future that its caller has. */
class Read extends Future<Buffer> {
  readonly reader: StreamReader;
  readonly kind: Kind;
  /** Bytes wanted, where the kind has a number. */
  readonly count: number;
  readonly separators: Separators;
  /** No separator begins before this byte (A24). */
  searched = 0;

  constructor(reader: StreamReader, kind: Kind, count: number, separators: Separators) {
    super();
    this._scheduler = reader._loop;
    this.reader = reader;
    this.kind = kind;
    this.count = count;
    this.separators = separators;
  }

  override _onCancel(): void {
    this.reader._withdraw(this);
  }
}

/** Readers that have been fed and whose reads have not looked yet. */
let woken: StreamReader[] = [];
// Cheaper than queueMicrotask, which makes an AsyncResource for each call.
const settled = Promise.resolve();

function goOn(): void {
  const readers = woken;
  woken = [];
  for (const reader of readers) reader._goOn();
}

/**
 * Reads from what a protocol feeds it. Made by `openConnection` and `startServer`, and by hand around a protocol of one's own.
 *
 * One read at a time: a second one fails at once. All reads give `Buffer`s that are the caller's own. What waits may be cancelled, and no byte is
 * lost by that.
 *
 * asyncio: `StreamReader`, as of 3.13.
 *
 * @example
 * const reader = new StreamReader();
 * reader.feedData("one\ntwo\n");
 * reader.feedEof();
 * for await (const line of reader) console.log(line.toString());
 */
export class StreamReader implements AsyncIterable<Buffer> {
  readonly #limit: number;
  /** @internal */
  readonly _loop: IOLoop;
  /** A reader without unread bytes owns no memory. */
  #buffer = new ReadBuffer(EMPTY);
  #eof = false;
  #exception: Error | undefined = undefined;
  #transport: Pausable | undefined = undefined;
  #paused = false;
  #read: Read | undefined = undefined;
  #woken = false;

  /**
   * @param options - or the limit alone, as in Python
   * @throws TypeError for what is no number or no loop, or an unknown option
   * @throws RangeError for a limit that is not a positive whole number
   */
  constructor(options?: number | StreamReaderOptions, loop?: LoopArgument) {
    constructing(new.target);
    const given: { limit?: unknown; loop?: unknown } = typeof options === "object" ? options : { limit: options, loop };
    checkOptions("new StreamReader()", ["limit", "loop"], given);
    this.#limit = checkLimit(given.limit);
    this._loop = ioLoopOf(given.loop);
  }

  // ---- The protocol's side ----

  /** What {@link setException} was given. */
  exception(): Error | undefined {
    return this.#exception;
  }

  /** Makes every read fail with this very object, one that waits too. */
  setException(error: Error): void {
    this.#exception = error;
    const read = this.#read;
    if (read === undefined) return;
    this.#read = undefined;
    read._settleFailed(error, false);
  }

  /**
   * Names the transport to pause while too much is buffered, once.
   *
   * @throws Error when there is one
   */
  setTransport(transport: Pausable): void {
    if (this.#transport !== undefined) throw new Error("Transport already set: a reader has one, make another reader");
    this.#transport = transport;
  }

  /** No more comes. Calling it again does nothing. */
  feedEof(): void {
    this.#eof = true;
    this.#wake();
  }

  /**
   * More input. It is copied.
   *
   * @throws Error after {@link feedEof}; TypeError for what are no bytes
   */
  feedData(data: Data): void {
    if (typeof data === "string") {
      const bytes = Buffer.from(data);
      this._append(bytes, bytes.length);
      return;
    }
    if (!(data instanceof Uint8Array)) throw new TypeError(`data is ${show(data)}: pass a string or a Uint8Array`);
    this._append(Buffer.from(data.buffer, data.byteOffset, data.length), data.length);
  }

  /** Takes a copy of the first `count` bytes of `memory`. @internal */
  _append(memory: Buffer, count: number): void {
    if (this.#eof) throw new Error("feedData after feedEof: the end has been told already");
    if (count === 0) return;
    const buffer = this.#buffer;
    buffer.append(memory, count);
    if (this.#read !== undefined && !this.#woken) this.#wake();
    if (this.#transport !== undefined && !this.#paused && buffer.end - buffer.start > 2 * this.#limit) this.#pause();
  }

  #pause(): void {
    try {
      this.#transport?.pauseReading();
      this.#paused = true;
    } catch {
      // One that cannot pause will not resume either (A23).
      this.#transport = undefined;
    }
  }

  #resume(): void {
    this.#paused = false;
    try {
      this.#transport?.resumeReading();
    } catch (error) {
      // It is no fault of the read, which goes on with what comes.
      applicationLog.error("resumeReading() of a StreamReader's transport failed", error);
    }
  }

  /** A copy of what has not been read. @internal */
  _buffered(): Buffer {
    const { memory, start, end } = this.#buffer;
    return Buffer.from(memory.subarray(start, end));
  }

  /** TLS takes over. What is buffered has gone into its handshake, so it is no data (A37). @internal */
  _upgrade(transport: Pausable): void {
    this.#buffer = new ReadBuffer(EMPTY);
    this.#transport = transport;
    this.#paused = false;
    if (this.#read !== undefined) this.#read.searched = 0;
  }

  // ---- Reading ----

  /**
   * Up to `n` bytes: what there is, at least one unless the end has come. A negative `n`, the default, means all until the end.
   *
   * Rejects with TypeError for what is no number, RangeError for a fraction, what {@link setException} was given, Error while another read waits.
   */
  read(n = -1): Future<Buffer> {
    const error = countError("n", n);
    if (error !== undefined) return failed(error);
    return this.#begin(n < 0 ? TO_END : AT_MOST, n, NEWLINE);
  }

  /**
   * A line with its `\n`; at the end of input what there is without one.
   *
   * Rejects with RangeError when the line is longer than the limit: the line is dropped, or if its end has not come, all that is buffered.
   */
  readline(): Future<Buffer> {
    return this.#begin(LINE, 0, NEWLINE);
  }

  /**
   * Exactly `n` bytes, whatever the limit.
   *
   * Rejects with `IncompleteReadError` when the end comes first, RangeError for a negative or fractional `n`.
   */
  readexactly(n: number): Future<Buffer> {
    const error = countError("n", n);
    if (error !== undefined) return failed(error);
    if (n < 0) return failed(new RangeError(`readexactly size can not be less than zero: it is ${n}`));
    return this.#begin(EXACTLY, n, NEWLINE);
  }

  /**
   * Everything through the separator; of several separators the one that ends first. asyncio 3.5.2, several 3.13.
   *
   * Rejects with `LimitOverrunError` when more than the limit comes before it (the bytes stay), `IncompleteReadError` when the end comes first,
   * RangeError for an empty separator.
   */
  readuntil(separator?: Data | readonly Data[]): Future<Buffer> {
    let separators: Separators;
    try {
      separators = separatorsOf(separator);
    } catch (error) {
      return failed(error);
    }
    return this.#begin(UNTIL, 0, separators);
  }

  /** Whether the end has come and nothing is left to read. */
  atEof(): boolean {
    return this.#eof && this.#buffer.length === 0;
  }

  /** Lines, until the end. */
  [Symbol.asyncIterator](): AsyncIterator<Buffer, undefined> {
    return new Lines(this);
  }

  /** Begins a read, and ends it at once if that is possible. */
  #begin(kind: Kind, count: number, separators: Separators): Future<Buffer> {
    if (this.#exception !== undefined) return failed(this.#exception);
    if (this.#read !== undefined) {
      return failed(new Error(`${METHODS[kind]}() called while another coroutine is already waiting for incoming data: await that first`));
    }
    const read = new Read(this, kind, count, separators);
    this.#attempt(read);
    return read;
  }

  /** Gives a read its result, or lets it wait. */
  #attempt(read: Read): void {
    if (this.#answer(read)) return;
    this.#read = read;
    // What it waits for may be more than the transport was paused for (A22).
    if (this.#paused) this.#resume();
  }

  /** Whether a read has its outcome. */
  #answer(read: Read): boolean {
    const { kind, count } = read;
    const buffer = this.#buffer;
    const length = buffer.end - buffer.start;
    if (kind >= UNTIL) return this.#answerSeparated(read, length);
    if (kind === AT_MOST) {
      if (length === 0 && count !== 0 && !this.#eof) return false;
      this.#give(read, count < length ? count : length);
      return true;
    }
    if (kind === EXACTLY && length >= count) {
      this.#give(read, count);
      return true;
    }
    if (!this.#eof) return false;
    if (kind === TO_END) this.#give(read, length);
    else this.#endedEarly(read, length, count);
    return true;
  }

  #answerSeparated(read: Read, length: number): boolean {
    const { separators } = read;
    if (length - read.searched >= separators.least) {
      if (separators.find(this.#buffer, read.searched)) {
        if (separators.matchStart > this.#limit)
          this.#overrun(read, "Separator is found, but chunk is longer than limit", separators.matchStart);
        else this.#give(read, separators.matchEnd);
        return true;
      }
      // The bytes after this may be the beginning of a separator.
      const searched = length + 1 - separators.most;
      if (searched > read.searched) read.searched = searched;
      if (read.searched > this.#limit) {
        this.#overrun(read, "Separator is not found, and chunk exceed the limit", read.searched);
        return true;
      }
    }
    if (!this.#eof) return false;
    if (read.kind === LINE) this.#give(read, length);
    else this.#endedEarly(read, length, undefined);
    return true;
  }

  #endedEarly(read: Read, length: number, expected: number | undefined): void {
    const partial = this.#buffer.consume(length);
    this.#consumed();
    fail(read, new IncompleteReadError(partial, expected));
  }

  /** `readuntil` leaves the bytes; `readline` drops the line, or everything if its end is not there (A7, A8). */
  #overrun(read: Read, message: string, consumed: number): void {
    const error = new LimitOverrunError(`${message} of ${this.#limit} bytes`, consumed);
    if (read.kind === UNTIL) {
      fail(read, error);
      return;
    }
    const buffer = this.#buffer;
    buffer.start = read.separators.matchEnd > consumed ? buffer.start + read.separators.matchEnd : buffer.end;
    this.#consumed();
    fail(read, new RangeError(error.message, { cause: error }));
  }

  #give(read: Read, count: number): void {
    const bytes = count === 0 ? EMPTY : this.#buffer.consume(count);
    this.#consumed();
    read.setResult(bytes);
  }

  /** Bytes have been taken out. */
  #consumed(): void {
    const buffer = this.#buffer;
    if (buffer.start === buffer.end) {
      buffer.start = buffer.end = 0;
      buffer.memory = EMPTY;
    }
    if (this.#paused && buffer.end - buffer.start <= this.#limit) this.#resume();
  }

  // ---- Waking ----

  #wake(): void {
    if (this.#read === undefined || this.#woken) return;
    this.#woken = true;
    if (woken.push(this) === 1) void settled.then(goOn);
  }

  /** @internal */
  _goOn(): void {
    this.#woken = false;
    const read = this.#read;
    // Cancelled or failed meanwhile.
    if (read === undefined) return;
    this.#read = undefined;
    this.#attempt(read);
  }

  /** A read has been cancelled. @internal */
  _withdraw(read: Future<Buffer>): void {
    if (this.#read === read) this.#read = undefined;
  }

  // ---- Text ----

  /** `<StreamReader 4 bytes eof limit=123>` */
  toString(): string {
    const facts = [
      this.#buffer.length > 0 && `${this.#buffer.length} bytes`,
      this.#eof && "eof",
      this.#limit !== DEFAULT_LIMIT && `limit=${this.#limit}`,
      this.#exception !== undefined && `exception=${String(this.#exception)}`,
      this.#transport !== undefined && `transport=${inspect(this.#transport, { depth: 0 })}`,
      this.#paused && "paused",
    ];
    return `<${[this.constructor.name, ...facts.filter((fact) => fact !== false)].join(" ")}>`;
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString();
  }
}

/** `for await (const line of reader)`. */
class Lines implements AsyncIterator<Buffer, undefined> {
  readonly #reader: StreamReader;

  constructor(reader: StreamReader) {
    this.#reader = reader;
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const value = await this.#reader.readline();
    return value.length === 0 ? { done: true, value: undefined } : { done: false, value };
  }
}

function fail(read: Read, error: unknown): void {
  read._settleFailed(error, false);
}

function failed(error: unknown): Future<Buffer> {
  const future = new Future<Buffer>();
  future._settleFailed(error, false);
  return future;
}

/** @throws TypeError, RangeError */
function checkLimit(limit: unknown): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  if (typeof limit !== "number") throw new TypeError(`limit is ${show(limit)}: pass a number of bytes`);
  if (!Number.isInteger(limit) || limit <= 0)
    throw new RangeError(`limit is ${limit}: the limit of a reader is a positive whole number of bytes`);
  return limit;
}

function countError(name: string, value: unknown): Error | undefined {
  if (typeof value !== "number") return new TypeError(`${name} is ${show(value)}: pass a number of bytes`);
  if (!Number.isInteger(value)) return new RangeError(`${name} is ${value}: pass a whole number of bytes`);
  return undefined;
}
