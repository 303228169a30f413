/** The root hooks themselves: each kind of leftover fails the test that left it, with its name, and spares the next one. */
import { expect } from "chai";
import { runFile } from "./child.js";
import type { ChildResult } from "./child.js";

describe("root hooks", function () {
  this.timeout(30_000);
  let result: ChildResult;

  before(async () => {
    result = await runFile("node_modules/mocha/bin/mocha.js", {
      args: ["--no-config", "--require", "test/support/hooks.ts", "test/fixtures/leftovers.ts"],
      env: { IOLOOP_PATIENCE: "200" },
    });
  });

  const found = (title: string, finding: RegExp): void => {
    const report = result.stdout.split(/\n {2}\d+\) /).find((part) => part.startsWith(`leftovers\n       ${title}:`));
    expect(report, result.stdout).to.match(finding);
  };

  it("report a descriptor left open", () => found("opens a descriptor", /left open: descriptor \d+ \(\/dev\/null\)/));
  it("report a process listener", () => found("adds a process listener", /process listeners left, SIGUSR2: 0 before, 1 after/));
  it("report a timer of Node's", () => found("starts a timer", /keeps the process alive, Timeout/));
  it("report a native callback", () => found("starts a native watch", /native objects left, FFI callbacks and watches: 0 before, 1 after/));
  it("report an unexpected log record", () => found("logs a warning", /unexpected log record \[general\] warn: overheard/));
  it("report an expected log record that did not come", () =>
    found("expects a record", /expected 1 log record\(s\) \[general\] error \/never\/, got 0/));
  it("report an unhandled rejection", () => found("rejects unheard", /unhandled rejection: Error: nobody listens/));
  it("leave everything else alone", () => {
    expect(result.stdout).to.match(/^ +7 failing$/m);
    expect(result.stdout).to.not.match(/\) leaves nothing|\) declares what it does/);
  });
});
