/** A server of several workers, for fork-processes.test.ts. Arguments: how many, how many restarts, whether by TCPServer.start(). */
import { bindSockets, forkProcesses, type InetAddress, IOLoop, type IOStream, taskId, TCPServer } from "../../../src/index.js";

const [count, maxRestarts, how] = process.argv.slice(2);

class Server extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    await stream.write(`${String(taskId())} ${process.pid}\n`);
    const command = (await stream.readUntil("\n")).toString().trim();
    if (command.startsWith("exit")) process.exit(Number(command.slice(5)));
    if (command === "environment") await stream.write(`${String(process.env["IOLOOP_WORKER"])}\n`);
    stream.close();
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

const server = new Server();
const ready = (port: number): void => say(`worker ${String(taskId())} pid ${process.pid} port ${port}`);
say(`begin ${String(taskId())}`);
process.on("exit", () => say(`end ${String(taskId())}`));
if (how === "start") {
  server.bind(0, "127.0.0.1");
  const port = (server._pendingSockets[0]?.getsockname() as InetAddress)[1];
  const started = server.start(Number(count), Number(maxRestarts));
  say(`after start: serves ${server._sockets.size}`);
  await started;
  ready(port);
} else {
  const sockets = bindSockets(0, "127.0.0.1");
  const id = await forkProcesses(count === "" ? undefined : Number(count), Number(maxRestarts));
  if (id !== taskId()) throw new Error(`the promise said ${id}, taskId() ${String(taskId())}`);
  server.addSockets(sockets);
  ready((sockets[0]?.getsockname() as InetAddress)[1]);
}
void IOLoop.current().start();
