/** An echo server on `Bun.listen`: `bun bun.js`. Prints the port, then serves; see `followStandardInput`. */
import { followStandardInput } from "./standard-input.js";

interface BunSocket {
  write(data: Uint8Array): number;
  setNoDelay(on: boolean): void;
}

/** What is used of Bun's global; its own type package would describe itself to the whole project. */
declare const Bun: {
  listen(options: {
    hostname: string;
    port: number;
    socket: { open(socket: BunSocket): void; close(): void; data(socket: BunSocket, data: Uint8Array): void };
  }): { readonly port: number };
  gc(force: boolean): void;
};

let connections = 0;
const listener = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open: (socket) => {
      connections++;
      socket.setNoDelay(true);
    },
    close: () => {
      connections--;
    },
    data: (socket, data) => {
      // Lines are small and their sender waits for them: the kernel always has room.
      if (socket.write(data) !== data.length) throw new Error("The kernel did not take a line as a whole");
    },
  },
});
followStandardInput(
  () => connections,
  () => {
    Bun.gc(true);
  },
);
console.log(listener.port);
