/** That an `await` inside a callback, timeout, handler or wake goes on, on every Node and however the loop waits (issue 2; H8, H9). */
import { expect } from "chai";
import { runFile } from "../support/child.js";
import { childSetups } from "../support/child-setups.js";
import { onEachNode } from "../support/nodes.js";

interface Report {
  readonly went: readonly string[];
  readonly failures: readonly string[];
  readonly marks: readonly string[];
}

describe("H9 an await inside what the loop runs goes on, and costs what it always costs", function () {
  this.timeout(30_000);
  onEachNode((_, execPath) => async () => {
    const runs = childSetups.map(async ({ name, env }) => ({
      name,
      result: await runFile("test/fixtures/await-program.ts", { execPath, env, timeLimit: 15 }),
    }));
    for (const { name, result } of await Promise.all(runs)) {
      expect(result.code, `${name}: ${result.stderr}`).to.equal(0);
      const { went, failures, marks } = JSON.parse(result.stdout) as Report;
      expect(went, name).to.deep.equal(["callback", "timeout", "handler", "wake handle"]);
      expect(failures, name).to.deep.equal(["Error: thrown in a handler"]);
      // An AsyncLocalStorage that the loop had left in use would mark every promise, and make every await four times as slow up to Node 22.
      expect(marks, name).to.deep.equal([]);
    }
  });
});
