/** examples/tcp-echo.ts, server and client. */
import { expect } from "chai";

import { EchoServer, sendLine } from "../../examples/tcp-echo.js";
import { multi } from "../../src/gen/index.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";

describe("examples/tcp-echo.ts", () => {
  it("sends back what each of several clients sent", async () => {
    const loop = makeLoop();
    loop.makeCurrent();
    await loop.runSync(async () => {
      const server = new EchoServer();
      const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
      expect(await multi(lines.map((line) => sendLine(server.address, line)))).to.deep.equal(lines);
      server.close();
      // The server's ends of the connections see that theirs were closed.
      while (loop.statistics().handlers > 0) await nextRound();
    });
  });
});
