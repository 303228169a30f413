/** The example of several processes, run as people run it. */
import { expect } from "chai";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { Program } from "./program.js";

/** A client that speaks in lines. */
function lines(port: number): { socket: Socket; ask: (line: string) => Promise<string> } {
  const socket = connect(port, "127.0.0.1");
  const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  return {
    socket,
    ask: async (line) => {
      socket.write(`${line}\n`);
      const answer = await answers.next();
      return answer.done === true ? "the end" : answer.value;
    },
  };
}

describe("examples/process-pool-server.ts", function () {
  this.timeout(90_000);

  it("counts primes in two workers, survives the death of one, and ends with its supervisor", async () => {
    await using program = new Program("examples/start.ts", "examples/process-pool-server.ts", "0", "2");
    const ready = await program.say(/^worker (\d) counts primes on 127\.0\.0\.1:(\d+)$/, 2);
    const port = Number(ready[0]![2]);
    expect(new Set(ready.map(([, , each]) => Number(each)))).to.deep.equal(new Set([port]));
    const first = lines(port);
    expect(await first.ask("1000000")).to.match(/^worker [01]: 78498$/);
    expect(await first.ask("ten")).to.match(/^worker [01]: a number up to 100000000, please$/);
    expect(await first.ask("die")).to.equal("the end");
    await program.say(/exited with status 1, restarting/);
    const second = lines(port);
    expect(await second.ask("100")).to.match(/^worker [01]: 25$/);
    second.socket.destroy();
    await once(second.socket, "close");
    program.process.kill("SIGINT");
    expect(await program.end()).to.equal(0);
  });
});
