/**
 * What several processes carry: `npm run bench:processes`.
 *
 * A server whose requests take time to compute (SHA-256 of 16 MB, about ten milliseconds) is asked by clients that each wait for the answer, on
 * a connection for each request. One worker against two, in turns. Clients and supervisor take next to nothing, so on two idle cores the ratio
 * comes near 2; on one core it is 1. On a machine that is busy otherwise, compare it with the second line: the same computing without a server.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { cpuCount, type InetAddress, IOLoop, type IOStream, TCPServer } from "../src/index.js";
import { compare, printComparisons, type Variant, wallMilliseconds } from "./measure.js";

const REQUESTS = 120;
const CLIENTS = 8;
const ROUNDS = 7;

class HashServer extends TCPServer {
  readonly #data = Buffer.alloc(16 << 20, "0123456789abcdef");

  override async handleStream(stream: IOStream): Promise<void> {
    await stream.readUntil("\n");
    await stream.write(`${createHash("sha256").update(this.#data).digest("hex")}\n`);
    stream.close();
  }
}

/** This program as the server, with so many workers; the port goes to standard output when one of them serves. */
async function serve(workers: number): Promise<void> {
  const server = new HashServer();
  server.bind(0, "127.0.0.1");
  const [, port] = server._pendingSockets[0]?.getsockname() as InetAddress;
  // One process is the server itself; there is nobody to supervise.
  await server.start(workers);
  console.log(port);
  await IOLoop.current().start();
}

interface Server {
  readonly port: number;
  stop(): Promise<void>;
}

async function startServer(workers: number): Promise<Server> {
  const args = ["--import", "tsx", import.meta.filename, "serve", String(workers)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let port = 0;
  for (let i = 0; i < workers; i++) port = Number(((await lines.next()) as { value: string }).value);
  return {
    port,
    stop: async () => {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

async function request(port: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.write("hash\n");
  socket.resume();
  await once(socket, "close");
}

/** All requests, by clients that each send the next when they have an answer. */
async function load(port: number): Promise<void> {
  let left = REQUESTS;
  const client = async (): Promise<void> => {
    while (left-- > 0) await request(port);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** The same computing without any server, split over so many processes: what the machine has to give at this time. */
function bare(processes: number): Variant {
  const hash = 'require("node:crypto").createHash("sha256").update(data).digest()';
  const code = `const data = Buffer.alloc(16 << 20, "0123456789abcdef"); for (let i = 0; i < ${REQUESTS / processes}; i++) ${hash};`;
  const run = (): Promise<unknown> => once(spawn(process.execPath, ["-e", code], { stdio: "inherit" }), "exit");
  return {
    name: processes === 1 ? "one process" : "two processes",
    run: () =>
      wallMilliseconds(async () => {
        await Promise.all(Array.from({ length: processes }, run));
      }),
  };
}

async function main(): Promise<void> {
  const [one, two] = [await startServer(1), await startServer(2)];
  const variant = (name: string, server: Server): Variant => ({ name, run: () => wallMilliseconds(() => load(server.port)) });
  const title = `${REQUESTS} requests of 16 MB SHA-256, ${CLIENTS} clients, ${cpuCount()} processors`;
  try {
    printComparisons([
      await compare(title, REQUESTS, variant("two processes", two), variant("one process", one), ROUNDS),
      await compare("the same hashes without a server", REQUESTS, bare(2), bare(1), ROUNDS),
    ]);
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
}

const [mode, workers] = process.argv.slice(2);
if (mode === "serve") await serve(Number(workers));
else await main();
