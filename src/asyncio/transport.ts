/**
 * The transports' contract: abstract classes, as in asyncio's `transports` module. What moves bytes is `SocketTransport`. Depends on nothing.
 */
import { constructing } from "../names.js";
import type { Data } from "../platform/index.js";
import type { Protocol } from "./protocol.js";

function notImplemented(transport: BaseTransport, method: string): Error {
  return new Error(`${method}() is not implemented by ${transport.constructor.name}: override it`);
}

/** What every transport has. asyncio: `BaseTransport`. */
export class BaseTransport {
  /** @internal */
  _extra: Record<string, unknown>;

  /** @param extra - what `getExtraInfo` answers */
  constructor(extra: Readonly<Record<string, unknown>> = {}) {
    constructing(new.target);
    this._extra = extra;
  }

  /** A fact about the connection (`peername`, `sockname`, `socket` and so on), `fallback` for one it does not have. */
  getExtraInfo(name: string, fallback?: unknown): unknown {
    return (Object.hasOwn(this._extra, name) ? this._extra[name] : undefined) ?? fallback;
  }

  /** Whether it is closed, or on its way there. */
  isClosing(): boolean {
    throw notImplemented(this, "isClosing");
  }

  /** Closes it, after what waits has been written. */
  close(): void {
    throw notImplemented(this, "close");
  }

  /** Gives it another protocol. */
  setProtocol(_protocol: Protocol): void {
    throw notImplemented(this, "setProtocol");
  }

  /** The protocol it calls. */
  getProtocol(): Protocol {
    throw notImplemented(this, "getProtocol");
  }
}

/** The receiving side. asyncio: `ReadTransport`. */
export class ReadTransport extends BaseTransport {
  /** Whether bytes are being received. asyncio 3.7. */
  isReading(): boolean {
    throw notImplemented(this, "isReading");
  }

  /** No `dataReceived` until `resumeReading`. Idempotent. */
  pauseReading(): void {
    throw notImplemented(this, "pauseReading");
  }

  /** Goes on. Idempotent. */
  resumeReading(): void {
    throw notImplemented(this, "resumeReading");
  }
}

/** Marks of a write buffer in bytes; see `setWriteBufferLimits`. */
export interface WriteBufferLimits {
  high?: number | undefined;
  low?: number | undefined;
}

/** The sending side. asyncio: `WriteTransport`. */
export class WriteTransport extends BaseTransport {
  /** Sends bytes, or keeps them to be sent; never waits. */
  write(_data: Data): void {
    throw notImplemented(this, "write");
  }

  /** Sends several in order. */
  writelines(data: Iterable<Data>): void {
    this.write(joined(data));
  }

  /** Ends the sending side once what waits has been sent. */
  writeEof(): void {
    throw notImplemented(this, "writeEof");
  }

  /** Whether `writeEof` is possible. */
  canWriteEof(): boolean {
    throw notImplemented(this, "canWriteEof");
  }

  /** Closes at once; what waits is lost. */
  abort(): void {
    throw notImplemented(this, "abort");
  }

  /**
   * When the protocol is told to pause (more than `high` bytes wait) and to resume (`low` or fewer). Only `high`: `low` is a quarter of it. Only
   * `low`: `high` is four times that. Neither: 65,536 and 16,384.
   */
  setWriteBufferLimits(_limits?: WriteBufferLimits): void {
    throw notImplemented(this, "setWriteBufferLimits");
  }

  /** The marks. asyncio 3.4.2. */
  getWriteBufferLimits(): [low: number, high: number] {
    throw notImplemented(this, "getWriteBufferLimits");
  }

  /** How many bytes wait. */
  getWriteBufferSize(): number {
    throw notImplemented(this, "getWriteBufferSize");
  }
}

/** Both sides. asyncio: `Transport`. */
export class Transport extends WriteTransport implements ReadTransport {
  isReading(): boolean {
    throw notImplemented(this, "isReading");
  }

  pauseReading(): void {
    throw notImplemented(this, "pauseReading");
  }

  resumeReading(): void {
    throw notImplemented(this, "resumeReading");
  }
}

function joined(data: Iterable<Data>): Buffer {
  return Buffer.concat(Array.from(data, (each) => (typeof each === "string" ? Buffer.from(each) : each)));
}
