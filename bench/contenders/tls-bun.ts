/** The echo of `tls-ioloop.ts` by `Bun.listen`. */
import { ready } from "./ready.js";

interface BunSocket {
  write(data: Uint8Array): number;
}

/** The part of Bun that is used here. */
declare const Bun: {
  listen(options: {
    port: number;
    hostname: string;
    tls: { cert: string; key: string };
    socket: { data(socket: BunSocket, data: Uint8Array): void };
  }): { readonly port: number };
};

const { TLS_CERT: cert = "", TLS_KEY: key = "" } = process.env;
const server = Bun.listen({
  port: 0,
  hostname: "127.0.0.1",
  tls: { cert, key },
  socket: {
    data(socket, data) {
      // Lines of 64 bytes, each waited for: they always fit.
      if (socket.write(data) !== data.length) throw new Error("The socket did not take a whole line");
    },
  },
});
ready(server.port);
