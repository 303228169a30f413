/** A server that really runs out of descriptors: it takes them all itself. */
import { expect } from "chai";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { projectRoot, typescriptLoader } from "../support/child.js";
import { realDelay, settle } from "../support/real-timers.js";

/** Takes all descriptors but ten; a client that says "free" makes it give a hundred back. */
const PROGRAM = `
  import { closeSync, openSync } from "node:fs";
  import { bindSockets, IOLoop, TCPServer } from "./src/index.ts";
  const taken = [];
  const free = (count) => taken.splice(0, count).forEach((fd) => closeSync(fd));
  class Echo extends TCPServer {
    async handleStream(stream) {
      for await (const chunk of stream) {
        if (chunk.toString() === "free\\n") free(100);
        await stream.write(chunk);
      }
      stream.close();
    }
  }
  const server = new Echo();
  const [socket] = bindSockets(0, "127.0.0.1");
  server.addSocket(socket);
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    free(10);
  }
  console.log(process.pid, socket.getsockname()[1]);
  IOLoop.current().start();
`;

describe("out of descriptors", function () {
  this.timeout(60_000);

  it("N49 N50 a server says so once, keeps the connections it has, and serves the others when it can", async () => {
    const env = { ...process.env, NODE_OPTIONS: undefined, NODE_V8_COVERAGE: undefined };
    const command = 'ulimit -n 256; exec "$0" --import "$1" --input-type=module -e "$2"';
    const child = spawn("/bin/sh", ["-c", command, process.execPath, typescriptLoader, PROGRAM], {
      cwd: projectRoot,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const errors: string[] = [];
    createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
    const clients: Socket[] = [];
    try {
      const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
      const [pid, port] = line.split(" ").map(Number) as [number, number];
      const echoes = new Map<Socket, string>();
      for (let i = 0; i < 30; i++) {
        const client = connect(port, "127.0.0.1");
        client.on("data", (data) => echoes.set(client, (echoes.get(client) ?? "") + data.toString()));
        clients.push(client);
        client.write(`first ${i}\n`);
      }
      expect(await settle(() => errors.length > 0, 10_000), "a warning").to.equal(true);
      expect(await settle(() => echoes.size > 0, 5000), "served").to.equal(true);
      // Several retries pass, silently; what is connected is served meanwhile.
      const cpu = cpuTicks(pid);
      await realDelay(2200);
      expect(cpuTicks(pid) - cpu, "ticks of CPU in two seconds").to.be.below(60);
      const served = clients.filter((client) => echoes.has(client));
      // Node itself gives a few back after its start.
      expect(served.length).to.be.within(1, 20);
      for (const client of served) client.write("again\n");
      expect(await settle(() => served.every((client) => echoes.get(client)?.endsWith("again\n") === true), 5000)).to.equal(true);
      expect(errors).to.deep.equal([
        "[general] warn: Accepting connections fails with EMFILE: trying again every 1 s, until then they wait",
      ]);
      served[0]?.write("free\n");
      const waiting = clients.filter((client) => !served.includes(client));
      expect(await settle(() => waiting.every((client) => echoes.has(client)), 10_000), "all served").to.equal(true);
      expect(errors).to.have.length(1);
    } finally {
      for (const client of clients) client.destroy();
      child.kill();
      await once(child, "close");
    }
  });
});

function cpuTicks(pid: number): number {
  const fields =
    execFileSync("cat", [`/proc/${pid}/stat`])
      .toString()
      .split(") ")[1]
      ?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}
