/** H12: which AsyncLocalStorage stores the functions see that a loop runs. The scenarios are in test/fixtures/context-scenarios.ts. */
import { expect } from "chai";
import { Future } from "../../src/concurrent/index.js";
import { IOLoop, PeriodicCallback } from "../../src/ioloop/index.js";
import { closeDescriptor, pipe, writeDescriptor } from "../../src/platform/index.js";
import { scenarios } from "../fixtures/context-scenarios.js";
import type { Package, ScenarioResult, Seen } from "../fixtures/context-scenarios.js";
import { runFile } from "../support/child.js";
import type { ChildResult } from "../support/child.js";
import { childSetups } from "../support/child-setups.js";
import type { ChildSetup } from "../support/child-setups.js";
import { eachCombination } from "../support/combinations.js";
import { onEachNode } from "../support/nodes.js";
import type { NodeVersion } from "../support/nodes.js";

const ioloop: Package = { Future, PeriodicCallback, READ: IOLoop.READ, pipe, writeDescriptor, closeDescriptor };

function check(title: string, seen: Seen): void {
  for (const [what, found, expected] of seen) expect(found, `${title}: ${what}`).to.equal(expected);
}

describe("async context of what a loop runs", () => {
  eachCombination((_, makeLoop) => {
    for (const { title, run } of scenarios) {
      it(`H12 ${title}`, async () => {
        const seen = await run(makeLoop(), ioloop);
        expect(seen).to.not.be.empty;
        check(title, seen);
      });
    }
  });
});

/** Where a version can keep the stores in another way than by default, the option that makes it. */
const OTHER_WAY: Partial<Record<NodeVersion, string>> = {
  "22": "--experimental-async-context-frame",
  "24": "--no-async-context-frame",
  "26": "--no-async-context-frame",
};

describe("H12 on every Node, with the package imported inside a store", function () {
  this.timeout(30_000);
  onEachNode((version, execPath) => async () => {
    const other = OTHER_WAY[version];
    const run = async ({ name, env }: ChildSetup, nodeOptions: string[] = []): Promise<{ where: string; result: ChildResult }> => ({
      where: [name, ...nodeOptions].join(", "),
      result: await runFile("test/fixtures/context-program.ts", { execPath, env, nodeOptions }),
    });
    const runs = [...childSetups.map((setup) => run(setup)), ...(other === undefined ? [] : [run(childSetups[0]!, [other])])];
    for (const { where, result } of await Promise.all(runs)) {
      expect(result.code, `${where}: ${result.stderr}`).to.equal(0);
      const results = JSON.parse(result.stdout) as ScenarioResult;
      expect(results.length, where).to.equal(scenarios.length + 1);
      for (const { title, seen } of results) check(`${where}: ${title}`, seen);
    }
  });
});

describe("H12 on every Node, with callbacks queued before the first store of the process", function () {
  this.timeout(30_000);
  onEachNode((version, execPath) => async () => {
    const other = OTHER_WAY[version];
    for (const nodeOptions of other === undefined ? [[]] : [[], [other]]) {
      const result = await runFile("test/fixtures/first-store-program.ts", { execPath, nodeOptions });
      const where = nodeOptions.join() || version;
      expect(result.code, `${where}: ${result.stderr}`).to.equal(0);
      expect(JSON.parse(result.stdout), where).to.deep.equal([
        "first: none",
        "second: none",
        "with an argument: none",
        "in a store: run",
        "after it: none",
        "added by the first: entered",
      ]);
    }
  });
});
