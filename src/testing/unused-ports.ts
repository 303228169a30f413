/** Ports for tests. Depends on `net`. */
import { bindSockets } from "../net/index.js";
import { AF_INET, type InetAddress, Socket } from "../platform/index.js";
import { checkFlag } from "../process/index.js";

function portOf(socket: Socket): number {
  return (socket.getsockname() as InetAddress)[1];
}

/**
 * A listening socket on a port that the system chose, and the port. The socket is the caller's to close, or a server's.
 *
 * Tornado: `bind_unused_port`.
 *
 * @param address - a literal, so that no name has to be looked up
 */
export function bindUnusedPort(reusePort = false, address = "127.0.0.1"): [Socket, number] {
  checkFlag("reusePort", reusePort);
  const [socket] = bindSockets(0, address, { reusePort });
  return [socket as Socket, portOf(socket as Socket)];
}

/**
 * A port of 127.0.0.1 that refuses connections (ECONNREFUSED) until `cleanup` is called, and nobody else gets meanwhile.
 *
 * Tornado: `refusing_port`.
 */
export function refusingPort(): [cleanup: () => void, port: number] {
  const socket = new Socket(AF_INET);
  // Bound and not listening: the number is taken, and nobody is there.
  socket.bind(["127.0.0.1", 0]);
  return [() => socket.close(), portOf(socket)];
}
