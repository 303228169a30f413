/** `Protocol`: what a transport calls. Depends on nothing but the types of transports. */
import type { Future } from "../concurrent/index.js";
import { constructing } from "../names.js";
import type { Both } from "./both.js";
import type { Transport } from "./transport.js";

/**
 * What a transport tells of a connection, in this order: `connectionMade` once, `dataReceived` any number of times, `eofReceived` at most once,
 * `connectionLost` once. Each is a callback of the loop, but `pauseWriting` and `resumeWriting` come from inside `write` too. All do nothing
 * unless they are overridden; what they throw is logged on `application` and ends the connection.
 *
 * asyncio: `Protocol`.
 *
 * @example
 * class Echo extends Protocol {
 *   override connectionMade(transport: Transport): void { this.transport = transport; }
 *   override dataReceived(data: Buffer): void { this.transport.write(data); }
 * }
 */
export class Protocol {
  constructor() {
    constructing(new.target);
  }

  /** The connection is there, and `transport` is what to write to. No data is read before this returns. */
  connectionMade(_transport: Both<Transport>): void {
    // For subclasses.
  }

  /** Some bytes have come. They are the protocol's own. */
  dataReceived(_data: Buffer): void {
    // For subclasses.
  }

  /** No more bytes come. `true` keeps the connection open for writing; anything else closes it. */
  eofReceived(): unknown {
    return undefined;
  }

  /** The connection is over: by `error`, or without one (its end, `close()`, `abort()`). */
  connectionLost(_error?: Error): void {
    // For subclasses.
  }

  /** More than the high-water mark waits to be written: please stop. */
  pauseWriting(): void {
    // For subclasses.
  }

  /** No more than the low-water mark waits. */
  resumeWriting(): void {
    // For subclasses.
  }
}

/**
 * A protocol that copies what it is given may be lent the transport's own memory, which saves it one copy.
 *
 * @internal
 */
export interface Borrower extends Protocol {
  /** Whether that is so: nobody has overridden `dataReceived`. */
  readonly _borrows: boolean;
  /** `dataReceived` with the first `count` bytes of memory that is used again afterwards. */
  _borrowed(memory: Buffer, count: number): void;
}

/**
 * What a `StreamWriter` needs of its protocol besides: flow control, the end of the connection, TLS.
 *
 * @internal
 */
export interface FlowControl extends Protocol {
  /** Whether `drain` need not wait. */
  readonly _writable: boolean;
  /** Settles `future` when the transport takes more. */
  _drain(future: Future<void>): void;
  /** Settles `future` when the connection is over. */
  _whenClosed(future: Future<void>): void;
  /** Whether it is a server's end. */
  readonly _serverSide: boolean;
  /** TLS begins on the connection. */
  _replaceTransport(transport: Transport): void;
}
