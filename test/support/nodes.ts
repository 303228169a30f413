/**
 * The versions of Node that the package supports, for tests that run a program on each of them in a child process.
 *
 * They lie where `npm run test:nodes -- --install` puts them. The one that runs the tests stands for its own line where that line is not there.
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The oldest version that works, and the newest of each line that is promised; as in scripts/test-nodes.js. */
const VERSIONS = ["20.19", "22", "24", "26"] as const;

export type NodeVersion = (typeof VERSIONS)[number];

/** The program of a version; undefined when it is not on this machine. */
export function nodeProgram(version: NodeVersion): string | undefined {
  const cache = process.env["IOLOOP_NODES"] ?? join(homedir(), ".cache/ioloop-nodes");
  const path = join(cache, version, "node_modules", `node-linux-${process.arch}`, "bin/node");
  if (existsSync(path)) return path;
  return process.versions.node.startsWith(`${version.split(".")[0] ?? ""}.`) ? process.execPath : undefined;
}

/**
 * A test for each version; one that is not on this machine is skipped and says how to get it.
 *
 *     describe("H12 on every Node", () => onEachNode((version, execPath) => async () => { await runFile(path, { execPath }); }));
 */
export function onEachNode(body: (version: NodeVersion, execPath: string) => Mocha.AsyncFunc): void {
  for (const version of VERSIONS) {
    const execPath = nodeProgram(version);
    if (execPath === undefined) it(`skipped: no Node ${version} (npm run test:nodes -- --install fetches it)`);
    else it(`Node ${version}`, body(version, execPath));
  }
}
