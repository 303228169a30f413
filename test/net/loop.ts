/** What the tests of servers and clients share: a loop that runs while a test's body does, and plain sockets as the other end. */
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { AF_INET, AF_INET6, type InetAddress, Socket } from "../../src/platform/index.js";
import { makeLoop } from "../support/loop.js";

/** Runs `body` on a new loop, which ends with it. */
export async function onLoop(body: (loop: PollIOLoop) => PromiseLike<unknown>): Promise<void> {
  const loop = makeLoop();
  await loop.runSync(() => body(loop), { timeout: 8 });
}

/** Lets the loop go round so many times, with a wait for descriptors in each. */
export async function rounds(loop: PollIOLoop, count = 3): Promise<void> {
  for (let round = 0; round < count; round++) await new Promise<void>((resolve) => loop.callLater(0.001, resolve));
}

/** Waits until `done` holds; the run's own limit ends a wait in vain. */
export async function until(loop: PollIOLoop, done: () => boolean): Promise<void> {
  while (!done()) await rounds(loop, 1);
}

/** The port a socket is bound to. */
export function portOf(socket: Socket): number {
  return (socket.getsockname() as InetAddress)[1];
}

/** A client that has connected, or is about to. */
export function client(port: number, host = "127.0.0.1"): Socket {
  const socket = new Socket(host.includes(":") ? AF_INET6 : AF_INET);
  socket.connect([host, port]);
  return socket;
}
