/** Names and values of Python's `ssl` module. Depends on nothing. */

/** The other end's certificate is not looked at (a server does not even ask for one). */
export const CERT_NONE = 0;
/** A server asks for a certificate, and refuses one that is not valid; none is fine. For a client the same as `CERT_REQUIRED`. */
export const CERT_OPTIONAL = 1;
/** The other end must show a valid certificate. */
export const CERT_REQUIRED = 2;

/** `doHandshake()` goes on when the descriptor is readable. */
export const SSL_ERROR_WANT_READ = 2;
/** `doHandshake()` goes on when the descriptor is writable. */
export const SSL_ERROR_WANT_WRITE = 3;

/** What is checked of the other end's certificate. */
export type VerifyMode = typeof CERT_NONE | typeof CERT_OPTIONAL | typeof CERT_REQUIRED;

/** Protocol versions by Node's names. */
export type TLSVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** The numbers on the wire (RFC 8446, 4.2.1). */
export const VERSION_NUMBERS: Readonly<Record<TLSVersion, number>> = {
  TLSv1: 0x301,
  "TLSv1.1": 0x302,
  "TLSv1.2": 0x303,
  "TLSv1.3": 0x304,
};
