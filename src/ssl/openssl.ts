/**
 * The functions of the OpenSSL that Node carries. Node re-exports its symbols on purpose, for addons (its addon documentation says so); the
 * ones here are there on Node 20 (OpenSSL 3.0) to 26 (3.5). Bound all at once by the first use, so that importing works everywhere.
 *
 * Rules of this library that the callers keep. The error queue is the thread's and shared with Node's own TLS: it is cleared before each call
 * whose failure is to be understood. What a `_new`, `d2i`, `PEM_read` or `get1` gives is freed by whoever called; `up_ref` and `add1` add an
 * owner. Macros of the C headers are `SSL_ctrl` and `SSL_CTX_ctrl` with a number.
 *
 * Depends on the FFI binding of `platform`.
 */
import { loadKoffi, type Pointer } from "../platform/index.js";

/** A pointer that may be NULL. */
type Maybe = Pointer | null;

const PROTOTYPES = {
  TLS_method: "void *TLS_method()",
  SSL_CTX_new: "void *SSL_CTX_new(const void *method)",
  SSL_CTX_free: "void SSL_CTX_free(void *ctx)",
  SSL_CTX_ctrl: "long SSL_CTX_ctrl(void *ctx, int cmd, long larg, void *parg)",
  SSL_CTX_callback_ctrl: "long SSL_CTX_callback_ctrl(void *ctx, int cmd, void *callback)",
  SSL_CTX_set_options: "uint64_t SSL_CTX_set_options(void *ctx, uint64_t options)",
  SSL_CTX_set_verify: "void SSL_CTX_set_verify(void *ctx, int mode, void *callback)",
  SSL_CTX_set_cipher_list: "int SSL_CTX_set_cipher_list(void *ctx, const char *list)",
  SSL_CTX_set_ciphersuites: "int SSL_CTX_set_ciphersuites(void *ctx, const char *list)",
  SSL_CTX_set_alpn_protos: "int SSL_CTX_set_alpn_protos(void *ctx, const void *protos, unsigned int length)",
  SSL_CTX_set_alpn_select_cb: "void SSL_CTX_set_alpn_select_cb(void *ctx, void *callback, void *arg)",
  SSL_CTX_set_session_id_context: "int SSL_CTX_set_session_id_context(void *ctx, const void *id, unsigned int length)",
  SSL_CTX_set_num_tickets: "int SSL_CTX_set_num_tickets(void *ctx, size_t count)",
  SSL_CTX_use_certificate: "int SSL_CTX_use_certificate(void *ctx, void *x509)",
  SSL_CTX_use_PrivateKey: "int SSL_CTX_use_PrivateKey(void *ctx, void *pkey)",
  SSL_CTX_add_client_CA: "int SSL_CTX_add_client_CA(void *ctx, void *x509)",
  SSL_CTX_set1_cert_store: "void SSL_CTX_set1_cert_store(void *ctx, void *store)",
  X509_STORE_new: "void *X509_STORE_new()",
  X509_STORE_free: "void X509_STORE_free(void *store)",
  X509_STORE_add_cert: "int X509_STORE_add_cert(void *store, void *x509)",
  X509_STORE_load_path: "int X509_STORE_load_path(void *store, const char *path)",
  X509_free: "void X509_free(void *x509)",
  X509_check_private_key: "int X509_check_private_key(void *x509, void *pkey)",
  X509_verify_cert_error_string: "const char *X509_verify_cert_error_string(long result)",
  X509_VERIFY_PARAM_set1_ip_asc: "int X509_VERIFY_PARAM_set1_ip_asc(void *param, const char *ip)",
  i2d_X509: "int i2d_X509(void *x509, void *out)",
  d2i_X509: "void *d2i_X509(void *x509, void *in, long length)",
  EVP_PKEY_free: "void EVP_PKEY_free(void *pkey)",
  PEM_read_bio_X509: "void *PEM_read_bio_X509(void *bio, void *x509, void *callback, const void *password)",
  PEM_read_bio_PrivateKey: "void *PEM_read_bio_PrivateKey(void *bio, void *pkey, void *callback, const void *password)",
  BIO_new: "void *BIO_new(const void *method)",
  BIO_s_mem: "void *BIO_s_mem()",
  BIO_write: "int BIO_write(void *bio, const void *data, int length)",
  BIO_ctrl: "long BIO_ctrl(void *bio, int cmd, long larg, void *parg)",
  BIO_free: "int BIO_free(void *bio)",
  BIO_up_ref: "int BIO_up_ref(void *bio)",
  BIO_f_buffer: "void *BIO_f_buffer()",
  BIO_int_ctrl: "long BIO_int_ctrl(void *bio, int cmd, long larg, int iarg)",
  BIO_push: "void *BIO_push(void *bio, void *next)",
  BIO_pop: "void *BIO_pop(void *bio)",
  BIO_test_flags: "int BIO_test_flags(void *bio, int flags)",
  SSL_new: "void *SSL_new(void *ctx)",
  SSL_free: "void SSL_free(void *ssl)",
  SSL_set_fd: "int SSL_set_fd(void *ssl, int fd)",
  SSL_set0_rbio: "void SSL_set0_rbio(void *ssl, void *bio)",
  SSL_set0_wbio: "void SSL_set0_wbio(void *ssl, void *bio)",
  SSL_get_wbio: "void *SSL_get_wbio(void *ssl)",
  SSL_ctrl: "long SSL_ctrl(void *ssl, int cmd, long larg, const void *parg)",
  SSL_set_connect_state: "void SSL_set_connect_state(void *ssl)",
  SSL_set_accept_state: "void SSL_set_accept_state(void *ssl)",
  SSL_set_SSL_CTX: "void *SSL_set_SSL_CTX(void *ssl, void *ctx)",
  SSL_set_verify: "void SSL_set_verify(void *ssl, int mode, void *callback)",
  SSL_set1_host: "int SSL_set1_host(void *ssl, const char *name)",
  SSL_set_hostflags: "void SSL_set_hostflags(void *ssl, unsigned int flags)",
  SSL_get0_param: "void *SSL_get0_param(void *ssl)",
  SSL_do_handshake: "int SSL_do_handshake(void *ssl)",
  SSL_read: "int SSL_read(void *ssl, void *buf, int length)",
  SSL_peek: "int SSL_peek(void *ssl, void *buf, int length)",
  SSL_write: "int SSL_write(void *ssl, const void *buf, int length)",
  SSL_shutdown: "int SSL_shutdown(void *ssl)",
  SSL_get_error: "int SSL_get_error(void *ssl, int result)",
  SSL_pending: "int SSL_pending(void *ssl)",
  SSL_has_pending: "int SSL_has_pending(void *ssl)",
  SSL_get_verify_result: "long SSL_get_verify_result(void *ssl)",
  SSL_get_servername: "const char *SSL_get_servername(void *ssl, int type)",
  SSL_get0_alpn_selected: "void SSL_get0_alpn_selected(void *ssl, void *data, void *length)",
  SSL_get1_peer_certificate: "void *SSL_get1_peer_certificate(void *ssl)",
  SSL_get_current_cipher: "void *SSL_get_current_cipher(void *ssl)",
  SSL_CIPHER_get_name: "const char *SSL_CIPHER_get_name(void *cipher)",
  SSL_CIPHER_get_version: "const char *SSL_CIPHER_get_version(void *cipher)",
  SSL_CIPHER_get_bits: "int SSL_CIPHER_get_bits(void *cipher, void *bits)",
  SSL_get_version: "const char *SSL_get_version(void *ssl)",
  ERR_clear_error: "void ERR_clear_error()",
  ERR_get_error: "unsigned long ERR_get_error()",
  ERR_reason_error_string: "const char *ERR_reason_error_string(unsigned long error)",
  ERR_lib_error_string: "const char *ERR_lib_error_string(unsigned long error)",
} as const;

/** The functions, with the C names and argument order. A `const char *` result is a copy, `null` for NULL. */
export interface OpenSsl {
  TLS_method(): Pointer;
  SSL_CTX_new(method: Pointer): Maybe;
  SSL_CTX_free(ctx: Pointer): void;
  SSL_CTX_ctrl(ctx: Pointer, command: number, number: number, pointer: Maybe): number;
  SSL_CTX_callback_ctrl(ctx: Pointer, command: number, callback: Maybe): number;
  SSL_CTX_set_options(ctx: Pointer, options: number): number | bigint;
  SSL_CTX_set_verify(ctx: Pointer, mode: number, callback: Maybe): void;
  SSL_CTX_set_cipher_list(ctx: Pointer, list: string): number;
  SSL_CTX_set_ciphersuites(ctx: Pointer, list: string): number;
  SSL_CTX_set_alpn_protos(ctx: Pointer, protocols: Uint8Array, length: number): number;
  SSL_CTX_set_alpn_select_cb(ctx: Pointer, callback: Maybe, arg: Maybe): void;
  SSL_CTX_set_session_id_context(ctx: Pointer, id: Uint8Array, length: number): number;
  SSL_CTX_set_num_tickets(ctx: Pointer, count: number): number;
  SSL_CTX_use_certificate(ctx: Pointer, certificate: Pointer): number;
  SSL_CTX_use_PrivateKey(ctx: Pointer, key: Pointer): number;
  SSL_CTX_add_client_CA(ctx: Pointer, certificate: Pointer): number;
  SSL_CTX_set1_cert_store(ctx: Pointer, store: Pointer): void;
  X509_STORE_new(): Maybe;
  X509_STORE_free(store: Pointer): void;
  X509_STORE_add_cert(store: Pointer, certificate: Pointer): number;
  X509_STORE_load_path(store: Pointer, path: string): number;
  X509_free(certificate: Pointer): void;
  X509_check_private_key(certificate: Pointer, key: Pointer): number;
  X509_verify_cert_error_string(result: number): string;
  X509_VERIFY_PARAM_set1_ip_asc(param: Pointer, ip: string): number;
  i2d_X509(certificate: Pointer, out: Uint8Array | null): number;
  d2i_X509(certificate: null, data: Uint8Array, length: number): Maybe;
  EVP_PKEY_free(key: Pointer): void;
  PEM_read_bio_X509(bio: Pointer, certificate: null, callback: null, password: Uint8Array): Maybe;
  PEM_read_bio_PrivateKey(bio: Pointer, key: null, callback: null, password: Uint8Array): Maybe;
  BIO_new(method: Pointer): Maybe;
  BIO_s_mem(): Pointer;
  BIO_write(bio: Pointer, data: Uint8Array, length: number): number;
  BIO_ctrl(bio: Pointer, command: number, number: number, pointer: null): number;
  BIO_free(bio: Pointer): number;
  BIO_up_ref(bio: Pointer): number;
  BIO_f_buffer(): Pointer;
  BIO_int_ctrl(bio: Pointer, command: number, number: number, which: number): number;
  BIO_push(bio: Pointer, next: Pointer): Pointer;
  BIO_pop(bio: Pointer): Maybe;
  BIO_test_flags(bio: Pointer, flags: number): number;
  SSL_new(ctx: Pointer): Maybe;
  SSL_free(ssl: Pointer): void;
  SSL_set_fd(ssl: Pointer, fd: number): number;
  SSL_set0_rbio(ssl: Pointer, bio: Pointer): void;
  SSL_set0_wbio(ssl: Pointer, bio: Pointer): void;
  SSL_get_wbio(ssl: Pointer): Pointer;
  SSL_ctrl(ssl: Pointer, command: number, number: number, pointer: Uint8Array | null): number;
  SSL_set_connect_state(ssl: Pointer): void;
  SSL_set_accept_state(ssl: Pointer): void;
  SSL_set_SSL_CTX(ssl: Pointer, ctx: Pointer): Maybe;
  SSL_set_verify(ssl: Pointer, mode: number, callback: null): void;
  SSL_set1_host(ssl: Pointer, name: string): number;
  SSL_set_hostflags(ssl: Pointer, flags: number): void;
  SSL_get0_param(ssl: Pointer): Pointer;
  SSL_do_handshake(ssl: Pointer): number;
  SSL_read(ssl: Pointer, buf: Uint8Array, length: number): number;
  SSL_peek(ssl: Pointer, buf: Uint8Array, length: number): number;
  SSL_write(ssl: Pointer, buf: Uint8Array, length: number): number;
  SSL_shutdown(ssl: Pointer): number;
  SSL_get_error(ssl: Pointer, result: number): number;
  SSL_pending(ssl: Pointer): number;
  SSL_has_pending(ssl: Pointer): number;
  SSL_get_verify_result(ssl: Pointer): number;
  SSL_get_servername(ssl: Pointer, type: number): string | null;
  SSL_get0_alpn_selected(ssl: Pointer, data: Uint8Array, length: Uint8Array): void;
  SSL_get1_peer_certificate(ssl: Pointer): Maybe;
  SSL_get_current_cipher(ssl: Pointer): Maybe;
  SSL_CIPHER_get_name(cipher: Pointer): string;
  SSL_CIPHER_get_version(cipher: Pointer): string;
  SSL_CIPHER_get_bits(cipher: Pointer, bits: null): number;
  SSL_get_version(ssl: Pointer): string;
  ERR_clear_error(): void;
  ERR_get_error(): number | bigint;
  ERR_reason_error_string(error: number | bigint): string | null;
  ERR_lib_error_string(error: number | bigint): string | null;
}

let bound: OpenSsl | undefined;

/**
 * The functions.
 *
 * @throws Error (code ERR_UNSUPPORTED_PLATFORM) where the library has no system calls
 * @throws Error (code ERR_NO_OPENSSL) in a Node that does not export its OpenSSL, which names the function that is missing
 */
export function openssl(): OpenSsl {
  if (bound !== undefined) return bound;
  const library = loadKoffi().load(null);
  const functions: Record<string, unknown> = {};
  for (const [name, prototype] of Object.entries(PROTOTYPES)) {
    try {
      functions[name] = library.func(prototype);
    } catch (cause) {
      const message = `This Node does not export ${name} of its OpenSSL (${process.versions.openssl}), so TLS is not available: use an official build`;
      throw Object.assign(new Error(message, { cause }), { code: "ERR_NO_OPENSSL" });
    }
  }
  // The spread makes it an object of fixed shape; filled by computed names it is a dictionary to V8, searched by hash at each call.
  bound = { ...functions } as unknown as OpenSsl;
  return bound;
}

/** Kinds of native objects that are counted. */
type Kind = "connections" | "contexts" | "others";

const live: Record<Kind, number> = { connections: 0, contexts: 0, others: 0 };

/**
 * How many native TLS objects this thread has that are not freed: connections (`SSL`), contexts (`SSL_CTX`), and others (certificates, keys,
 * buffers), which never outlive the call that made them, but for the buffers of long writes, which never outlive the last connection. The trusted roots, made once for the thread and kept, are not counted.
 */
export function nativeTlsObjects(): Readonly<Record<Kind, number>> {
  return { ...live };
}

/**
 * Notes that a native object is ours now; throws when the library gave none, which means that memory has run out.
 *
 * @internal
 */
export function acquired(kind: Kind, pointer: Maybe, what: string): Pointer {
  if (pointer === null || pointer === 0n) throw new Error(`OpenSSL could not make ${what}: memory has run out`);
  live[kind]++;
  return pointer;
}

/**
 * Notes that a native object has been freed, or given away to one that is counted.
 *
 * @internal
 */
export function released(kind: Kind): void {
  live[kind]--;
}

/**
 * Whether a call gave a pointer.
 *
 * @internal
 */
export function isPointer(pointer: Maybe): pointer is Pointer {
  return pointer !== null && pointer !== 0n;
}
