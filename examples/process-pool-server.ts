/**
 * A server of several processes: each line is a number, each answer how many primes there are below it and which worker has counted them. One
 * process would make everybody wait for the longest count; here the others go on.
 *
 *     npm start -- examples/process-pool-server.ts [port] [processes]
 *
 * Try it with `nc 127.0.0.1 8888`, several at a time. A worker that dies is started again: the line `die` makes one. Ctrl-C ends them all.
 */
import { type InetAddress, IOLoop, type IOStream, setLogger, StreamClosedError, taskId, TCPServer } from "ioloop";

const [port = 8888, processes = 0] = process.argv.slice(2).map(Number);

function primesBelow(limit: number): number {
  const composite = new Uint8Array(limit);
  let count = 0;
  for (let n = 2; n < limit; n++) {
    if (composite[n] === 1) continue;
    count++;
    for (let multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1;
  }
  return count;
}

class PrimeServer extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    try {
      for (;;) {
        const line = (await stream.readUntil("\n", { maxBytes: 100 })).toString().trim();
        if (line === "die") process.exit(1);
        const limit = Number(line);
        const answer =
          Number.isInteger(limit) && limit >= 0 && limit <= 100_000_000 ? String(primesBelow(limit)) : "a number up to 100000000, please";
        await stream.write(`worker ${taskId() ?? 0}: ${answer}\n`);
      }
    } catch (error) {
      if (!(error instanceof StreamClosedError)) throw error;
    }
  }
}

// The supervisor's log tells of workers that die.
setLogger("general", console);

const server = new PrimeServer();
server.bind(port, "127.0.0.1");
const [socket] = server._pendingSockets;
const [host, bound] = socket?.getsockname() as InetAddress;
// 0 processes means one for each processor. What follows the await runs in the workers alone.
await server.start(processes);
console.log(`worker ${taskId() ?? 0} counts primes on ${host}:${bound}`);
IOLoop.current().start();
