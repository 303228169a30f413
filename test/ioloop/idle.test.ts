/** That an idle loop sleeps (H3 of docs/spec/ioloop.md; issue 2), in processes of their own, where nothing else uses the CPU. */
import { expect } from "chai";
import { type ChildResult, runFile } from "../support/child.js";
import { childSetups } from "../support/child-setups.js";

describe("an idle loop", function () {
  this.timeout(20_000);

  const results: ChildResult[] = [];

  before(async () => {
    // All at once: their measure is CPU time of their own.
    results.push(...(await Promise.all(childSetups.map(({ env }) => runFile("test/fixtures/idle.ts", { env })))));
  });

  for (const [index, { name }] of childSetups.entries()) {
    it(`H3 sleeps: empty, with timeouts far away, and with a descriptor closed behind its back (${name})`, () => {
      const result = results[index]!;
      expect(result.code, result.stderr).to.equal(0);
      const { cpuMilliseconds, iterations } = JSON.parse(result.stdout) as { cpuMilliseconds: number; iterations: number[] };
      // Three loops, one second. A spinning one takes all of it.
      expect(cpuMilliseconds).to.be.below(150);
      expect(iterations).to.have.lengthOf(3);
      for (const count of iterations) expect(count).to.be.at.most(5);
    });
  }
});
