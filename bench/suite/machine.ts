/** What this machine has for `npm run bench`: cores to pin to, compilers and the runtimes that ours is compared with. What is missing is told by name. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { describeNetwork } from "./network.js";

/** What is installed: the command for each, `undefined` for what is not there. */
export interface Machine {
  /** The cores that servers and load run on; `undefined` where they cannot be kept apart (one core, or no `taskset`). */
  readonly cores: { readonly server: number; readonly load: number } | undefined;
  readonly cc: string | undefined;
  readonly bun: string | undefined;
  readonly wrk: string | undefined;
  /** A Python that can import all of these modules. */
  pythonWith(modules: readonly string[]): string | undefined;
}

/** What the results say about where they come from. */
export interface MachineDescription {
  readonly processor: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly kernel: string;
  readonly pinned: string;
  readonly network: string;
  /** Version by name; what is not there is not in it. */
  readonly versions: Readonly<Record<string, string>>;
  /** What is not there, and how it is made known. */
  readonly missing: readonly string[];
}

/** The first line that a command prints; `undefined` where it cannot be run or fails. */
function firstLine(command: string, args: readonly string[]): string | undefined {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: 20_000 });
  // `wrk -v` prints its version and usage, and exits with 1.
  return status === 0 || (status === 1 && command.endsWith("wrk")) ? (`${stdout}${stderr}`.trim().split("\n")[0] ?? "") : undefined;
}

function firstThatRuns(candidates: readonly string[], args: readonly string[]): string | undefined {
  return candidates.find((command) => firstLine(command, args) !== undefined);
}

/** What an environment variable names, instead of what would be looked for. */
function given(variable: string): string[] | undefined {
  const command = process.env[variable];
  return command === undefined ? undefined : [command];
}

/** Looks for everything once. CC, BUN, PYTHON and WRK name what is not on PATH; a name that does not exist leaves the thing out. */
export function findMachine(): Machine {
  const pythons = new Map<string, string | undefined>();
  const localBun = fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url));
  const pinnable = cpus().length > 1 && firstLine("taskset", ["-c", "0,1", "true"]) !== undefined;
  return {
    cores: pinnable ? { server: 0, load: 1 } : undefined,
    cc: firstThatRuns(given("CC") ?? ["cc"], ["--version"]),
    bun: firstThatRuns(given("BUN") ?? [localBun, "bun"], ["--version"]),
    wrk: firstThatRuns(given("WRK") ?? ["wrk"], ["-v"]),
    pythonWith: (modules) => {
      const key = modules.join();
      if (!pythons.has(key)) {
        const imports = modules.map((name) => `import ${name}`).join("\n");
        // The one on PATH may be a version manager's, without the distribution's packages.
        pythons.set(key, firstThatRuns(given("PYTHON") ?? ["python3", "/usr/bin/python3"], ["-c", imports]));
      }
      return pythons.get(key);
    },
  };
}

/** Names, versions, and what is missing. */
export function describeMachine(machine: Machine): MachineDescription {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  const commit = firstLine("git", ["describe", "--always", "--dirty"]);
  const versions: Record<string, string> = {
    ioloop: commit === undefined ? version : `${version}, commit ${commit}`,
    "Node.js": process.versions.node,
  };
  const missing: string[] = [];
  const tell = (name: string, version: string | undefined, remedy: string): void => {
    if (version === undefined) missing.push(`${name} (${remedy})`);
    else versions[name] = version;
  };
  const of = (command: string | undefined, ...args: string[]): string | undefined =>
    command === undefined ? undefined : firstLine(command, args);
  const versionOfModule = (name: string): string | undefined =>
    of(
      machine.pythonWith([name]),
      "-c",
      `import sys, importlib\nm = importlib.import_module("${name}")\nprint(getattr(m, "version", None) or m.__version__, "on Python", sys.version.split()[0])`,
    );
  tell(
    "C compiler",
    of(machine.cc, "--version"),
    "`cc` on PATH, or CC=path; without it there is no epoll server in C, and Node makes the load",
  );
  tell("Bun", of(machine.bun, "--version"), "the npm package `bun`, `bun` on PATH, or BUN=path");
  tell("Tornado", versionOfModule("tornado"), "a `python3` on PATH, /usr/bin/python3 or PYTHON=path, that can import it");
  tell("uvloop", versionOfModule("uvloop"), "a `python3` on PATH, /usr/bin/python3 or PYTHON=path, that can import it");
  tell(
    "wrk",
    of(machine.wrk, "-v")
      ?.replace(/^wrk /, "")
      .replace(/ Copyright.*/, ""),
    "`wrk` on PATH, or WRK=path",
  );
  const processor = /^model name\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch;
  return {
    processor,
    cores: cpus().length,
    memory: totalmem(),
    kernel: `Linux ${release()}`,
    pinned: machine.cores === undefined ? "not pinned" : `servers on core ${machine.cores.server}, load on core ${machine.cores.load}`,
    network: describeNetwork(),
    versions,
    missing,
  };
}
