/**
 * A network of the benchmark's own: a namespace (network_namespaces(7)) with nothing but loopback, in which TCP uses Reno.
 *
 * Which congestion control TCP uses is the system's setting. BBR, on some servers the default, spreads what is sent over time by timers, at the rate that
 * it believes the path to have; on loopback that is what the receiver managed a moment ago, so a slow phase holds itself up. Bulk into eight streams went
 * at 2.3 GB/s whatever the receiver did, with the sender asleep for three quarters of the time, and at 4.2 with Reno, which sends when it can.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const MARK = "IOLOOP_BENCH_NETWORK";
const CONTROL = "/proc/sys/net/ipv4/tcp_congestion_control";
const PREPARE = `ip link set lo up && echo reno > ${CONTROL}`;

/** For root, and for everybody else where the system lets them. */
const NAMESPACES = [["--net"], ["--user", "--map-root-user", "--net"]];

/**
 * Runs this process's command once more in a network of its own, to its end.
 *
 * @returns its exit status; `undefined` when this process is in one already, or none can be made
 */
export function runInOwnNetwork(): number | undefined {
  if (process.env[MARK] !== undefined) return undefined;
  const namespace = NAMESPACES.find((flags) => spawnSync("unshare", [...flags, "sh", "-c", PREPARE]).status === 0);
  if (namespace === undefined) return undefined;
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync("unshare", [...namespace, "sh", "-c", `${PREPARE} && exec "$@"`, "sh", ...command], {
    stdio: "inherit",
    env: { ...process.env, [MARK]: "own" },
  });
  return status ?? 1;
}

/** For the report: whose network it is, and its congestion control. */
export function describeNetwork(): string {
  const control = readFileSync(CONTROL, "utf8").trim();
  return process.env[MARK] === undefined
    ? `TCP with ${control}, on the system's network: no namespace could be made (it takes \`unshare\` and \`ip\`)`
    : `TCP with ${control}, in a network namespace of its own`;
}
