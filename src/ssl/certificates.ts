/**
 * Certificates and keys: from PEM or DER to native objects, and back to Node's `X509Certificate`. Depends on the OpenSSL binding.
 *
 * A pointer that a function here answers belongs to the caller, who frees it with {@link freeCertificates} or {@link freeKey}.
 */
import type { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { sys, type Pointer } from "../platform/index.js";
import { acquired, isPointer, openssl, released } from "./openssl.js";
import { queuedError, SSLError, takeErrors } from "./ssl-error.js";

/** BIO_C_SET_BUF_MEM_EOF_RETURN (bio.h): what a memory buffer answers when it is empty. */
const SET_EOF_RETURN = 130;

/** A password as C wants it. Never NULL: OpenSSL would then ask for it on the terminal, and wait. */
const NO_PASSWORD = new Uint8Array(1);

/** PEM text, as a string or as bytes. */
export type Pem = string | Uint8Array;

/** Where certificates or a key come from, for messages: `certfile "server.pem"`, `cert`. */
export interface Source {
  readonly pem: Uint8Array;
  readonly name: string;
}

/**
 * Reads a file that an option names.
 *
 * @throws SystemError of `node:fs` with the path: ENOENT, EACCES, EISDIR
 */
export function readSource(option: string, path: string): Source {
  return { pem: readFileSync(path), name: `${option} ${JSON.stringify(path)}` };
}

/** PEM that was given in memory. */
export function memorySource(option: string, pem: Pem): Source {
  return { pem: typeof pem === "string" ? Buffer.from(pem) : pem, name: option };
}

/** A memory buffer with these bytes in it, counted; `eofReturn` -1 says "later" when it is empty, 0 "the end". */
export function memoryBio(bytes: Uint8Array, eofReturn: 0 | -1): Pointer {
  const ssl = openssl();
  const bio = acquired("others", ssl.BIO_new(ssl.BIO_s_mem()), "a memory buffer");
  if (bytes.length > 0 && ssl.BIO_write(bio, bytes, bytes.length) !== bytes.length) {
    ssl.BIO_free(bio);
    released("others");
    throw new Error(`OpenSSL could not copy ${bytes.length} bytes: memory has run out`);
  }
  ssl.BIO_ctrl(bio, SET_EOF_RETURN, eofReturn, null);
  return bio;
}

function withBio<T>(bytes: Uint8Array, use: (bio: Pointer) => T): T {
  const bio = memoryBio(bytes, 0);
  try {
    return use(bio);
  } finally {
    openssl().BIO_free(bio);
    released("others");
  }
}

/**
 * All certificates of a PEM text, in order.
 *
 * @throws SSLError when there is none, or when one is broken; it names the source
 */
export function readCertificates({ pem, name }: Source): Pointer[] {
  const ssl = openssl();
  const certificates: Pointer[] = [];
  withBio(pem, (bio) => {
    for (;;) {
      ssl.ERR_clear_error();
      const certificate = ssl.PEM_read_bio_X509(bio, null, null, NO_PASSWORD);
      if (!isPointer(certificate)) break;
      certificates.push(acquired("others", certificate, "a certificate"));
    }
  });
  const [error] = takeErrors();
  // "No start line" is how the end of the text is told.
  const ended = error?.code.endsWith("_NO_START_LINE") ?? true;
  if (ended && certificates.length > 0) return certificates;
  freeCertificates(certificates);
  const details = error ?? { code: "ERR_OSSL_PEM_NO_START_LINE", library: "PEM routines", reason: "no start line" };
  throw new SSLError(
    ended
      ? `There is no certificate in ${name}: it should be PEM, with a line "-----BEGIN CERTIFICATE-----"`
      : `A certificate in ${name} is broken: ${details.reason}`,
    details,
  );
}

/**
 * The certificate in DER bytes.
 *
 * @throws SSLError when they are none
 */
export function parseDer({ pem, name }: Source): Pointer {
  const ssl = openssl();
  // d2i reads through a pointer to the bytes, which it moves.
  const cursor = new BigUint64Array([sys.address(pem)]);
  ssl.ERR_clear_error();
  const certificate = ssl.d2i_X509(null, new Uint8Array(cursor.buffer), pem.length);
  if (!isPointer(certificate)) throw queuedError(`${name} is no certificate, neither PEM nor DER`);
  return acquired("others", certificate, "a certificate");
}

/** Frees certificates of {@link readCertificates} and {@link parseDer}. */
export function freeCertificates(certificates: readonly Pointer[]): void {
  for (const certificate of certificates) {
    openssl().X509_free(certificate);
    released("others");
  }
}

/**
 * The first private key of a PEM text.
 *
 * @throws SSLError when there is none, when it is encrypted and no password is given (code ERR_MISSING_PASSPHRASE), or a wrong one
 */
export function readKey({ pem, name }: Source, password: Pem | undefined): Pointer {
  const ssl = openssl();
  const key = withBio(pem, (bio) => {
    ssl.ERR_clear_error();
    return ssl.PEM_read_bio_PrivateKey(bio, null, null, password === undefined ? NO_PASSWORD : cString(password));
  });
  if (isPointer(key)) {
    // A decoder that did not fit has left its complaint.
    ssl.ERR_clear_error();
    return acquired("others", key, "a key");
  }
  const [error = { code: "ERR_OSSL_PEM_NO_START_LINE", library: "PEM routines", reason: "no start line" }] = takeErrors();
  const encrypted = Buffer.from(pem.buffer, pem.byteOffset, pem.length).includes("ENCRYPTED");
  if (encrypted && password === undefined) {
    throw new SSLError(`The private key in ${name} is encrypted: give its password`, { ...error, code: "ERR_MISSING_PASSPHRASE" });
  }
  if (encrypted) throw new SSLError(`The private key in ${name} cannot be decrypted, so the password is wrong: ${error.reason}`, error);
  throw new SSLError(`There is no private key in ${name}: it should be PEM, with a line "-----BEGIN PRIVATE KEY-----"`, error);
}

/** Frees the key of {@link readKey}. */
export function freeKey(key: Pointer): void {
  openssl().EVP_PKEY_free(key);
  released("others");
}

function cString(text: Pem): Uint8Array {
  const bytes = Buffer.from(text as string);
  if (bytes.includes(0)) throw new RangeError("The password has a NUL in it: no key can have such a password");
  return Buffer.concat([bytes, NO_PASSWORD]);
}

/** The certificate as Node's own class has it. */
export function toNode(certificate: Pointer): X509Certificate {
  const ssl = openssl();
  const der = Buffer.alloc(ssl.i2d_X509(certificate, null));
  const cursor = new BigUint64Array([sys.address(der)]);
  ssl.i2d_X509(certificate, new Uint8Array(cursor.buffer));
  // Not imported, as node:tls is not by `SSLContext`.
  const { X509Certificate } = process.getBuiltinModule("node:crypto");
  return new X509Certificate(der);
}
