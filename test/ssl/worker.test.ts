/** TLS in worker threads, whose end must not take the process with it, in whichever state their connections are. */
import { expect } from "chai";
import { runFile } from "../support/child.js";

describe("TLS in a worker", () => {
  it("S190 speaks; the worker closes and ends, exits, or is terminated, with native callbacks in place", async function () {
    this.timeout(30_000);
    const { stdout, stderr, code, signal } = await runFile("test/fixtures/tls-workers.ts");
    expect({ stdout, stderr, code, signal }).to.deep.equal({
      stdout: "end hello x\nexit hello x\nwait hello x\n",
      stderr: "",
      code: 0,
      signal: null,
    });
  });
});
