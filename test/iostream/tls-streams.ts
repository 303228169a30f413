/** What the tests of TLS streams share: options, and a server's and a client's end before their handshake. */
import { IOStream, SSLIOStream, type SSLStreamOptions, type StreamOptions } from "../../src/iostream/index.js";
import { Socket } from "../../src/platform/index.js";
import type { SSLOptions } from "../../src/ssl/index.js";
import { testAuthority, testIdentity } from "../support/certificates.js";
import { listenTcp, type StreamTest, tcpSockets } from "./kinds.js";

/** A server with a good certificate. */
export function serverOptions(more: SSLOptions = {}): SSLOptions {
  const { cert, key } = testIdentity();
  return { cert, key, ...more };
}

/** A client that trusts the test's authority. */
export function clientOptions(more: SSLOptions = {}): SSLOptions {
  return { ca: testAuthority().cert, ...more };
}

export interface Ends {
  readonly server: SSLIOStream;
  readonly client: SSLIOStream;
}

/** Both ends over connected sockets, their handshake not begun. */
export function tlsPair({ loop, track }: StreamTest, serverMore: SSLStreamOptions = {}, clientMore: SSLStreamOptions = {}): Ends {
  const [a, b] = tcpSockets();
  const server = new SSLIOStream(a, { ioLoop: loop, serverSide: true, sslOptions: serverOptions(), ...serverMore });
  const client = new SSLIOStream(b, { ioLoop: loop, serverHostname: "localhost", sslOptions: clientOptions(), ...clientMore });
  return { server: track(server), client: track(client) };
}

/** Both ends after their handshake. */
export async function shakenPair(test: StreamTest, serverMore?: SSLStreamOptions, clientMore?: SSLStreamOptions): Promise<Ends> {
  const ends = tlsPair(test, serverMore, clientMore);
  await Promise.all([ends.server.waitForHandshake(), ends.client.waitForHandshake()]);
  return ends;
}

/** Two connected clear-text streams. */
export function clearPair({ loop, track }: StreamTest, options: StreamOptions = {}): { server: IOStream; client: IOStream } {
  const [a, b] = tcpSockets();
  return { server: track(new IOStream(a, { ioLoop: loop, ...options })), client: track(new IOStream(b, { ioLoop: loop, ...options })) };
}

/** A client that is not connected, and the port of a listener for it. */
export function unconnected(
  { loop, track }: StreamTest,
  more: SSLStreamOptions = {},
): { client: SSLIOStream; listener: Socket; port: number } {
  const [listener, port] = listenTcp();
  const client = track(new SSLIOStream(new Socket(), { ioLoop: loop, sslOptions: clientOptions(), ...more }));
  return { client, listener, port };
}

/** The connection that waits at a listener. */
export function accepted(listener: Socket): Socket {
  const connection = listener.accept();
  if (connection === undefined) throw new Error("No connection waits");
  return connection[0];
}
