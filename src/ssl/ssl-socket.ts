/**
 * `SSLSocket`: a socket that speaks TLS on its own descriptor, through OpenSSL's socket BIO. Nothing waits: would-block is `undefined`, and
 * `doHandshake()` says what to wait for. Depends on the platform's sockets, on `SSLContext` and on the OpenSSL binding.
 *
 * The native connection (`SSL`) belongs to the object and is freed by `close()` or `detach()`, once. While OpenSSL is in a call of ours that
 * asks a user's callback, a close is put off until the call is over: the callback may close the very connection that asks.
 *
 * What it holds back from a peer that nobody reads: at most one record (16 KB) decrypted and what OpenSSL has read ahead, 16 KB more; the rest
 * stays in the kernel (S175).
 */
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { inspect } from "node:util";
import { type Address, type Data, EBADF, errno, type Pointer, SHUT_RD, Socket, sys, systemError } from "../platform/index.js";
import { freeCertificates, memoryBio, toNode } from "./certificates.js";
import { CERT_NONE, SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE } from "./constants.js";
import { type Handshaking, whileAsking } from "./handshake-callbacks.js";
import { acquired, isPointer, type OpenSsl, openssl, released } from "./openssl.js";
import { BATCH, RecordBatch } from "./record-batch.js";
import { nativeVerifyMode, SSLContext } from "./ssl-context.js";
import { NAME_MISMATCH, SSLError, takeErrors, UNEXPECTED_EOF, verifyCode } from "./ssl-error.js";

/** What the constructor takes; `sslWrapSocket` has checked it. @internal */
export interface Wrapping {
  readonly context: SSLContext;
  readonly ownsContext: boolean;
  readonly serverSide: boolean;
  readonly serverHostname: string | undefined;
  readonly prefix: Uint8Array | undefined;
}

// Results of SSL_get_error besides the two that are Python's constants.
const ERROR_SSL = 1;
const ERROR_SYSCALL = 5;
const ERROR_ZERO_RETURN = 6;

const CTRL_SET_HOSTNAME = 55;
const MSG_PEEK = 2;

/** Only alternative names count, whatever the common name says (RFC 6125, 6.4.4), and "f*.example.com" is no wildcard. */
const HOST_FLAGS = 0x20 | 0x04;

/** The most bytes of one read call; the C functions take an int. */
const MOST = 1 << 30;

/** The most bytes of one record: more than this SSL_read never gives, and `send` never takes. */
const RECORD = 16384;

/** user_canceled (RFC 8446, 6). */
const ALERT_USER_CANCELED = 90;

const onePeeked = new Uint8Array(1);

/** A socket that speaks TLS. Made by `sslWrapSocket`. Python: `ssl.SSLSocket`. */
export class SSLSocket extends Socket implements Handshaking {
  readonly #library: OpenSsl;
  #ssl: Pointer | undefined = undefined;
  #context: SSLContext;
  /** The context that was made for this socket alone. */
  readonly #ownContext: SSLContext | undefined;
  readonly #serverSide: boolean;
  #serverHostname: string | undefined = undefined;
  #established = false;
  /** What has broken the connection: OpenSSL must not be asked again. */
  #failure: Error | undefined = undefined;
  /** The other end has sent close_notify. */
  #ended = false;
  /** We have. */
  #shutDown = false;
  /** Bytes received before still come first. */
  #prefixed: boolean;
  /**
   * Of a long write `send` takes up to four records, for one write(2) instead of four: 5% less CPU time for 64 KB. Streams want that. @internal
   */
  _inBatches = false;
  /** Holds the records of a long write that is under way. */
  #batch: RecordBatch | undefined = undefined;
  /** How many of the caller's bytes are in it and not counted yet. */
  #batched = 0;
  #socketBio: Pointer | undefined = undefined;
  #calling = 0;
  #closeWanted = false;
  #callbackError: { readonly error: unknown } | undefined = undefined;
  /** The last call that would have blocked needs the descriptor to be writable, though it was to read. @internal */
  _wantsWrite = false;

  /** @internal */
  constructor(sock: Socket, wrapping: Wrapping) {
    super(sock.family, sock.type, sock.proto, { fileno: sock.fileno() });
    const { context, ownsContext, serverSide, serverHostname, prefix } = wrapping;
    const library = openssl();
    this.#library = library;
    this.#context = context;
    this.#ownContext = ownsContext ? context : undefined;
    this.#serverSide = serverSide;
    this.#prefixed = prefix !== undefined && prefix.length > 0;
    library.ERR_clear_error();
    const ssl = acquired("connections", library.SSL_new(context._pointer), "a connection");
    try {
      if (library.SSL_set_fd(ssl, this._fd) !== 1) throw new Error("OpenSSL could not make a socket buffer: memory has run out");
      if (prefix !== undefined && prefix.length > 0) {
        library.SSL_set0_rbio(ssl, memoryBio(prefix, -1));
        // The connection owns it now.
        released("others");
      }
      if (serverSide) library.SSL_set_accept_state(ssl);
      else library.SSL_set_connect_state(ssl);
      this.#ssl = ssl;
      if (serverHostname !== undefined) this._askFor(serverHostname);
    } catch (error) {
      this.#ssl = undefined;
      library.SSL_free(ssl);
      released("connections");
      throw error;
    }
  }

  /** What the client asks for, and what the certificate is checked for; before the handshake. @internal */
  _askFor(name: string): void {
    const ssl = this.#opened("handshake");
    const library = this.#library;
    const check = this.#context.checkHostname;
    const refused = (): Error => new RangeError(`serverHostname is ${show(name)}: use a host name or an IP address`);
    if (isIP(name) !== 0) {
      // Without the zone of an IPv6 address, which no certificate knows. An address is no host name, so it is not sent (RFC 6066, 3).
      const ip = name.replace(/%.*$/, "");
      if (check && library.X509_VERIFY_PARAM_set1_ip_asc(library.SSL_get0_param(ssl), ip) !== 1) throw refused();
      this.#serverHostname = name;
      return;
    }
    // What is sent and checked is in ASCII and without the final dot.
    const host = name.includes("\0") ? "" : domainToASCII(name.replace(/\.$/, ""));
    if (host === "") throw refused();
    if (library.SSL_ctrl(ssl, CTRL_SET_HOSTNAME, 0, Buffer.from(`${host}\0`)) !== 1) throw refused();
    this.#serverHostname = name;
    if (!check) return;
    library.SSL_set_hostflags(ssl, HOST_FLAGS);
    if (library.SSL_set1_host(ssl, host) !== 1) throw refused();
  }

  /** The context. A server may set another one in `sniCallback`. */
  get context(): SSLContext {
    return this.#context;
  }

  set context(context: SSLContext) {
    if (!(context instanceof SSLContext)) throw new TypeError(`context is ${show(context)}: use an SSLContext`);
    const ssl = this.#opened("context");
    this.#library.SSL_set_SSL_CTX(ssl, context._pointer);
    this.#library.SSL_set_verify(ssl, nativeVerifyMode(context.verifyMode), null);
    this.#context = context;
  }

  /** Whether this end is the server. */
  get serverSide(): boolean {
    return this.#serverSide;
  }

  /** What the client has asked for; on the server `undefined` (`sniCallback` hears of it). */
  get serverHostname(): string | undefined {
    return this.#serverHostname;
  }

  /** Whether the handshake is done. @internal */
  get _established(): boolean {
    return this.#established;
  }

  #opened(syscall: string): Pointer {
    if (this.#ssl === undefined || this.#closeWanted) throw systemError(EBADF, syscall, { reason: "the socket is closed" });
    return this.#ssl;
  }

  /**
   * Goes on with the handshake as far as it goes now.
   *
   * @returns 0 when it is done, else what to wait for: `SSL_ERROR_WANT_READ` or `SSL_ERROR_WANT_WRITE`
   * @throws SSLError for what cannot be right: no TLS at all, no cipher in common, a certificate that is not accepted
   * @throws SystemError ECONNRESET and so on, also when the other end has closed
   */
  doHandshake(): number {
    if (this.#established) return 0;
    const ssl = this.#opened("handshake");
    if (this.#failure !== undefined) throw this.#failure;
    for (;;) {
      this.#library.ERR_clear_error();
      const result = this.#asking(() => this.#library.SSL_do_handshake(ssl));
      if (result === 1) {
        this.#established = true;
        return 0;
      }
      const want = this.#blocked(ssl, result);
      if (want === undefined) throw this.#fail(this.#handshakeError(ssl));
      if (want !== SSL_ERROR_WANT_READ || !this.#endPrefix(ssl)) return want;
    }
  }

  /** Runs a call that may ask a user's callback, and then closes if that was wanted. */
  #asking(call: () => number): number {
    this.#calling++;
    let result: number;
    try {
      result = whileAsking(this, call);
    } finally {
      this.#calling--;
    }
    if (this.#closeWanted) {
      this.#library.ERR_clear_error();
      this.#closeWanted = false;
      this.close();
      throw systemError(EBADF, "handshake", { reason: "the socket was closed inside a callback" });
    }
    return result;
  }

  /** What a call that has not succeeded waits for; `undefined` when it has failed, and `#lastError` says how. */
  #blocked(ssl: Pointer, result: number): number | undefined {
    this.#lastError = this.#library.SSL_get_error(ssl, result);
    return this.#lastError === SSL_ERROR_WANT_READ || this.#lastError === SSL_ERROR_WANT_WRITE ? this.#lastError : undefined;
  }

  #lastError = 0;

  /** The bytes received before are used up: from here on those of the descriptor follow. */
  #endPrefix(ssl: Pointer): boolean {
    if (!this.#prefixed) return false;
    this.#prefixed = false;
    const bio = this.#library.SSL_get_wbio(ssl);
    this.#library.BIO_up_ref(bio);
    this.#library.SSL_set0_rbio(ssl, bio);
    return true;
  }

  #fail(error: Error): Error {
    this.#failure = error;
    return error;
  }

  #handshakeError(ssl: Pointer): Error {
    if (this.#callbackError !== undefined) {
      takeErrors();
      const { error } = this.#callbackError;
      return new SSLError("TLS handshake failed: sniCallback has thrown", {
        code: "ERR_SSL_CALLBACK_FAILED",
        reason: "callback failed",
        cause: error,
      });
    }
    const error = this.#errorOf("handshake");
    if (error === undefined || (error as Partial<SSLError>).code === UNEXPECTED_EOF) {
      return systemError(errno("ECONNRESET"), "handshake", { reason: "the other end closed the connection during the TLS handshake" });
    }
    if ((error as Partial<SSLError>).code !== "ERR_SSL_CERTIFICATE_VERIFY_FAILED") return error;
    const result = this.#library.SSL_get_verify_result(ssl);
    const reason = this.#library.X509_verify_cert_error_string(result);
    const whose = this.#serverSide ? "client's" : "server's";
    const what = NAME_MISMATCH.includes(result)
      ? `The ${whose} certificate is not valid for ${JSON.stringify(this.#serverHostname)}`
      : `The ${whose} certificate is not accepted`;
    return new SSLError(`${what}: ${reason}`, { code: verifyCode(result), library: "X509", reason });
  }

  /** The failure that `#lastError` and the error queue tell of; `undefined` for an end of file without any. */
  #errorOf(syscall: string): Error | undefined {
    if (this.#lastError === ERROR_SYSCALL) {
      // Before anything else is called that could change it.
      const number = sys.errno();
      takeErrors();
      return number === 0 ? undefined : systemError(number, syscall);
    }
    const [first] = takeErrors();
    if (this.#lastError !== ERROR_SSL || first === undefined) return undefined;
    return new SSLError(`TLS ${syscall === "handshake" ? "handshake" : "connection"} failed: ${first.reason}`, first);
  }

  // ---- Bytes ----

  /**
   * Receives up to `n` decrypted bytes, of one record: empty at the end (close_notify), `undefined` when it would block.
   *
   * @param flags - only `MSG_PEEK`
   * @throws SSLError for a broken record, and (code ERR_SSL_UNEXPECTED_EOF_WHILE_READING) when the connection ends without close_notify
   */
  override recv(n: number, flags = 0): Buffer | undefined {
    if (typeof n !== "number") throw new TypeError(`Invalid number of bytes ${show(n)}: use a number`);
    if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`Invalid number of bytes ${n}: use an integer that is not negative`);
    this.#opened("recv");
    if (n === 0) return Buffer.alloc(0);
    const memory = Buffer.allocUnsafeSlow(Math.min(n, RECORD));
    const count = this.recvInto(memory, undefined, flags);
    if (count === undefined || count === memory.length) return count === undefined ? undefined : memory;
    return Buffer.from(memory.subarray(0, count));
  }

  /** `recv` into the caller's memory: the count, 0 at the end, `undefined` when it would block. */
  override recvInto(buf: Uint8Array, nbytes?: number, flags = 0): number | undefined {
    const ssl = this.#ssl ?? this.#opened("recv");
    if (!(buf instanceof Uint8Array)) throw new TypeError(`Invalid buffer ${show(buf)}: use a Uint8Array`);
    const length = nbytes ?? buf.length;
    if (!Number.isInteger(length) || length < 1 || length > buf.length) {
      throw new RangeError(`Invalid nbytes ${length} for a buffer of ${buf.length} bytes: use an integer from 1 to ${buf.length}`);
    }
    if (flags !== 0 && flags !== MSG_PEEK) throw new RangeError(`The flags ${flags} mean nothing to TLS: leave them out, or use MSG_PEEK`);
    if (this.#ended) return 0;
    if (!this.#ready("recv")) return undefined;
    const library = this.#library;
    for (;;) {
      library.ERR_clear_error();
      const most = length > MOST ? MOST : length;
      const count = flags === 0 ? library.SSL_read(ssl, buf, most) : library.SSL_peek(ssl, buf, most);
      if (count > 0) return count;
      const want = this.#blocked(ssl, count);
      if (want !== undefined) {
        if (want === SSL_ERROR_WANT_READ && this.#endPrefix(ssl)) continue;
        this._wantsWrite = want === SSL_ERROR_WANT_WRITE;
        return undefined;
      }
      if (this.#lastError === ERROR_ZERO_RETURN) {
        this.#ended = true;
        return 0;
      }
      const error = this.#errorOf("read");
      throw this.#fail(
        error ??
          new SSLError("TLS connection failed: unexpected eof while reading", {
            code: UNEXPECTED_EOF,
            library: "SSL routines",
            reason: "unexpected eof while reading",
          }),
      );
    }
  }

  /**
   * Encrypts and sends bytes, at most one record (16 KB) of them: how many were taken, `undefined` when it would block. The next call must
   * then begin with the same bytes, for they may be encrypted already; the memory need not be the same.
   */
  override send(data: Data, flags = 0): number | undefined {
    const ssl = this.#ssl ?? this.#opened("send");
    if (flags !== 0) throw new RangeError(`The flags ${flags} mean nothing to TLS: leave them out`);
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    if (!(bytes instanceof Uint8Array)) throw new TypeError(`Invalid data ${show(data)}: use a string or a Uint8Array`);
    if (this.#shutDown) throw systemError(errno("EPIPE"), "send", { reason: "the sending side has been shut down" });
    if (!this.#ready("send")) return undefined;
    // SSL_write with nothing to write is undefined behaviour.
    if (bytes.length === 0) return 0;
    if (this.#batch === undefined) {
      if (!this._inBatches || bytes.length <= RECORD) return this.#write(ssl, bytes, RECORD);
      this.#socketBio ??= this.#library.SSL_get_wbio(ssl);
      this.#batch = RecordBatch.join(ssl, this.#socketBio);
    }
    return this.#sendBatch(ssl, this.#batch, bytes);
  }

  /** Bytes that are encrypted and not written are not counted: the next call begins with them again, and counts them when the kernel has them. */
  #sendBatch(ssl: Pointer, batch: RecordBatch, bytes: Uint8Array): number | undefined {
    if (this.#batched === 0) {
      const count = this.#write(ssl, bytes, BATCH);
      if (count === undefined) return undefined;
      this.#batched = count;
    }
    try {
      if (!batch.flush()) return undefined;
    } catch (error) {
      throw this.#fail(error as Error);
    }
    // A caller may come back with fewer of the bytes; the others are counted when they come.
    const count = Math.min(this.#batched, bytes.length);
    this.#batched -= count;
    if (this.#batched === 0) {
      this.#batch = undefined;
      batch.leave(ssl, true);
    }
    return count;
  }

  #write(ssl: Pointer, bytes: Uint8Array, most: number): number | undefined {
    const library = this.#library;
    library.ERR_clear_error();
    const count = library.SSL_write(ssl, bytes, bytes.length > most ? most : bytes.length);
    if (count > 0) return count;
    if (this.#blocked(ssl, count) !== undefined) return undefined;
    throw this.#fail(this.#errorOf("write") ?? systemError(errno("EPIPE"), "write", { reason: "the other end has closed the connection" }));
  }

  /** Whether bytes can go: after a failure nothing can, before the handshake's end it goes on with that. */
  #ready(syscall: string): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#established) return true;
    return this.doHandshake() === 0 && this.#opened(syscall) !== 0n;
  }

  /** Sends several buffers in order, as far as it goes. */
  override sendmsg(buffers: readonly Data[], flags = 0): number | undefined {
    if (!Array.isArray(buffers)) throw new TypeError(`Invalid buffers ${show(buffers)}: use an array of strings or Uint8Arrays`);
    let total = 0;
    for (const buffer of buffers as readonly Data[]) {
      const size = typeof buffer === "string" ? Buffer.byteLength(buffer) : buffer.length;
      const count = this.send(buffer, flags);
      if (count === undefined) return total === 0 ? undefined : total;
      total += count;
      if (count < size) break;
    }
    return total;
  }

  /** Not for TLS. @throws Error */
  override sendto(): never {
    throw onlyStreams("sendto");
  }

  /** Not for TLS. @throws Error */
  override recvfrom(): [Buffer, Address] | undefined {
    throw onlyStreams("recvfrom");
  }

  /** Not for TLS. @throws Error */
  override recvfromInto(): [number, Address] | undefined {
    throw onlyStreams("recvfromInto");
  }

  /** Not for TLS, whose state is this object's alone. @throws Error */
  override dup(): never {
    throw new Error("A TLS socket cannot be duplicated: the state of the connection is in one object");
  }

  /** How many bytes are decrypted and not read. */
  pending(): number {
    return this.#library.SSL_pending(this.#opened("pending"));
  }

  /** Whether OpenSSL has bytes that the kernel does not tell of any more, decrypted or not. @internal */
  _hasPending(): boolean {
    const ssl = this.#ssl;
    return ssl !== undefined && (this.#prefixed || this.#library.SSL_has_pending(ssl) === 1);
  }

  // ---- Facts ----

  /** The cipher: its name, the protocol that defines it, its secret bits; `undefined` before the handshake is done. */
  cipher(): [name: string, protocol: string, secretBits: number] | undefined {
    const ssl = this.#facts();
    if (ssl === undefined) return undefined;
    const library = this.#library;
    const cipher = library.SSL_get_current_cipher(ssl);
    if (!isPointer(cipher)) return undefined;
    return [library.SSL_CIPHER_get_name(cipher), library.SSL_CIPHER_get_version(cipher), library.SSL_CIPHER_get_bits(cipher, null)];
  }

  /** The protocol: "TLSv1.3"; `undefined` before the handshake is done. */
  version(): string | undefined {
    const ssl = this.#facts();
    return ssl === undefined ? undefined : this.#library.SSL_get_version(ssl);
  }

  /**
   * The other end's certificate as Node's `X509Certificate`, whose `raw` is the DER form; `undefined` before the handshake is done, and when the
   * other end has shown none. That it is there says nothing of its being valid: `verifyMode` does.
   */
  getpeercert(): X509Certificate | undefined {
    const ssl = this.#facts();
    const certificate = ssl === undefined ? null : this.#library.SSL_get1_peer_certificate(ssl);
    if (!isPointer(certificate)) return undefined;
    acquired("others", certificate, "a certificate");
    try {
      return toNode(certificate);
    } finally {
      freeCertificates([certificate]);
    }
  }

  /** The protocol that ALPN has selected; `undefined` when none, and before the handshake is done. */
  selectedAlpnProtocol(): string | undefined {
    const ssl = this.#facts();
    if (ssl === undefined) return undefined;
    const pointer = new BigUint64Array(1);
    const length = new Uint32Array(1);
    this.#library.SSL_get0_alpn_selected(ssl, new Uint8Array(pointer.buffer), new Uint8Array(length.buffer));
    if (length[0] === 0 || pointer[0] === undefined) return undefined;
    return Buffer.from(sys.copyMemory(pointer[0], length[0] ?? 0)).toString();
  }

  #facts(): Pointer | undefined {
    return this.#established ? this.#ssl : undefined;
  }

  /** Whether the certificate has passed what was to be checked of it. @internal */
  get _verified(): boolean {
    return this.#ssl !== undefined && (this.#context.verifyMode === CERT_NONE || this.#library.SSL_get_verify_result(this.#ssl) === 0);
  }

  // ---- The end ----

  /** Ends reading, writing or both of the connection; the end of writing is told by close_notify first. */
  override shutdown(how: number): void {
    if (how !== SHUT_RD) this.#sendCloseNotify();
    super.shutdown(how);
  }

  /** Tells the other end that no more comes, unless nothing can be told. It does not wait for an answer. */
  #sendCloseNotify(): void {
    const ssl = this.#ssl;
    if (ssl === undefined || !this.#established || this.#failure !== undefined || this.#shutDown) return;
    this.#shutDown = true;
    // A write is cut off in its middle: close_notify would say that what came is all.
    if (this.#batch !== undefined) return;
    const library = this.#library;
    library.ERR_clear_error();
    library.SSL_shutdown(ssl);
    library.ERR_clear_error();
  }

  /** Gives the descriptor away, open and without close_notify, and frees the native connection. */
  override detach(): number {
    if (this.#calling > 0) throw new Error("A TLS socket cannot be detached inside its own handshake: do it when that is over");
    const ssl = this.#ssl;
    if (ssl !== undefined) {
      this.#ssl = undefined;
      this.#batch?.leave(ssl, false);
      this.#batch = undefined;
      this.#library.SSL_free(ssl);
      released("connections");
      RecordBatch.freeUnused();
      this.#ownContext?.close();
    }
    return super.detach();
  }

  /** Sends close_notify, frees the native connection and closes the descriptor; idempotent. */
  override close(): void {
    if (this.#calling > 0) {
      this.#closeWanted = true;
      return;
    }
    const ssl = this.#ssl;
    if (ssl !== undefined && this.#established && this.#failure === undefined) {
      // A server's session tickets that nobody has read would make the kernel answer our close with a reset, and what we sent last be lost.
      if (!this.#serverSide && !this.#ended) {
        this.#library.ERR_clear_error();
        this.#library.SSL_peek(ssl, onePeeked, 1);
      }
      this.#sendCloseNotify();
    }
    super.close();
  }

  // ---- What OpenSSL asks ----

  /** @internal */
  _nameAsked(name: string | undefined): number {
    const { sniCallback } = this.#context;
    if (sniCallback === undefined) return 0;
    const answer: unknown = sniCallback(this, name, this.#context);
    // Closed by the callback: OpenSSL would go on and send its whole flight, with which the client's handshake can be done.
    if (this.#closeWanted) return ALERT_USER_CANCELED;
    if (answer === undefined) return 0;
    if (typeof answer === "number") {
      if (!Number.isInteger(answer) || answer < 0 || answer > 255)
        throw new RangeError(`sniCallback answered ${answer}: use an alert from 0 to 255`);
      return answer;
    }
    if (!(answer instanceof SSLContext))
      throw new TypeError(`sniCallback answered ${show(answer)}: use an SSLContext, an alert or undefined`);
    this.context = answer;
    return 0;
  }

  /** @internal */
  _protocolsOffered(list: Uint8Array): number {
    for (const wanted of this.#context._alpnProtocols) {
      const bytes = Buffer.from(wanted);
      for (let at = 0; at < list.length; at += (list[at] ?? 0) + 1) {
        if (bytes.equals(list.subarray(at + 1, at + 1 + (list[at] ?? 0)))) return at;
      }
    }
    return -1;
  }

  /** @internal */
  _callbackFailed(error: unknown): void {
    this.#callbackError = { error };
  }
}

function onlyStreams(method: string): Error {
  return new Error(`${method}() is for datagrams: a TLS socket has recv, recvInto and send`);
}

function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}
