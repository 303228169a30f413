/** The services of `tls-ioloop.ts` by `node:tls`: `tls-node.ts echo|source|sink`. The echo is of data as they come: Node has no lines. */
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { ready } from "./ready.js";

const CHUNK = 65_536;

const services: Record<string, (socket: TLSSocket) => void> = {
  echo: (socket) => {
    socket.on("data", (data: Buffer) => socket.write(data));
  },
  source: (socket) => {
    const chunk = Buffer.alloc(CHUNK, "x");
    const fill = (): void => {
      while (socket.write(chunk));
    };
    socket.on("drain", fill);
    fill();
  },
  sink: (socket) => {
    socket.on("data", () => undefined);
  },
};
const serve = services[process.argv[2] ?? ""];
if (serve === undefined) throw new Error(`Unknown service ${String(process.argv[2])}`);

const { TLS_CERT: cert = "", TLS_KEY: key = "" } = process.env;
const server = createServer({ cert, key, noDelay: true }, (socket) => {
  socket.on("error", () => undefined);
  serve(socket);
});
server.listen(0, "127.0.0.1", 1024, () => {
  ready((server.address() as AddressInfo).port);
});
