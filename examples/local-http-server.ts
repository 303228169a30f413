/** A real HTTP server on loopback for the clients beside this file: Node's own, in the same process, which it does not keep alive. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const PAGE = "<html><body>Hello from a real server on loopback.</body></html>\n";

/** Starts it and tells its address. */
export async function localHttpServer(): Promise<[host: string, port: number]> {
  const server = createServer((request, response) => {
    const body = `${request.method} ${request.url}\n${PAGE}`;
    response.writeHead(200, { "Content-Type": "text/html", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return ["127.0.0.1", (server.address() as AddressInfo).port];
}
