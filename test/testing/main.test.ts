import { expect } from "chai";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, runSource } from "../support/child.js";

describe("main", function () {
  this.timeout(60_000);
  const folder = join(projectRoot, ".tmp", `main-${process.pid}`);
  const program = `
    import { main } from "../src/testing/index.ts";
    const failures = await main(JSON.parse(process.env["MAIN_OPTIONS"] ?? "{}"));
    console.log("failures", failures);
  `;

  /** A test file of two tests that fail and one that passes. */
  function writeTests(): string {
    mkdirSync(folder, { recursive: true });
    const path = join(folder, "some.js");
    writeFileSync(
      path,
      `it("passes", () => {}); it("fails", () => { throw new Error("one"); }); it("fails too", () => { throw new Error("two"); });`,
    );
    return path;
  }

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("N106 runs the files of the command line, answers with the number of failures and sets the exit status", async () => {
    const result = await runSource(program, { args: [writeTests()] });
    expect(result.stdout).to.match(/fails too/);
    expect(result.stdout).to.match(/failures 2\n$/);
    expect(result.code).to.equal(1);
  });

  it("N106 takes files, verbosity and failfast as options", async () => {
    const options = { files: [writeTests()], verbosity: 0, failfast: true };
    const result = await runSource(program, { env: { MAIN_OPTIONS: JSON.stringify(options) } });
    expect(result.stdout).to.match(/failures 1\n$/);
    expect(result.stdout).not.to.match(/✔ passes/);
    expect(result.code).to.equal(1);
  });

  it("N106 complains of no files", async () => {
    const result = await runSource(program);
    expect(result.stderr).to.match(/^No test files/);
    expect(result.stdout).to.equal("failures 1\n");
    expect(result.code).to.equal(1);
  });

  it("N106 says that Mocha is not installed, and refuses wrong options", async () => {
    const source = `
      import { register } from "node:module";
      const hook = "export async function resolve(name, context, next) { if (name === 'mocha') throw new Error('gone'); return next(name, context); }";
      register("data:text/javascript," + encodeURIComponent(hook));
      const { main } = await import("../src/testing/index.ts");
      for (const options of [{ files: ["x.js"] }, { verbosity: 3 }, { files: "x.js" }, { fail: true }]) {
        await main(options as never).then(() => console.log("ran"), (error: Error) => console.log(error.name, error.message));
      }
    `;
    const { stdout } = await runSource(source);
    const lines = stdout.trim().split("\n");
    expect(lines[0]).to.match(/^Error Mocha is not installed, .*npm install --save-dev mocha$/);
    expect(lines[1]).to.match(/^RangeError verbosity is 3/);
    expect(lines[2]).to.match(/^TypeError files is 'x.js'/);
    expect(lines[3]).to.match(/^TypeError Unknown option 'fail' of main\(\)/);
  });
});
