import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { cpuCount } from "../../src/process/index.js";
import { projectRoot, typescriptLoader } from "../support/child.js";
import { settle } from "../support/real-timers.js";
import { greet, greetWorker, Program } from "./program.js";

const SERVER = "test/process/programs/workers.ts";
const INHERIT = "test/process/programs/inherit.ts";
const READY = /^worker (\d+) pid (\d+) port (\d+)$/;

/** A server whose workers serve, and their port. */
async function serving(count: number, maxRestarts = 100, how = "fork"): Promise<{ program: Program; port: number }> {
  const program = new Program(SERVER, String(count), String(maxRestarts), how);
  const ready = await program.say(READY, count);
  return { program, port: Number(ready[0]![3]) };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

let runs = 0;

/** The lines of a scenario of `inherit.ts`, which ends by itself with status 0. */
async function scenario(name: string): Promise<string[]> {
  await using program = new Program(INHERIT, name, `${process.pid}-${++runs}`);
  expect(await program.end(), program.lines.join("\n")).to.equal(0);
  return program.lines.filter((line) => !line.startsWith("["));
}

describe("forkProcesses", function () {
  this.timeout(90_000);

  it("N94 runs the program again for each worker, and goes on in the workers alone", async () => {
    const { program, port } = await serving(2);
    await using _program = program;
    const ready = program.matching(READY);
    expect(ready.map(([, id]) => id).toSorted()).to.deep.equal(["0", "1"]);
    // N95: one port for all.
    expect(new Set(ready.map(([, , , each]) => each))).to.deep.equal(new Set([String(port)]));
    // What stands before the call runs everywhere, and there taskId() knows already.
    expect(
      program
        .matching(/^begin (.*)$/)
        .map(([, id]) => id)
        .toSorted(),
    ).to.deep.equal(["0", "1", "undefined"]);
    const pids = ready.map(([, , pid]) => Number(pid));
    expect(pids).not.to.include(program.process.pid);
    const { socket, pid } = await greet(port);
    expect(pids).to.include(pid);
    socket.destroy();
  });

  it("N94 takes 0 and nothing for one worker on each processor", async () => {
    const lines = await scenario("everyProcessor");
    expect(lines).to.deep.equal(Array.from({ length: cpuCount() }, () => "worker is one of them"));
  });

  it("N94 refuses wrong arguments and a second call", async () => {
    const again = "again: forkProcesses() was called before: a program is divided into processes once";
    const errors = ["RangeError", "TypeError", "RangeError", "RangeError", "RangeError", again];
    expect(await scenario("arguments")).to.deep.equal([
      ...errors.map((each) => `supervisor ${each}`),
      ...errors.map((each) => `worker ${each}`),
    ]);
  });

  it("N94 runs source text from the command line, but not from standard input, nor in a worker thread", async () => {
    const source =
      'import("./src/process/index.ts").then(({ forkProcesses }) => forkProcesses(1)).then((id) => console.log("worker", id));';
    const env = { ...process.env, NODE_OPTIONS: undefined, NODE_V8_COVERAGE: undefined };
    const options = { cwd: projectRoot, encoding: "utf8", timeout: 60_000, env } as const;
    const evaluated = spawnSync(process.execPath, ["--import", "tsx", "-e", source], options);
    expect(evaluated.stdout).to.equal("worker 0\n");
    expect(evaluated.status).to.equal(0);
    for (const args of [[], ["-"]]) {
      const piped = spawnSync(process.execPath, ["--import", typescriptLoader, ...args], { ...options, input: source });
      expect(piped.stderr).to.match(/Error: forkProcesses\(\) in a program that was read from standard input/);
    }
    // --import does not reach the worker threads of Node 20.
    const url = JSON.stringify(new URL("../../src/process/index.ts", import.meta.url).href);
    const code = `import(${JSON.stringify(typescriptLoader)}).then(() => import(${url})).then(({ forkProcesses }) => forkProcesses(1))`;
    const thread = new Worker(code, { eval: true, execArgv: [] });
    const [error] = (await once(thread, "error")) as [Error];
    expect(error.message).to.match(/^forkProcesses\(\) in a worker thread/);
  });

  it("N95 gives workers the very sockets that the supervisor bound, whichever way, and binds for real afterwards", async () => {
    const lines = await scenario("same");
    const [supervisor, worker] = lines;
    expect(supervisor).to.match(/^supervisor has (socket:\[\d+\] ?){3}$/);
    expect(worker).to.equal(supervisor!.replace("supervisor", "worker"));
    expect(lines[2]).to.equal("worker binds anew true");
    // N97 for the variable. Nor does a child of the worker get the sockets.
    expect(lines[3]).to.equal("worker has a child that sees [] 0");
    expect(lines).to.have.length(4);
  });

  it("N95 refuses a call in a worker that the supervisor did not make, or made otherwise", async () => {
    const [mismatch] = await scenario("mismatch");
    expect(mismatch).to.match(
      /^worker fails: bindSockets\(0, .*"backlog":5.*\) in worker 0, where the supervisor made bindSockets\(0, .*"backlog":6/,
    );
    const [more] = await scenario("more");
    expect(more).to.match(
      /^worker fails: bindUnixSocket\(.*\) in worker 0, where the supervisor made no further call: make the same calls/,
    );
  });

  it("N95 closes what no call of the worker claimed", async () => {
    expect(await scenario("unclaimed")).to.deep.equal(["worker closed 1"]);
  });

  it("N96 starts a worker that dies again under its number, which serves on the same port", async () => {
    const { program, port } = await serving(2);
    await using _program = program;
    const first = await greetWorker(port, 1);
    first.socket.write("exit 3\n");
    const [exited] = await program.say(/child 1 \(pid (\d+)\) exited with status 3, restarting$/);
    expect(exited!.input).to.match(/^\[general\] warn: /);
    expect(Number(exited![1])).to.equal(first.pid);
    await program.say(READY, 3);
    const second = await greetWorker(port, 1);
    expect(second.pid).not.to.equal(first.pid);
    process.kill(second.pid, "SIGKILL");
    await program.say(new RegExp(`child 1 \\(pid ${second.pid}\\) killed by signal 9, restarting$`));
    await program.say(READY, 4);
    const third = await greetWorker(port, 1);
    expect(third.pid).not.to.equal(second.pid);
    third.socket.destroy();
  });

  it("N96 loses no connection that waits while the only worker is dead", async () => {
    const { program, port } = await serving(1);
    await using _program = program;
    const first = await greet(port);
    process.kill(first.pid, "SIGSTOP");
    const waiting = connect(port, "127.0.0.1");
    await once(waiting, "connect");
    process.kill(first.pid, "SIGKILL");
    const [line] = (await once(waiting, "data")) as [Buffer];
    expect(Number(line.toString().split(" ")[1])).not.to.equal(first.pid);
    waiting.destroy();
    first.socket.destroy();
  });

  it("N96 takes status 0 for final, and ends with 0 when all have ended so", async () => {
    const { program, port } = await serving(2);
    await using _program = program;
    const [zero, one] = [await greetWorker(port, 0), await greetWorker(port, 1)];
    zero.socket.write("exit 0\n");
    await program.say(new RegExp(`^\\[general\\] info: child 0 \\(pid ${zero.pid}\\) exited normally$`));
    expect(program.process.exitCode).to.equal(null);
    one.socket.write("exit 0\n");
    expect(await program.end()).to.equal(0);
    expect(program.matching(READY)).to.have.length(2);
  });

  it("N96 gives up after more restarts than allowed, and ends the other workers", async () => {
    const { program, port } = await serving(2, 1);
    await using _program = program;
    const pids = program.matching(READY).map(([, , pid]) => Number(pid));
    (await greetWorker(port, 0)).socket.write("exit 3\n");
    await program.say(READY, 3);
    (await greetWorker(port, 0)).socket.write("exit 4\n");
    // Nobody catches the rejection, so it ends the supervisor.
    expect(await program.end()).to.equal(1);
    expect(program.matching(/Error: Too many child restarts, giving up/)).not.to.deep.equal([]);
    expect(await settle(() => !pids.some(alive), 5000)).to.equal(true);
    expect(program.matching(READY)).to.have.length(3);
  });

  it("N96 tells the other workers to end also where the program catches the rejection", async () => {
    const lines = await scenario("caught");
    expect(lines.toSorted()).to.deep.equal([
      "supervisor caught: Too many child restarts, giving up",
      "worker is ready",
      "worker is ready",
      "worker is told to end",
    ]);
  });

  it("N96 accepts nothing in the supervisor, though it served before", async () => {
    expect(await scenario("accepting")).to.deep.equal(["worker finds 5 waiting"]);
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`N97 passes ${signal} on, restarts nothing and ends when the workers have`, async () => {
      const { program } = await serving(2);
      await using _program = program;
      const pids = program.matching(READY).map(([, , pid]) => Number(pid));
      program.process.kill(signal);
      expect(await program.end()).to.equal(0);
      expect(pids.some(alive)).to.equal(false);
      expect(program.matching(READY)).to.have.length(2);
      expect(program.matching(/restarting/)).to.deep.equal([]);
    });
  }

  it("N97 takes the mark of a worker out of its environment", async () => {
    const { program, port } = await serving(1);
    await using _program = program;
    const { socket } = await greet(port);
    socket.write("environment\n");
    const [line] = (await once(socket, "data")) as [Buffer];
    expect(line.toString()).to.equal("undefined\n");
    socket.destroy();
  });

  it("N73 serves in the workers of TCPServer.start(n), and nothing in the supervisor", async () => {
    const { program, port } = await serving(2, 100, "start");
    await using _program = program;
    // Where start() returned its promise, nothing was served yet; the supervisor never gets any further.
    expect(program.matching(/^after start: serves 0$/)).to.have.length(3);
    expect(program.matching(READY)).to.have.length(2);
    const workers = program.matching(READY).map(([, , pid]) => Number(pid));
    for (let i = 0; i < 4; i++) {
      const { socket, pid } = await greet(port);
      expect(workers).to.include(pid);
      socket.destroy();
    }
  });
});
