/**
 * The documents: their code runs and type-checks, their links lead somewhere, their commands exist.
 *
 * A block of code is run when its first line is ```ts run. What its comments at the ends of `console.log` lines promise has to be printed:
 * `console.log(x); // text`.
 */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { type ChildResult, projectRoot, runSource } from "./support/child.js";

const run = promisify(execFile);

const documents = [
  ...readdirSync(projectRoot).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(projectRoot, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md") && !name.startsWith("api/"))
    .map((name) => join("docs", name)),
];

interface Sample {
  readonly title: string;
  readonly code: string;
}

function samplesIn(path: string): Sample[] {
  const text = readFileSync(join(projectRoot, path), "utf8");
  return [...text.matchAll(/^```ts run\n(.*?)^```$/gms)].map((match) => ({
    title: `${path}, line ${text.slice(0, match.index).split("\n").length}`,
    code: match[1] ?? "",
  }));
}

/** What the sample's own comments say that it prints. */
function promisedOutput(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\);? \/\/ (.+)$/gm)].map((match) => match[1] ?? "");
}

const samples = documents.flatMap(samplesIn);

describe("documents", function () {
  this.timeout(60_000);

  it("have samples that run", () => {
    expect(samples.length).to.be.at.least(3);
  });

  describe("samples", () => {
    const results = new Map<string, ChildResult>();

    before(async () => {
      // Two at a time: each waits more than it computes.
      const left = [...samples];
      const runInTurn = async (): Promise<void> => {
        for (let sample = left.shift(); sample !== undefined; sample = left.shift()) {
          results.set(sample.title, await runSource(sample.code));
        }
      };
      await Promise.all([runInTurn(), runInTurn()]);
    });

    for (const { title, code } of samples) {
      it(`run: ${title}`, () => {
        const result = results.get(title)!;
        expect(result.stderr).to.equal("");
        expect(result.code).to.equal(0);
        for (const line of promisedOutput(code)) expect(result.stdout.split("\n")).to.include(line);
      });
    }
  });

  it("have samples that type-check under the project's own settings", async () => {
    const folder = join(projectRoot, ".tmp", `docs-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    try {
      for (const [index, { code }] of samples.entries()) writeFileSync(join(folder, `${index}.ts`), code);
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"] }));
      // In a process of its own: the compiler would leave this one a heap that every later test's garbage collection has to go through.
      const compiler = join(projectRoot, "node_modules/typescript/bin/tsc");
      const { stdout } = await run(process.execPath, [compiler, "-p", folder]).catch((error: unknown) => error as { stdout: string });
      expect(stdout).to.equal("");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  for (const path of documents) {
    it(`have links that lead somewhere: ${path}`, () => {
      const text = readFileSync(join(projectRoot, path), "utf8").replace(/^```.*?^```$/gms, "");
      const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
      const dead = targets.filter((target) => !/^[a-z]+:/.test(target) && !existsSync(resolve(projectRoot, dirname(path), target)));
      expect(dead).to.deep.equal([]);
    });

    it(`name only npm scripts that exist: ${path}`, () => {
      const { scripts } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as { scripts: Record<string, string> };
      const named = [...readFileSync(join(projectRoot, path), "utf8").matchAll(/\bnpm run ([\w:]+)/g)].map((match) => match[1] ?? "");
      expect(named.filter((name) => !(name in scripts))).to.deep.equal([]);
    });
  }
});
