/** That an idle loop sleeps (H3 of docs/spec/ioloop.md; issue 2), in processes of their own, where nothing else uses the CPU. */
import { expect } from "chai";
import { runFile } from "../support/child.js";
import { childSetups } from "../support/child-setups.js";

describe("an idle loop", function () {
  this.timeout(20_000);

  for (const { name, env } of childSetups) {
    it(`H3 sleeps: empty, with timeouts far away, and with a descriptor closed behind its back (${name})`, async () => {
      const result = await runFile("test/fixtures/idle.ts", { env });
      expect(result.code, result.stderr).to.equal(0);
      const { cpuMilliseconds, iterations } = JSON.parse(result.stdout) as { cpuMilliseconds: number; iterations: number[] };
      // Three loops, one second. A spinning one takes all of it.
      expect(cpuMilliseconds).to.be.below(60);
      expect(iterations).to.have.lengthOf(3);
      for (const count of iterations) expect(count).to.be.at.most(5);
    });
  }
});
