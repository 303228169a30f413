/** A handshake of two TLS sockets in one thread, step by step. */
import { socketpair } from "../../src/platform/index.js";
import { type SSLContext, type SSLError, type SSLOptions, type SSLSocket, sslWrapSocket } from "../../src/ssl/index.js";

/** How a handshake went. */
export interface Shaken {
  readonly error: SSLError | undefined;
  readonly serverError: SSLError | undefined;
  readonly fingerprint: string | undefined;
  readonly protocol: string | undefined;
  readonly version: string | undefined;
  readonly cipher: string | undefined;
  /** With `keep`: sends "hello" to the client, closes both, and answers what came. */
  readonly exchange: (() => string) | undefined;
}

function step(socket: SSLSocket): { done: boolean; error?: SSLError } {
  try {
    return { done: socket.doHandshake() === 0 };
  } catch (error) {
    return { done: true, error: error as SSLError };
  }
}

/** Shakes hands over a socket pair; closes both ends unless they are to be kept. */
export function shake(server: SSLContext | SSLOptions, client: SSLContext, serverHostname?: string, keep = false): Shaken {
  const [a, b] = socketpair();
  const ours = sslWrapSocket(a, server, { serverSide: true });
  const theirs = sslWrapSocket(b, client, { serverHostname });
  let [one, other] = [step(theirs), step(ours)];
  for (let i = 0; i < 10 && !(one.done && other.done); i++) [one, other] = [step(theirs), step(ours)];
  const facts = {
    error: one.error,
    serverError: other.error,
    fingerprint: theirs.getpeercert()?.fingerprint256,
    protocol: theirs.selectedAlpnProtocol(),
    version: theirs.version(),
    cipher: theirs.cipher()?.[0],
  };
  const close = (): void => {
    ours.close();
    theirs.close();
  };
  const exchange = (): string => {
    ours.send("hello");
    const got = String(theirs.recv(100));
    close();
    return got;
  };
  if (!keep) close();
  return { ...facts, exchange: keep ? exchange : undefined };
}
