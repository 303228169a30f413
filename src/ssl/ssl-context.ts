/**
 * `SSLContext`: what connections have in common, in the shape of Python's class, over OpenSSL's `SSL_CTX`. Depends on the OpenSSL binding,
 * on certificates and on the trusted roots.
 */
import { statSync } from "node:fs";
import { inspect } from "node:util";
import type { Pointer } from "../platform/index.js";
import {
  freeCertificates,
  freeKey,
  memorySource,
  parseDer,
  type Pem,
  readCertificates,
  readKey,
  readSource,
  type Source,
} from "./certificates.js";
import { CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED, type TLSVersion, type VerifyMode, VERSION_NUMBERS } from "./constants.js";
import { handshakeCallbacks } from "./handshake-callbacks.js";
import { acquired, openssl, released } from "./openssl.js";
import { queuedError } from "./ssl-error.js";
import type { SSLSocket } from "./ssl-socket.js";
import { defaultStore, makeStore, trustedRoots } from "./trusted-roots.js";

/**
 * Chooses the context of a connection by the name that the client asked for (`undefined` when it asked for none). It answers the context, or
 * sets `socket.context` as in Python; a number is the alert (RFC 8446, 6) to refuse with; nothing keeps the present context. It runs inside
 * the handshake and must answer at once.
 */
export type SNICallback = (
  socket: SSLSocket,
  serverName: string | undefined,
  context: SSLContext,
) => SSLContext | number | undefined | void;

/** What {@link SSLContext.loadVerifyLocations} takes. */
export interface VerifyLocations {
  /** A file with certificates in PEM. */
  cafile?: string | undefined;
  /** A directory whose files are named by the hash of their subject (`openssl rehash`); looked into during handshakes. */
  capath?: string | undefined;
  /** Certificates in memory: PEM, or one in DER bytes. */
  cadata?: string | Uint8Array | undefined;
}

// Commands of SSL_CTX_ctrl (ssl.h).
const CTRL_MODE = 33;
const CTRL_READ_AHEAD = 41;
const CTRL_SESSION_CACHE_MODE = 44;
const CTRL_SERVERNAME_CALLBACK = 53;
const CTRL_CHAIN = 88;
const CTRL_CHAIN_CERT = 89;
const CTRL_DH_AUTO = 118;
const CTRL_MIN_VERSION = 123;
const CTRL_MAX_VERSION = 124;

// What is written again, because the kernel took a part of it, may lie in other memory; an idle connection owns no buffers (34 KB otherwise).
const ACCEPT_MOVING_WRITE_BUFFER = 2;
const RELEASE_BUFFERS = 16;

const NO_COMPRESSION = 0x20000;
const CIPHER_SERVER_PREFERENCE = 0x400000;
const NO_RENEGOTIATION = 0x40000000;

/** Frees what nobody has closed. */
const forgotten = new FinalizationRegistry<Pointer>((pointer) => {
  openssl().SSL_CTX_free(pointer);
  released("contexts");
});

function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}

/**
 * Certificates, trust and rules for TLS connections, client's or server's. A fresh one verifies nothing, as in Python; {@link createDefaultContext}
 * makes one that does. It may be changed at any time, also by loading another certificate: connections made before keep what they began with.
 *
 * Differences from Python's: at least TLS 1.2 whatever Node was started with; server tickets off (`numTickets`); no renegotiation.
 *
 * The native context is freed by {@link close} (or `using`), and if nobody calls it, when the object has been garbage collected. Connections have
 * their own share of it and live on either way.
 *
 * Python: `ssl.SSLContext`.
 */
export class SSLContext implements Disposable {
  #pointer: Pointer | undefined;
  #verifyMode: VerifyMode = CERT_NONE;
  #checkHostname = false;
  #minimumVersion: TLSVersion = "TLSv1.2";
  #maximumVersion: TLSVersion | undefined = undefined;
  #numTickets = 0;
  #protocols: readonly string[] = [];
  #sniCallback: SNICallback | undefined = undefined;
  /** Whom the context trusts: nobody, the store that all contexts share, or one of its own. */
  #trust: "nobody" | "default" | { readonly store: Pointer } = "nobody";

  constructor() {
    const ssl = openssl();
    ssl.ERR_clear_error();
    const pointer = acquired("contexts", ssl.SSL_CTX_new(ssl.TLS_method()), "a context");
    this.#pointer = pointer;
    forgotten.register(this, pointer, this);
    ssl.SSL_CTX_ctrl(pointer, CTRL_MODE, ACCEPT_MOVING_WRITE_BUFFER | RELEASE_BUFFERS, null);
    ssl.SSL_CTX_set_options(pointer, NO_COMPRESSION | CIPHER_SERVER_PREFERENCE | NO_RENEGOTIATION);
    // One read call for a small record instead of two (header, rest).
    ssl.SSL_CTX_ctrl(pointer, CTRL_READ_AHEAD, 1, null);
    ssl.SSL_CTX_ctrl(pointer, CTRL_DH_AUTO, 1, null);
    // The server's session cache would keep 20,480 sessions of 1 KB; nobody resumes them, as there is no way to get at a client's session.
    ssl.SSL_CTX_ctrl(pointer, CTRL_SESSION_CACHE_MODE, 0, null);
    ssl.SSL_CTX_set_session_id_context(pointer, Buffer.from("ioloop"), 6);
    // Tickets come after the handshake. A client that closes without having read them resets the connection, and its last words are lost.
    ssl.SSL_CTX_set_num_tickets(pointer, 0);
    ssl.SSL_CTX_ctrl(pointer, CTRL_MIN_VERSION, VERSION_NUMBERS[this.#minimumVersion], null);
    // Asked for here and not imported: a program without TLS starts 9 ms sooner (Node 20, CPU of an empty script beside one that imports node:tls).
    this.setCiphers(process.getBuiltinModule("node:tls").DEFAULT_CIPHERS);
  }

  /** The native context. @internal */
  get _pointer(): Pointer {
    if (this.#pointer === undefined) throw new Error("The SSLContext is closed: close it when no new connection will be made with it");
    return this.#pointer;
  }

  /** Whether {@link close} has been called. */
  get closed(): boolean {
    return this.#pointer === undefined;
  }

  /** Gives the native context up; idempotent. Connections made with it go on. */
  close(): void {
    const pointer = this.#pointer;
    if (pointer === undefined) return;
    this.#pointer = undefined;
    forgotten.unregister(this);
    openssl().SSL_CTX_free(pointer);
    released("contexts");
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * What is checked of the other end's certificate: chain, dates and purpose. `CERT_NONE` at first.
   *
   * @throws RangeError when `CERT_NONE` is set while `checkHostname` is on
   */
  get verifyMode(): VerifyMode {
    return this.#verifyMode;
  }

  set verifyMode(mode: VerifyMode) {
    checkVerifyMode("verifyMode", mode);
    if (mode === CERT_NONE && this.#checkHostname) {
      throw new RangeError("verifyMode cannot be CERT_NONE while checkHostname is on: set checkHostname to false first");
    }
    this.#verifyMode = mode;
    openssl().SSL_CTX_set_verify(this._pointer, nativeVerifyMode(mode), null);
  }

  /** Whether a client checks that the certificate is the server's it meant. Switching it on switches verification on too. */
  get checkHostname(): boolean {
    return this.#checkHostname;
  }

  set checkHostname(on: boolean) {
    if (typeof on !== "boolean") throw new TypeError(`checkHostname is ${show(on)}: use true or false`);
    if (on && this.#verifyMode === CERT_NONE) this.verifyMode = CERT_REQUIRED;
    this.#checkHostname = on;
  }

  /** The lowest protocol version; "TLSv1.2" at first. The older ones also need `setCiphers("DEFAULT@SECLEVEL=0")`. */
  get minimumVersion(): TLSVersion {
    return this.#minimumVersion;
  }

  set minimumVersion(version: TLSVersion) {
    this.#setVersion("minimumVersion", CTRL_MIN_VERSION, version, version, this.#maximumVersion);
    this.#minimumVersion = version;
  }

  /** The highest protocol version; `undefined`, as at first, for the highest there is. */
  get maximumVersion(): TLSVersion | undefined {
    return this.#maximumVersion;
  }

  set maximumVersion(version: TLSVersion | undefined) {
    if (version === undefined) openssl().SSL_CTX_ctrl(this._pointer, CTRL_MAX_VERSION, 0, null);
    else this.#setVersion("maximumVersion", CTRL_MAX_VERSION, version, this.#minimumVersion, version);
    this.#maximumVersion = version;
  }

  #setVersion(what: string, command: number, version: TLSVersion, lowest: TLSVersion, highest: TLSVersion | undefined): void {
    if (typeof version !== "string") throw new TypeError(`${what} is ${show(version)}: use a string such as "TLSv1.2"`);
    const number = Object.hasOwn(VERSION_NUMBERS, version) ? VERSION_NUMBERS[version] : undefined;
    if (number === undefined) {
      throw new RangeError(`${what} is ${show(version)}: use one of ${Object.keys(VERSION_NUMBERS).join(", ")}`);
    }
    if (highest !== undefined && VERSION_NUMBERS[lowest] > VERSION_NUMBERS[highest]) {
      throw new RangeError(`${what} is ${show(version)}: the lowest version, ${lowest}, would be above the highest, ${highest}`);
    }
    openssl().ERR_clear_error();
    if (openssl().SSL_CTX_ctrl(this._pointer, command, number, null) !== 1) throw queuedError(`${what} ${version} is not possible`);
  }

  /**
   * How many session tickets a TLS 1.3 server sends after the handshake, 0 at first. A client that writes and closes without ever reading loses what
   * it wrote last if there are any. Python: `num_tickets`, there 2.
   */
  get numTickets(): number {
    return this.#numTickets;
  }

  set numTickets(count: number) {
    if (typeof count !== "number") throw new TypeError(`numTickets is ${show(count)}: use a number`);
    if (!Number.isInteger(count) || count < 0 || count > 100) throw new RangeError(`numTickets is ${count}: use an integer from 0 to 100`);
    openssl().SSL_CTX_set_num_tickets(this._pointer, count);
    this.#numTickets = count;
  }

  /** Chooses among a server's contexts by the name that a client asks for; `undefined` for none. Python: `sni_callback` (3.7). */
  get sniCallback(): SNICallback | undefined {
    return this.#sniCallback;
  }

  set sniCallback(callback: SNICallback | undefined) {
    if (callback !== undefined && typeof callback !== "function") {
      throw new TypeError(`sniCallback is ${show(callback)}: use a function or undefined`);
    }
    openssl().SSL_CTX_callback_ctrl(this._pointer, CTRL_SERVERNAME_CALLBACK, callback === undefined ? null : handshakeCallbacks().name);
    this.#sniCallback = callback;
  }

  /**
   * Loads the certificate to show, with the chain up to the root, and its private key. The files are read now. A later call replaces it for new
   * connections: that is how a server renews its certificate. When it throws, the context has what it had.
   *
   * Python: `load_cert_chain`.
   *
   * @param certfile - PEM, the own certificate first
   * @param keyfile - PEM; without it the key is in `certfile`
   * @param password - of an encrypted key
   * @throws SystemError of `node:fs` for a file that cannot be read; SSLError for one that is broken, a key that is not the certificate's, a wrong
   *   or missing password; all name the file
   */
  loadCertChain(certfile: string, keyfile?: string, password?: Pem): void {
    checkPath("certfile", certfile);
    if (keyfile !== undefined) checkPath("keyfile", keyfile);
    const certificate = readSource("certfile", certfile);
    this._useCertificate(certificate, keyfile === undefined ? certificate : readSource("keyfile", keyfile), password);
  }

  /** `loadCertChain` with the contents. @internal */
  _useCertificate(certificate: Source, key: Source, password: Pem | undefined): void {
    if (password !== undefined && typeof password !== "string" && !(password instanceof Uint8Array)) {
      throw new TypeError(`The password is ${show(password)}: use a string or a Uint8Array`);
    }
    const ssl = openssl();
    const context = this._pointer;
    const chain = readCertificates(certificate);
    let own: Pointer | undefined;
    try {
      own = readKey(key, password);
      const [leaf, ...intermediates] = chain as [Pointer, ...Pointer[]];
      ssl.ERR_clear_error();
      if (ssl.X509_check_private_key(leaf, own) !== 1) {
        throw queuedError(`The private key in ${key.name} does not belong to the certificate in ${certificate.name}`);
      }
      const installed =
        ssl.SSL_CTX_use_certificate(context, leaf) === 1 &&
        ssl.SSL_CTX_use_PrivateKey(context, own) === 1 &&
        ssl.SSL_CTX_ctrl(context, CTRL_CHAIN, 0, null) === 1 &&
        // 1: the context takes a share of its own.
        intermediates.every((each) => ssl.SSL_CTX_ctrl(context, CTRL_CHAIN_CERT, 1, each) === 1);
      if (!installed) throw queuedError(`The certificate in ${certificate.name} cannot be used`);
    } finally {
      freeCertificates(chain);
      if (own !== undefined) freeKey(own);
    }
  }

  /**
   * Trusts these authorities too. Python: `load_verify_locations`.
   *
   * @throws SystemError of `node:fs` for a file or directory that cannot be read; SSLError for what holds no certificate
   */
  loadVerifyLocations(locations: VerifyLocations): void {
    const { cafile, capath, cadata, ...unknown } = locations;
    const [key] = Object.keys(unknown);
    if (key !== undefined)
      throw new TypeError(`Unknown option ${show(key)} of loadVerifyLocations(): the options are cafile, capath, cadata`);
    if (cafile === undefined && capath === undefined && cadata === undefined) {
      throw new TypeError("loadVerifyLocations() was given nothing: use at least one of cafile, capath, cadata");
    }
    if (cafile !== undefined) {
      checkPath("cafile", cafile);
      this._trust(readSource("cafile", cafile));
    }
    if (capath !== undefined) {
      checkPath("capath", capath);
      if (!statSync(capath).isDirectory()) throw new RangeError(`capath ${show(capath)} is no directory`);
      openssl().ERR_clear_error();
      if (openssl().X509_STORE_load_path(this.#ownStore(), capath) !== 1) throw queuedError(`capath ${show(capath)} cannot be used`);
    }
    if (cadata !== undefined) {
      if (typeof cadata !== "string" && !(cadata instanceof Uint8Array)) {
        throw new TypeError(`cadata is ${show(cadata)}: use a string or a Uint8Array`);
      }
      this._trust(memorySource("cadata", cadata));
    }
  }

  /** Trusts the certificates of a PEM text, or the one in DER. @internal */
  _trust(source: Source): void {
    const ssl = openssl();
    const certificates = isDer(source.pem) ? [parseDer(source)] : readCertificates(source);
    try {
      const store = this.#ownStore();
      for (const certificate of certificates) {
        ssl.ERR_clear_error();
        if (ssl.X509_STORE_add_cert(store, certificate) !== 1) throw queuedError(`A certificate in ${source.name} cannot be used`);
        // A server says whose certificates it takes; clients with several choose by that.
        ssl.SSL_CTX_add_client_CA(this._pointer, certificate);
      }
    } finally {
      freeCertificates(certificates);
    }
  }

  /** Trusts Node's own authorities too, with those of `NODE_EXTRA_CA_CERTS`. Python: `load_default_certs`. */
  loadDefaultCerts(): void {
    const ssl = openssl();
    if (this.#trust === "default") return;
    if (this.#trust === "nobody") {
      ssl.SSL_CTX_set1_cert_store(this._pointer, defaultStore());
      this.#trust = "default";
      return;
    }
    for (const root of trustedRoots()) ssl.X509_STORE_add_cert(this.#trust.store, root);
  }

  /** A store that no other context shares. It lives as long as the native context, which owns it. */
  #ownStore(): Pointer {
    if (typeof this.#trust === "object") return this.#trust.store;
    const store = makeStore(this.#trust === "default" ? trustedRoots() : []);
    openssl().SSL_CTX_set1_cert_store(this._pointer, store);
    openssl().X509_STORE_free(store);
    this.#trust = { store };
    return store;
  }

  /**
   * The application protocols (ALPN, RFC 7301) in order of preference: what a client offers and what a server chooses from, the server's order
   * deciding. With none in common the handshake goes on and none is selected, as in Python. An empty list switches ALPN off.
   *
   * @throws TypeError, RangeError for names that are no strings of 1 to 255 bytes
   */
  setAlpnProtocols(names: readonly string[]): void {
    const ssl = openssl();
    const wire = encodeProtocols(names);
    const context = this._pointer;
    // 0 is success, and an empty list is none.
    if (ssl.SSL_CTX_set_alpn_protos(context, wire, wire.length) !== 0 && wire.length > 0) throw queuedError("The protocols cannot be used");
    ssl.SSL_CTX_set_alpn_select_cb(context, wire.length === 0 ? null : handshakeCallbacks().protocols, null);
    this.#protocols = [...names];
  }

  /** What `setAlpnProtocols` was given. @internal */
  get _alpnProtocols(): readonly string[] {
    return this.#protocols;
  }

  /**
   * The ciphers, in OpenSSL's form, separated by colons. Names that begin with "TLS_" are those of TLS 1.3, others those of TLS 1.2; of a
   * version that is not named the present ones stay. Node's default list at first.
   *
   * @throws SSLError when a list has no cipher that OpenSSL knows
   */
  setCiphers(list: string): void {
    if (typeof list !== "string") throw new TypeError(`The ciphers are ${show(list)}: use a string such as "ECDHE+AESGCM"`);
    const ssl = openssl();
    const names = list.split(":").filter((name) => name !== "");
    if (names.length === 0) throw new RangeError(`The list of ciphers ${show(list)} is empty: name at least one`);
    const recent = names.filter((name) => name.startsWith("TLS_"));
    const older = names.filter((name) => !name.startsWith("TLS_"));
    ssl.ERR_clear_error();
    if (recent.length > 0 && ssl.SSL_CTX_set_ciphersuites(this._pointer, recent.join(":")) !== 1) {
      throw queuedError(`The ciphers ${show(list)} cannot be used`);
    }
    if (older.length > 0 && ssl.SSL_CTX_set_cipher_list(this._pointer, older.join(":")) !== 1) {
      throw queuedError(`The ciphers ${show(list)} cannot be used`);
    }
  }
}

/** What {@link createDefaultContext} takes: authorities to trust in place of the default ones, and which end the context is for. */
export interface DefaultContextOptions extends VerifyLocations {
  /** For a server: then nothing is verified until `verifyMode` says so. */
  serverSide?: boolean | undefined;
}

/**
 * A context with the settings that one wants when one has no wish of one's own. For clients: it verifies, checks names, and trusts Node's
 * authorities or those given. For servers: it asks for no certificate.
 *
 * Python: `ssl.create_default_context`.
 *
 * @example
 * const context = createDefaultContext({ serverSide: true });
 * context.loadCertChain("server.pem", "server.key");
 */
export function createDefaultContext(options: DefaultContextOptions = {}): SSLContext {
  const { serverSide = false, ...locations } = options;
  if (typeof serverSide !== "boolean") throw new TypeError(`serverSide is ${show(serverSide)}: use true or false`);
  const context = new SSLContext();
  try {
    if (!serverSide) context.checkHostname = true;
    if (Object.values(locations).some((each) => each !== undefined)) context.loadVerifyLocations(locations);
    else if (!serverSide) context.loadDefaultCerts();
    return context;
  } catch (error) {
    context.close();
    throw error;
  }
}

/** The verify mode as SSL_CTX_set_verify wants it: SSL_VERIFY_PEER is 1, SSL_VERIFY_FAIL_IF_NO_PEER_CERT 2. */
export function nativeVerifyMode(mode: VerifyMode): number {
  return mode === CERT_REQUIRED ? 3 : mode;
}

/** Checks a value of `verifyMode` or `certReqs`. */
export function checkVerifyMode(what: string, mode: unknown): asserts mode is VerifyMode {
  if (typeof mode !== "number") throw new TypeError(`${what} is ${show(mode)}: use CERT_NONE, CERT_OPTIONAL or CERT_REQUIRED`);
  if (![CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED].includes(mode)) {
    throw new RangeError(`${what} is ${mode}: use CERT_NONE (0), CERT_OPTIONAL (1) or CERT_REQUIRED (2)`);
  }
}

function checkPath(what: string, path: unknown): asserts path is string {
  if (typeof path !== "string") throw new TypeError(`${what} is ${show(path)}: use a path`);
  if (path === "" || path.includes("\0")) throw new RangeError(`${what} is ${show(path)}: use the path of a file`);
}

/** A DER certificate is an ASN.1 SEQUENCE with a length in long form; no PEM text begins so. */
function isDer(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30 && ((bytes[1] ?? 0) & 0x80) !== 0;
}

function encodeProtocols(names: unknown): Buffer {
  if (!Array.isArray(names)) throw new TypeError(`The protocols are ${show(names)}: use an array of strings`);
  return Buffer.concat(
    names.map((name: unknown) => {
      if (typeof name !== "string") throw new TypeError(`A protocol is ${show(name)}: use a string such as "h2"`);
      const bytes = Buffer.from(name);
      if (bytes.length === 0 || bytes.length > 255) throw new RangeError(`A protocol is ${show(name)}: use a name of 1 to 255 bytes`);
      return Buffer.concat([Buffer.of(bytes.length), bytes]);
    }),
  );
}
