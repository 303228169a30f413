/**
 * Makes Node open now what it opens at first use and keeps for ever, so that the descriptor count after each test can be exact: the signal pipe
 * (first child process), the thread pool's and the resolver's descriptors, /dev/null and the like.
 */
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { openDescriptors } from "./descriptors.js";
import { settle } from "./real-timers.js";

async function network(): Promise<void> {
  const server = createServer((socket) => socket.end("x")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1").resume();
  await once(client, "close");
  server.close();
  await once(server, "close");
  const datagrams = createSocket("udp4").bind(0, "127.0.0.1");
  await once(datagrams, "listening");
  datagrams.close();
  await once(datagrams, "close");
}

/** Uses each part of Node once and waits until the open descriptors stay as they are. */
export async function warmUp(): Promise<void> {
  await Promise.all([
    network(),
    promisify(execFile)(process.execPath, ["--version"]),
    lookup("localhost"),
    readFile(new URL(import.meta.url)),
    once(new Worker("", { eval: true, stdin: false }), "exit"),
  ]);
  let last = "";
  let same = 0;
  await settle(() => {
    const now = [...openDescriptors().keys()].join();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 10;
  });
}
