/**
 * The place where `IOStream.startTls` finds its implementation. `SSLIOStream` is a kind of `IOStream`, so the module of the one cannot import the
 * other's; `start-tls.ts`, which imports both, puts itself here. Depends on nothing.
 */
import type { Future } from "../concurrent/index.js";
import type { SSLContext, SSLOptions } from "../ssl/index.js";
import type { IOStream } from "./iostream.js";
import type { SSLIOStream } from "./ssl-iostream.js";

/** What {@link IOStream.startTls} takes. */
export interface StartTlsOptions {
  /** A context, which stays the caller's, or an object that describes one. Without it a client verifies against Node's authorities. */
  sslOptions?: SSLContext | SSLOptions | undefined;
  /** The name that is asked for and that the other end's certificate is checked for. */
  serverHostname?: string | undefined;
}

type Conversion = (stream: IOStream, serverSide: boolean, options: StartTlsOptions | undefined) => Future<SSLIOStream>;

let conversion: Conversion | undefined;

/** Puts the implementation in its place. */
export function setTlsConversion(implementation: Conversion): void {
  conversion = implementation;
}

/** Converts a stream. */
export const convertToTls: Conversion = (stream, serverSide, options) => {
  if (conversion === undefined) throw new Error("TLS is not loaded: import streams from the library's index");
  return conversion(stream, serverSide, options);
};
