/**
 * `npm run bench:tls`: a line echo over TLS 1.3, 50 connections that each wait for their answer before they send the next 64 bytes. Node's own `tls` server
 * against `SSLIOStream`, with `await` and with callbacks, under the same load.
 *
 * Server and load run in processes of their own. The load is about as dear as a server, so answers per second would measure both; what is compared is
 * how many answers a server gives for each second of its own CPU time. The servers take turns, and what counts is the ratio of each round's pair, as a
 * median with its spread.
 *
 * ROUNDS (5), MILLISECONDS of a measurement (2000) and CONNECTIONS (50) are read from the environment.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { testAuthority, testIdentity } from "../test/support/certificates.js";
import { series } from "./measure.js";

const rounds = Number(process.env["ROUNDS"] ?? 5);
const milliseconds = Number(process.env["MILLISECONDS"] ?? 2000);
const connections = Number(process.env["CONNECTIONS"] ?? 50);

const peer = fileURLToPath(new URL("tls-peer.ts", import.meta.url));
const { cert, key } = testIdentity();
const env = { ...process.env, TLS_CERT: cert, TLS_KEY: key, TLS_CA: testAuthority().cert };

/** A process of `tls-peer.ts`. */
class Peer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(...args: string[]) {
    this.#child = spawn(process.execPath, ["--import", "tsx", peer, ...args], { stdio: ["pipe", "pipe", "inherit"], env });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    return (await this.#lines.next()).value as string;
  }

  async cpu(): Promise<number> {
    this.#child.stdin?.write("\n");
    return Number(await this.line());
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill();
    await gone;
  }
}

/** Answers per second, and per second of the server's CPU time. */
async function measure(kind: string): Promise<[perSecond: number, perCpuSecond: number]> {
  const server = new Peer(kind);
  const port = await server.line();
  const load = new Peer("load", port, String(connections), String(milliseconds));
  await load.line();
  const before = await server.cpu();
  const answers = Number(await load.line());
  const used = (await server.cpu()) - before;
  await Promise.all([server.stop(), load.stop()]);
  return [(answers / milliseconds) * 1000, (answers / used) * 1e6];
}

const kinds = ["node", "await", "callback"] as const;
const results = new Map<string, [number, number][]>(kinds.map((kind) => [kind, []]));
// The first round warms the machine up.
for (let round = -1; round < rounds; round++) {
  for (const kind of kinds) {
    const result = await measure(kind);
    if (round >= 0) results.get(kind)?.push(result);
  }
}

const whole = (value: number): string => Math.round(value).toLocaleString("en").padStart(9);
const perCpu = (kind: string): number[] => (results.get(kind) ?? []).map(([, each]) => each);
console.log(`${connections} connections, 64-byte lines, TLS 1.3`);
for (const kind of kinds) {
  const cpu = series(kind, perCpu(kind));
  const clock = series(
    kind,
    (results.get(kind) ?? []).map(([each]) => each),
  );
  console.log(
    `  ${kind.padEnd(10)} ${whole(cpu.median)} answers for a CPU second   (${whole(cpu.min)} to ${whole(cpu.max)}; ${whole(clock.median).trim()} per second)`,
  );
}
for (const kind of ["await", "callback"]) {
  const ratio = series(
    "ratio",
    perCpu(kind).map((each, round) => each / (perCpu("node")[round] ?? NaN)),
  );
  console.log(`  ${kind} / node: ${ratio.median.toFixed(2)}   (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}, at least 1 wanted)`);
}
