/** What workers inherit, for fork-processes.test.ts. Arguments: the scenario, a name that no other run has. */
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { connect } from "node:net";
import {
  addAcceptHandler,
  bindSockets,
  bindUnixSocket,
  forkProcesses,
  type InetAddress,
  IOLoop,
  type Socket,
  Subprocess,
  taskId,
} from "../../../src/index.js";

const [scenario, unique] = process.argv.slice(2);
const inWorker = taskId() !== undefined;

function say(text: string): void {
  process.stdout.write(`${inWorker ? "worker" : "supervisor"} ${text}\n`);
}

/** The kernel's own name of a socket: the same in two processes means the same socket. */
function inode(socket: Socket | undefined): string {
  return readlinkSync(`/proc/self/fd/${socket?.fileno()}`);
}

function openSockets(): number {
  let count = 0;
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")) count++;
    } catch {
      // The folder's own descriptor.
    }
  }
  return count;
}

if (scenario === "same") {
  for (const socket of bindSockets(0, "127.0.0.1")) socket.close();
  const [first] = bindSockets(0, "127.0.0.1");
  const unix = bindUnixSocket(`\0ioloop-${unique ?? ""}`);
  const both = bindSockets(0, "127.0.0.1", { reusePort: true });
  say(`has ${[first, unix, ...both].map(inode).join(" ")}`);
  await forkProcesses(1);
  const port = (first?.getsockname() as InetAddress)[1];
  const [anew] = bindSockets(0, "127.0.0.1");
  say(`binds anew ${String((anew?.getsockname() as InetAddress)[1] !== port)}`);
  // Its standard error would be a socket where this one was started by Node.
  const child = new Subprocess("echo [$IOLOOP_WORKER]; ls -l /proc/self/fd | grep -c socket:", {
    shell: true,
    stdout: Subprocess.STREAM,
    stderr: Subprocess.STDOUT,
  });
  IOLoop.current().addCallback(async () => {
    const output = (await child.stdout?.readUntilClose())?.toString().trim().split("\n").join(" ");
    say(`has a child that sees ${output ?? ""}`);
    IOLoop.current().stop();
  });
  await IOLoop.current().start();
  child.stdout?.close();
} else if (scenario === "mismatch" || scenario === "more") {
  try {
    bindSockets(0, "127.0.0.1", { backlog: scenario === "mismatch" && inWorker ? 5 : 6 });
    if (inWorker) bindUnixSocket(`\0ioloop-${unique ?? ""}`);
  } catch (error) {
    say(`fails: ${(error as Error).message}`);
  }
  await forkProcesses(1);
} else if (scenario === "unclaimed") {
  bindSockets(0, "127.0.0.1");
  if (!inWorker) bindSockets(0, "127.0.0.1");
  const before = openSockets();
  await forkProcesses(1);
  say(`closed ${before - openSockets()}`);
} else if (scenario === "arguments") {
  for (const [count, restarts] of [[1.5], ["2"], [NaN], [1, -1], [1, 0.5]]) {
    try {
      void forkProcesses(count as number, restarts as number);
    } catch (error) {
      say((error as Error).name);
    }
  }
  const first = forkProcesses(1);
  try {
    void forkProcesses(1);
  } catch (error) {
    say(`again: ${(error as Error).message}`);
  }
  await first;
} else if (scenario === "accepting") {
  const [socket] = bindSockets(0, "127.0.0.1");
  if (!inWorker) {
    addAcceptHandler(socket as Socket, (connection) => {
      say("accepts");
      connection.close();
    });
  }
  void IOLoop.current().start();
  await forkProcesses(1);
  const port = (socket?.getsockname() as InetAddress)[1];
  const callers = Array.from({ length: 5 }, () => connect(port, "127.0.0.1"));
  await Promise.all(callers.map((caller) => once(caller, "connect")));
  // Time for the supervisor to take them.
  await new Promise((resolve) => setTimeout(resolve, 500));
  let waiting = 0;
  while (socket?.accept() !== undefined) waiting++;
  say(`finds ${waiting} waiting`);
  process.exit(0);
} else if (scenario === "caught") {
  const [socket] = bindSockets(0, "127.0.0.1");
  // The other worker would go on for a while.
  if (inWorker) {
    setTimeout(() => {
      say("was not told to end");
      process.exit(1);
    }, 8000);
    process.on("SIGTERM", () => {
      say("is told to end");
      process.exit(0);
    });
    say("is ready");
  }
  try {
    const id = await forkProcesses(2, 0);
    // The first dies once the other is ready.
    if (id === 0) addAcceptHandler(socket as Socket, () => process.exit(3));
    else connect((socket?.getsockname() as InetAddress)[1], "127.0.0.1");
    void IOLoop.current().start();
  } catch (error) {
    say(`caught: ${(error as Error).message}`);
  }
} else if (scenario === "everyProcessor") {
  await forkProcesses(0);
  say(`is one of them`);
}
