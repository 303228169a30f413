/** The rules that keep the design's import order really fire: a resolver that finds nothing would let everything through. */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectRoot } from "./support/child.js";

/** A small library with one fault of each kind. */
const FILES = {
  "src/log.ts": "export const log = 1;\n",
  "src/platform/descriptors.ts": "export const fd = 1;\n",
  "src/platform/index.ts": 'export { fd } from "./descriptors.js";\n',
  "src/concurrent/future.ts": 'import { log } from "../log.js";\nexport class Future {\n  log = log;\n}\n',
  "src/concurrent/index.ts": 'export { Future } from "./future.js";\n',
  "src/ioloop/index.ts":
    'import { Future } from "../concurrent/index.js";\nimport { fd } from "../platform/index.js";\nexport const all = [Future, fd];\n',
  // What is not below it, as a value and as a type.
  "src/concurrent/beside.ts": 'import "../platform/index.js";\n',
  "src/platform/above.ts": 'import type { Future } from "../concurrent/index.js";\nexport type F = Future;\n',
  "src/ioloop/inner.ts": 'import "../concurrent/future.js";\n',
  "src/ioloop/cycle-a.ts": 'import "./cycle-b.js";\n',
  "src/ioloop/cycle-b.ts": 'import "./cycle-a.js";\n',
  "src/misc.ts": 'import "./log.js";\n',
  "src/ioloop/nowhere.ts": 'import "./missing.js";\n',
};

interface Violation {
  readonly from: string;
  readonly rule: { readonly name: string };
}

describe("import order", function () {
  this.timeout(60_000);
  const folder = join(projectRoot, ".tmp", `imports-${process.pid}`);
  let violations: string[];

  before(async () => {
    for (const [name, text] of Object.entries(FILES)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    cpSync(join(projectRoot, "tsconfig.json"), join(folder, "tsconfig.json"));
    const cruise = join(projectRoot, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
    const command = [cruise, "--output-type", "json", "--config", join(projectRoot, ".dependency-cruiser.js"), "src"];
    const output = await new Promise<string>((resolve) => {
      execFile(process.execPath, command, { cwd: folder }, (_error, stdout) => resolve(stdout));
    });
    const { summary } = JSON.parse(output) as { summary: { violations: Violation[] } };
    violations = summary.violations.map(({ from, rule }) => `${from}: ${rule.name}`);
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  it("refuses what is above or beside a part", () => {
    expect(violations).to.include("src/concurrent/beside.ts: concurrent-only-imports-what-is-below");
  });

  it("refuses a type from above", () => {
    expect(violations).to.include("src/platform/above.ts: platform-only-imports-what-is-below");
  });

  it("refuses another folder's inner file", () => {
    expect(violations).to.include("src/ioloop/inner.ts: only-through-the-index");
  });

  it("refuses a cycle", () => {
    expect(violations).to.include("src/ioloop/cycle-a.ts: no-cycles");
  });

  it("refuses a part that is in no list", () => {
    expect(violations).to.include("src/misc.ts: every-part-is-listed");
  });

  it("refuses a file that is not there", () => {
    expect(violations).to.include("src/ioloop/nowhere.ts: no-unresolvable");
  });

  it("lets everything else pass", () => {
    expect(violations).to.have.length(6);
  });
});
