/**
 * `TlsTransport`: a `SocketTransport` whose socket speaks TLS. Depends on `ssl`.
 *
 * OpenSSL takes whole records from the kernel, so bytes may lie in its memory of which the kernel tells no more: after each read that leaves some,
 * and whenever reading is resumed, the next read is a callback of the loop and not an event.
 */
import { type Future, TimeoutError } from "../concurrent/index.js";
import { IOLoop, type TimeoutHandle } from "../ioloop/index.js";
import { type Address, closeDescriptor, errno, systemError } from "../platform/index.js";
import type { SSLContext, SSLSocket } from "../ssl/index.js";
import { SSL_ERROR_WANT_READ, SSLError, UNEXPECTED_EOF } from "../ssl/index.js";
import type { Protocol } from "./protocol.js";
import { type Owner, SocketTransport } from "./socket-transport.js";

/** Seconds that a handshake may take, and that data may take to go out after `close()`. asyncio's values. */
export const HANDSHAKE_TIMEOUT = 60;
export const SHUTDOWN_TIMEOUT = 30;

/** What a TLS transport takes besides what every transport does. */
export interface TlsSettings {
  readonly handshakeTimeout: number;
  readonly shutdownTimeout: number;
  /** A context that was made for this connection alone. */
  readonly ownContext: SSLContext | undefined;
}

/** A connected stream socket that speaks TLS. */
export class TlsTransport extends SocketTransport {
  declare _sock: SSLSocket;
  readonly #settings: TlsSettings;
  /** Settled at the end of the handshake; `undefined` afterwards. */
  #handshake: Future<void> | undefined = undefined;
  /** Whether the protocol still has to be told of the connection. */
  #introduce = false;
  #handshakeWants = IOLoop.NONE;
  #timer: TimeoutHandle | undefined = undefined;
  /** A read would give something, of which the kernel may tell no more: bytes, or an end or a failure that came behind others. */
  #more = false;
  #readQueued = false;
  #aborted = false;

  constructor(loop: IOLoop, sock: SSLSocket, protocol: Protocol, settings: TlsSettings, owner?: Owner, peer?: Address) {
    super(loop, sock, protocol, owner, peer);
    this.#settings = settings;
    this._extra["sslcontext"] = sock.context;
    this._extra["ssl_object"] = sock;
  }

  // ---- Handshake ----

  /**
   * Shakes hands, beginning as a callback of the loop; then tells the protocol of the connection, unless it knows, and settles `done`. A failure
   * closes the connection and fails `done` with it.
   *
   * @internal
   */
  _shakeHands(done: Future<void>, introduce: boolean): void {
    const { handshakeTimeout } = this.#settings;
    this.#handshake = done;
    this.#introduce = introduce;
    this.#timer = this._loop.callLater(handshakeTimeout, () => {
      const reason = `the TLS handshake has taken more than ${handshakeTimeout} s`;
      this._failed(systemError(errno("ECONNABORTED"), "handshake", { reason }), "handshake");
    });
    if (!introduce) this._adopt();
    this._loop.addCallback(() => this.#goOn());
  }

  #goOn(): void {
    if (this._lost) return;
    let wants: number;
    try {
      wants = this._sock.doHandshake();
    } catch (error) {
      this._failed(error, "handshake");
      return;
    }
    if (wants !== 0) {
      this.#handshakeWants = wants === SSL_ERROR_WANT_READ ? IOLoop.READ : IOLoop.WRITE;
      this._watch();
      return;
    }
    const done = this.#handshake;
    this.#handshake = undefined;
    this.#stopTimer();
    const sock = this._sock;
    this.#more = sock._hasPending();
    this._extra["sslcontext"] = sock.context;
    this._extra["peercert"] = sock.getpeercert();
    this._extra["cipher"] = sock.cipher();
    if (this.#introduce) {
      this._begin(done);
    } else {
      this._watch();
      if (done?.done() === false) done.setResult(undefined);
    }
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this._loop.removeTimeout(this.#timer);
    this.#timer = undefined;
  }

  // ---- Interest ----

  override _wanted(): number {
    if (this.#handshake !== undefined) return this.#handshakeWants;
    const events = super._wanted();
    // A read that waits until it can write, in the midst of the connection: the answer to a key update.
    return (events & IOLoop.READ) !== 0 && this._sock._wantsWrite ? events | IOLoop.WRITE : events;
  }

  override _watch(): void {
    super._watch();
    if (this.#readQueued || this._lost || this.#handshake !== undefined || (super._wanted() & IOLoop.READ) === 0) return;
    if (!this.#more) return;
    this.#readQueued = true;
    this._loop.addCallback(() => {
      this.#readQueued = false;
      if (!this._lost && this.#handshake === undefined && (super._wanted() & IOLoop.READ) !== 0) this._readReady();
    });
  }

  override _handleEvents(events: number): void {
    if (this.#handshake !== undefined) {
      this.#goOn();
      return;
    }
    if ((events & IOLoop.WRITE) !== 0 && (events & IOLoop.READ) === 0 && this._sock._wantsWrite) this._readReady();
    if (!this._lost) super._handleEvents(events);
  }

  // ---- Bytes ----

  override _readReady(): void {
    super._readReady();
    if (!this._lost) this._watch();
  }

  /** All that OpenSSL has, as far as the memory goes. */
  override _receive(memory: Buffer): number | undefined {
    this.#more = false;
    let total = 0;
    do {
      let count: number | undefined;
      try {
        count = this._sock.recvInto(total === 0 ? memory : memory.subarray(total));
      } catch (error) {
        // The end without close_notify is an end all the same, as it is for an SSLIOStream (S176). Asked again, the socket says the same again.
        const end = error instanceof SSLError && error.code === UNEXPECTED_EOF;
        if (total === 0 && !end) throw error;
        count = 0;
      }
      // OpenSSL may have a part of a record then, and nothing to do before the kernel has the rest.
      if (count === undefined) return total === 0 ? undefined : total;
      if (count === 0) {
        this.#more = true;
        return total;
      }
      total += count;
      this.#more = this._sock._hasPending();
    } while (this.#more && total < memory.length);
    return total;
  }

  /** During the handshake the socket would go on with that in passing, and nobody would hear of its end. */
  override _maySend(): boolean {
    return this.#handshake === undefined;
  }

  override _shortWriteMeansFull(): boolean {
    return false;
  }

  override canWriteEof(): boolean {
    return false;
  }

  override writeEof(): never {
    throw new Error("writeEof() is not possible over TLS: close the connection instead, and see canWriteEof()");
  }

  // ---- The end ----

  override close(): void {
    if (this.isClosing()) return;
    super.close();
    if (this._lost) return;
    const { shutdownTimeout } = this.#settings;
    this.#timer = this._loop.callLater(shutdownTimeout, () => {
      this.#timer = undefined;
      this._lose(new TimeoutError(`The TLS connection could not be shut down in ${shutdownTimeout} s`));
    });
  }

  override abort(): void {
    this.#aborted = true;
    super.abort();
  }

  override _expected(error: unknown): boolean {
    return error instanceof SSLError;
  }

  override _lose(error: Error | undefined): void {
    if (this._lost) return;
    this.#stopTimer();
    super._lose(error);
  }

  /** After an abort or a failure without close_notify: the other end must not take what it got for everything. */
  override _closeSocket(error: Error | undefined): void {
    if (this.#aborted || error !== undefined) {
      const fd = this._sock.detach();
      if (fd >= 0) closeDescriptor(fd);
    } else {
      this._sock.close();
    }
    this.#settings.ownContext?.close();
    // Whoever waits for the handshake finds the descriptor closed (A57).
    const handshake = this.#handshake;
    this.#handshake = undefined;
    if (handshake === undefined || handshake.done()) return;
    const why = error ?? systemError(errno("ECONNABORTED"), "handshake", { reason: "the connection was closed meanwhile" });
    handshake._settleFailed(why, false);
  }
}
