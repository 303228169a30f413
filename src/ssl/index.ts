/** TLS in the shape of Python's `ssl` module, over the OpenSSL that Node carries. Other parts of the library import from here. */
export type { Pem } from "./certificates.js";
export * from "./constants.js";
export { nativeTlsObjects } from "./openssl.js";
export { createDefaultContext, type DefaultContextOptions, type SNICallback, SSLContext, type VerifyLocations } from "./ssl-context.js";
export { SSLError, UNEXPECTED_EOF } from "./ssl-error.js";
export { type SSLOptions, sslOptionsToContext } from "./ssl-options.js";
export { SSLSocket } from "./ssl-socket.js";
export { checkServerHostname, sslWrapSocket, type WrapOptions, wrapUnconnected } from "./ssl-wrap-socket.js";
