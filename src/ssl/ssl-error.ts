/**
 * `SSLError`, made from OpenSSL's error queue or from the result of a certificate check, with the codes that Node's own `tls` gives.
 * Depends on the OpenSSL binding.
 */
import { openssl } from "./openssl.js";

/** What an {@link SSLError} tells besides its message. */
export interface SSLErrorDetails {
  readonly code: string;
  readonly library?: string | undefined;
  readonly reason?: string | undefined;
  readonly cause?: unknown;
}

/**
 * What TLS itself reports: a handshake or record that cannot be right, a certificate that is not accepted, a key that cannot be read.
 * Errors of the socket beneath are system errors, not these.
 *
 * Python: `ssl.SSLError`, `ssl.SSLCertVerificationError`.
 */
export class SSLError extends Error {
  override readonly name = "SSLError";
  /** "ERR_SSL_..." with OpenSSL's reason; for a certificate Node's name of the check that failed ("CERT_HAS_EXPIRED"). */
  readonly code: string;
  /** The part of OpenSSL that reports it: "SSL routines", "PEM routines"; for a certificate "X509". */
  readonly library: string;
  /** OpenSSL's words: "wrong version number". */
  readonly reason: string;

  constructor(message: string, details: SSLErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.library = details.library ?? "";
    this.reason = details.reason ?? "";
  }
}

/** The code of a connection that ended without close_notify. */
export const UNEXPECTED_EOF = "ERR_SSL_UNEXPECTED_EOF_WHILE_READING";

/** Numbers of OpenSSL's parts (err.h) by the names that stand in Node's codes. */
const LIBRARIES: Readonly<Record<number, string>> = {
  2: "SYS",
  4: "RSA",
  5: "DH",
  6: "EVP",
  8: "OBJ",
  9: "PEM",
  11: "X509",
  13: "ASN1",
  15: "CRYPTO",
  16: "EC",
  20: "SSL",
  32: "BIO",
  34: "X509V3",
  35: "PKCS12",
  57: "PROV",
  60: "OSSL_DECODER",
};

/** A record of OpenSSL's error queue. */
export interface QueuedError {
  readonly code: string;
  readonly library: string;
  readonly reason: string;
}

/** Takes everything out of the thread's error queue, oldest first. */
export function takeErrors(): QueuedError[] {
  const ssl = openssl();
  const errors: QueuedError[] = [];
  for (;;) {
    const packed = ssl.ERR_get_error();
    const number = Number(packed);
    if (number === 0) return errors;
    // A system error has bit 31 set and the errno below it; else bits 23 to 30 name the part (ERR_GET_LIB).
    const library = number >= 0x80000000 ? 2 : (number >>> 23) & 0xff;
    const reason = ssl.ERR_reason_error_string(packed) ?? `reason ${number & 0x7fffff}`;
    const name = LIBRARIES[library];
    const prefix = name === "SSL" ? "ERR_SSL" : `ERR_OSSL${name === undefined ? "" : `_${name}`}`;
    errors.push({
      code: `${prefix}_${reason.replace(/[^A-Za-z0-9]+/g, "_").toUpperCase()}`,
      library: ssl.ERR_lib_error_string(packed) ?? "",
      reason,
    });
  }
}

/** An error from the queue's oldest record, which is where the trouble began. */
export function queuedError(what: string, cause?: unknown): SSLError {
  const [first = { code: "ERR_SSL_UNKNOWN", library: "SSL routines", reason: "no reason given" }] = takeErrors();
  return new SSLError(`${what}: ${first.reason}`, { ...first, cause });
}

/** Node's names (node:tls, "X509 certificate error codes") for the results of X509_verify_cert (x509_vfy.h). */
const VERIFY_CODES: Readonly<Record<number, string>> = {
  2: "UNABLE_TO_GET_ISSUER_CERT",
  3: "UNABLE_TO_GET_CRL",
  4: "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  5: "UNABLE_TO_DECRYPT_CRL_SIGNATURE",
  6: "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  7: "CERT_SIGNATURE_FAILURE",
  8: "CRL_SIGNATURE_FAILURE",
  9: "CERT_NOT_YET_VALID",
  10: "CERT_HAS_EXPIRED",
  11: "CRL_NOT_YET_VALID",
  12: "CRL_HAS_EXPIRED",
  13: "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  14: "ERROR_IN_CERT_NOT_AFTER_FIELD",
  15: "ERROR_IN_CRL_LAST_UPDATE_FIELD",
  16: "ERROR_IN_CRL_NEXT_UPDATE_FIELD",
  17: "OUT_OF_MEM",
  18: "DEPTH_ZERO_SELF_SIGNED_CERT",
  19: "SELF_SIGNED_CERT_IN_CHAIN",
  20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  22: "CERT_CHAIN_TOO_LONG",
  23: "CERT_REVOKED",
  24: "INVALID_CA",
  25: "PATH_LENGTH_EXCEEDED",
  26: "INVALID_PURPOSE",
  27: "CERT_UNTRUSTED",
  28: "CERT_REJECTED",
  // A name that does not match is Node's own finding, not OpenSSL's, and has Node's own code: host (62) and IP address (64).
  62: "ERR_TLS_CERT_ALTNAME_INVALID",
  64: "ERR_TLS_CERT_ALTNAME_INVALID",
};

/** The results that say the certificate is somebody else's. */
export const NAME_MISMATCH: readonly number[] = [62, 64];

/** Node's name for the result of a certificate check. */
export function verifyCode(result: number): string {
  return VERIFY_CODES[result] ?? "UNSPECIFIED";
}
