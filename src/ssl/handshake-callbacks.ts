/**
 * The two questions that OpenSSL puts to a server in the middle of a handshake: which certificate for this name, which protocol of these.
 *
 * OpenSSL asks inside `SSL_do_handshake`, on this thread, so there is never more than one handshake that asks, and one pair of native
 * functions serves all contexts of the thread. They are made when a context first needs them and kept: a connection may need them as long as
 * it lives. Depends on the FFI binding.
 */
import { loadKoffi, type Koffi, type Pointer } from "../platform/index.js";
import { openssl } from "./openssl.js";

/** Answers of both callbacks (tls1.h). */
export const ERR_OK = 0;
const ERR_ALERT_FATAL = 2;
const ERR_NOACK = 3;

/** internal_error (RFC 8446, 6): what the other end is told when our own callback throws. */
const ALERT_INTERNAL_ERROR = 80;

/** The connection whose handshake runs. What these throw never reaches OpenSSL. */
export interface Handshaking {
  /** Chooses by the name that the client asked for; an alert's number refuses it. */
  _nameAsked(name: string | undefined): number;
  /** Chooses among the protocols that the client offers, in the form of RFC 7301; answers where the choice begins, -1 for none. */
  _protocolsOffered(list: Uint8Array): number;
  /** Keeps what a user's callback threw. */
  _callbackFailed(error: unknown): void;
}

let current: Handshaking | undefined;
let pointers: { readonly name: Pointer; readonly protocols: Pointer } | undefined;

/** Runs a call of OpenSSL that may ask `connection`. A callback may start a handshake of another connection meanwhile. */
export function whileAsking<T>(connection: Handshaking, call: () => T): T {
  const before = current;
  current = connection;
  try {
    return call();
  } finally {
    current = before;
  }
}

/** The native functions: for `SSL_CTRL_SET_TLSEXT_SERVERNAME_CB` and for `SSL_CTX_set_alpn_select_cb`. */
export function handshakeCallbacks(): { readonly name: Pointer; readonly protocols: Pointer } {
  if (pointers !== undefined) return pointers;
  const ffi = loadKoffi();
  const register = (prototype: string, callback: (...args: never[]) => number): Pointer =>
    ffi.register(callback, ffi.pointer(ffi.proto(prototype)));
  pointers = {
    name: register("int (void *ssl, void *alert, void *arg)", (ssl: Pointer, alert: Pointer): number => answerName(ffi, ssl, alert)),
    protocols: register(
      "int (void *ssl, void *out, void *outLength, void *in, unsigned int inLength, void *arg)",
      (_ssl: Pointer, out: Pointer, outLength: Pointer, offered: Pointer, length: number): number =>
        answerProtocols(ffi, out, outLength, offered, length),
    ),
  };
  return pointers;
}

function answerName(ffi: Koffi, ssl: Pointer, alert: Pointer): number {
  if (current === undefined) return ERR_NOACK;
  let refusal: number;
  try {
    // 0: host_name, the only type there is.
    refusal = current._nameAsked(openssl().SSL_get_servername(ssl, 0) ?? undefined);
  } catch (error) {
    current._callbackFailed(error);
    refusal = ALERT_INTERNAL_ERROR;
  }
  if (refusal === 0) return ERR_OK;
  ffi.encode(alert, "int", refusal);
  return ERR_ALERT_FATAL;
}

function answerProtocols(ffi: Koffi, out: Pointer, outLength: Pointer, offered: Pointer, length: number): number {
  if (current === undefined) return ERR_NOACK;
  const list = ffi.decode(offered, "uint8_t", length) as Uint8Array;
  const at = current._protocolsOffered(list);
  // No protocol in common: the handshake goes on without one, as in Python. (RFC 7301 would have the server refuse.)
  if (at < 0) return ERR_NOACK;
  ffi.encode(out, "void *", offered + BigInt(at + 1));
  ffi.encode(outLength, "uint8_t", list[at] ?? 0);
  return ERR_OK;
}
