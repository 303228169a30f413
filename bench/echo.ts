/**
 * `npm run bench:echo`: a line echo over TCP, 50 connections that each wait for their answer before they send the next 64 bytes.
 *
 * In one run: a raw epoll server in C (where a compiler is), Node's `net` with a raw data echo, and ours with `await` and with callbacks. Server and load
 * run in processes of their own, on different cores where `taskset` is. The servers take turns, and what counts is the ratio of each
 * round's pair, as a median with its spread. Then the resident memory of 10,000 idle connections.
 *
 * ROUNDS (5), MILLISECONDS of a measurement (2000), CONNECTIONS (50) and IDLE (10000) are read from the environment.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Socket } from "ioloop";
import { series } from "./measure.js";

const rounds = setting("ROUNDS", 5);
const milliseconds = setting("MILLISECONDS", 2000);
const connections = setting("CONNECTIONS", 50);
const idle = setting("IDLE", 10_000);

function setting(name: string, otherwise: number): number {
  return Number(process.env[name] ?? otherwise);
}

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ioloop-bench-"));
const pinned = cpus().length > 1 && succeeds("taskset", ["-c", "0", "true"]);

function succeeds(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

/** Builds one of the C programs; `undefined` without a compiler. */
function build(name: string): string | undefined {
  const path = join(folder, name);
  return succeeds("cc", ["-O2", "-o", path, join(here, "c", `${name}.c`)]) ? path : undefined;
}

/** The command that runs `command` on one core. */
function onCore(core: number, command: string, args: readonly string[]): [string, string[]] {
  return pinned ? ["taskset", ["-c", String(core), command, ...args]] : [command, [...args]];
}

const typescript = (file: string, ...args: string[]): [string, string[]] => [
  process.execPath,
  ["--expose-gc", "--import", "tsx", join(here, file), ...args],
];

/** A server in a process of its own. */
class Server {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  port = 0;

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(...onCore(0, command, args), { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async start(): Promise<this> {
    this.port = Number(await this.line());
    return this;
  }

  async line(): Promise<string> {
    return (await this.#lines.next()).value as string;
  }

  /** How many connections it has, and its resident memory in bytes. */
  async memory(): Promise<[count: number, bytes: number]> {
    this.#child.stdin?.write("\n");
    const [count = NaN, bytes = NaN] = (await this.line()).split(" ").map(Number);
    return [count, bytes];
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill();
    await gone;
  }
}

/** Answers per second of a server under load. */
function answers(server: Server, load: string | undefined): number {
  const args = [String(server.port), String(connections), String(milliseconds)];
  const [command, all] = load === undefined ? typescript("echo-load.ts", ...args) : ([load, args] as const);
  return Number(execFileSync(...onCore(1, command, all), { encoding: "utf8" }));
}

/** asyncio's own streams, on uvloop where that is installed. */
const UVLOOP = `
import asyncio, uvloop
async def echo(reader, writer):
    try:
        while True:
            writer.write(await reader.readuntil(b"\\n"))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.install()
asyncio.run(main())
`;

interface Contender {
  readonly name: string;
  readonly command: readonly [string, readonly string[]];
  readonly results: number[];
}

async function measureEcho(): Promise<void> {
  const load = build("load");
  const c = build("echo");
  const contenders: Contender[] = [
    ...(c === undefined ? [] : [{ name: "epoll in C", command: [c, []] as const, results: [] }]),
    { name: "Node net", command: typescript("echo-server.ts", "net"), results: [] },
    { name: "await", command: typescript("echo-server.ts", "await"), results: [] },
    { name: "callbacks", command: typescript("echo-server.ts", "callback"), results: [] },
    { name: "Node net, lines", command: typescript("echo-server.ts", "net-lines"), results: [] },
    { name: "asyncio", command: typescript("echo-server.ts", "asyncio"), results: [] },
    ...(succeeds("python3", ["-c", "import uvloop"])
      ? [{ name: "uvloop", command: ["python3", ["-c", UVLOOP]] as const, results: [] }]
      : []),
  ];
  // The first round warms the machine up.
  for (let round = -1; round < rounds; round++) {
    for (const { command, results } of contenders) {
      const server = await new Server(...command).start();
      const result = answers(server, load);
      await server.stop();
      if (round >= 0) results.push(result);
    }
  }
  console.log(
    `${connections} connections, 64-byte lines, load in ${load === undefined ? "Node" : "C"}${pinned ? ", pinned" : ", not pinned"}`,
  );
  for (const { name, results } of contenders) {
    const { median, min, max } = series(name, results);
    console.log(`  ${name.padEnd(16)} ${whole(median)} answers/s   (${whole(min)} to ${whole(max)})`);
  }
  const byName = new Map(contenders.map((each) => [each.name, each.results]));
  const pairs = [
    ["await", "Node net", 1.2],
    ["await", "epoll in C", 0.8],
    ["callbacks", "epoll in C", 0.85],
    ["callbacks", "Node net", undefined],
    ["asyncio", "Node net, lines", 1],
    ["asyncio", "uvloop", 1],
  ] as const;
  for (const [one, other, wanted] of pairs) {
    const theirs = byName.get(other);
    if (theirs === undefined) continue;
    const ratio = series(
      "ratio",
      (byName.get(one) ?? []).map((each, round) => each / (theirs[round] ?? NaN)),
    );
    const aim = wanted === undefined ? "" : `, at least ${wanted} wanted`;
    console.log(`  ${one} / ${other}: ${ratio.median.toFixed(2)}   (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}${aim})`);
  }
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en").padStart(9);
}

/** Connections that do nothing, each with a read waiting at the server. */
async function measureIdle(): Promise<void> {
  for (const kind of ["idle", "idle-net"]) {
    const server = await new Server(...typescript("echo-server.ts", kind)).start();
    const open = (count: number): Socket[] =>
      Array.from({ length: count }, () => {
        const socket = new Socket();
        socket.connect(["127.0.0.1", server.port]);
        return socket;
      });
    // Some first, so that what is there once is not counted.
    const sockets = open(100);
    const [, before] = await countOf(server, 100);
    while (sockets.length < idle + 100) {
      sockets.push(...open(Math.min(200, idle + 100 - sockets.length)));
      await countOf(server, sockets.length);
    }
    const [, after] = await countOf(server, sockets.length);
    const name = kind === "idle" ? "await readUntil" : "Node net";
    console.log(`  ${name.padEnd(16)} ${((after - before) / idle / 1024).toFixed(2)} KB for each of ${idle} idle connections`);
    for (const socket of sockets) socket.close();
    await server.stop();
  }
}

async function countOf(server: Server, wanted: number): Promise<[count: number, bytes: number]> {
  for (;;) {
    const memory = await server.memory();
    if (memory[0] >= wanted) return memory;
    // Asking makes the server collect garbage; meanwhile it accepts nothing.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

try {
  await measureEcho();
  await measureIdle();
} finally {
  rmSync(folder, { recursive: true });
}
