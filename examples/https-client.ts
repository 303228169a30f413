/**
 * An HTTPS client on a TLS stream: asks for a page and prints the facts about the connection, the headers and the length of the body.
 *
 *     npm start -- examples/https-client.ts [https://host[:port]/path] [file with an authority to trust]
 *
 * Without a second argument it trusts whom Node trusts. A certificate that is not valid for the host ends it with the reason.
 */
import { IOLoop, Socket, SSLIOStream, type SSLOptions, StreamClosedError } from "ioloop";

async function main(): Promise<void> {
  const url = new URL(process.argv[2] ?? "https://www.rfc-editor.org/rfc/rfc8446.txt");
  const sslOptions: SSLOptions = { alpnProtocols: ["http/1.1"] };
  if (process.argv[3] !== undefined) sslOptions.caCerts = process.argv[3];

  using stream = new SSLIOStream(new Socket(), { sslOptions });
  // A host name is looked up without blocking; the certificate is checked for it.
  await stream.connect([url.hostname, Number(url.port || 443)], { serverHostname: url.hostname });
  const { socket } = stream;
  console.log(`${socket.version()}, ${socket.cipher()?.[0]}, ${socket.selectedAlpnProtocol() ?? "no ALPN"}`);
  console.log(`certificate: ${socket.getpeercert()?.subject}, valid to ${socket.getpeercert()?.validTo}`);

  await stream.write(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n\r\n`);
  console.log((await stream.readUntil("\r\n\r\n")).toString("latin1").trimEnd());
  let size = 0;
  for await (const chunk of stream) size += chunk.length;
  console.log(`body of ${size} bytes`);
}

try {
  await IOLoop.current().runSync(main);
} catch (error) {
  const cause = error instanceof StreamClosedError ? error.realError : (error as NodeJS.ErrnoException);
  console.error(`${(cause as NodeJS.ErrnoException | undefined)?.code ?? "closed"}: ${cause?.message ?? "the connection ended"}`);
  process.exitCode = 1;
}
