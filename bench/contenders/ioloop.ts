/**
 * Servers written with this package, as its users write them: `node ioloop.js MODE`. Prints the port, then serves; see `followStandardInput`.
 */
import { bindSockets, type IOStream, IOLoop, StreamClosedError, TCPServer } from "ioloop";
import { startServer } from "ioloop/asyncio";
import { collectNodeGarbage, followStandardInput } from "./standard-input.js";

const BACKLOG = 4096;
const CHUNK = Buffer.alloc(65536, "x");

let connections = 0;

/** Serves on a free port, which it returns. */
function listen(server: TCPServer): number {
  const sockets = bindSockets(0, "127.0.0.1", { backlog: BACKLOG });
  server.addSockets(sockets);
  return (sockets[0]?.getsockname() as [string, number])[1];
}

function ignoreClosed(error: unknown): void {
  if (!(error instanceof StreamClosedError)) throw error;
}

class AwaitEcho extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    connections++;
    stream.setNodelay(true);
    try {
      for (;;) {
        const line = await stream.readUntil("\n");
        await stream.write(line);
      }
    } catch (error) {
      connections--;
      ignoreClosed(error);
    }
  }
}

class CallbackEcho extends TCPServer {
  override handleStream(stream: IOStream): void {
    connections++;
    stream.setNodelay(true);
    stream.setCloseCallback(() => connections--);
    const onLine = (line: Buffer): void => {
      stream.write(line, next);
    };
    const next = (): void => {
      stream.readUntil("\n", onLine);
    };
    next();
  }
}

/** asyncio's streams. */
async function echoWithAsyncio(): Promise<number> {
  const server = await startServer(
    async (reader, writer) => {
      connections++;
      try {
        for (;;) {
          writer.write(await reader.readuntil("\n"));
          await writer.drain();
        }
      } catch {
        // The other side has closed.
        connections--;
        writer.close();
      }
    },
    "127.0.0.1",
    0,
    { backlog: BACKLOG },
  );
  return (server.sockets[0]?.getsockname() as [string, number])[1];
}

/** Reads how many bytes are wanted, and sends them. */
class BulkOut extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    // As the server on Node's `net` has it: with Nagle's algorithm the end of each 64 KB would wait for an answer.
    stream.setNodelay(true);
    try {
      const wanted = Number((await stream.readUntil("\n")).toString());
      for (let left = wanted; left > 0; left -= CHUNK.length) await stream.write(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK);
      // The other side ends the connection when it has them.
      await stream.readUntil("\n");
    } catch (error) {
      ignoreClosed(error);
    }
  }
}

/** Reads to the end, into the same memory again and again. */
class BulkInto extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    const target = Buffer.alloc(CHUNK.length);
    let received = 0;
    try {
      for (;;) received += await stream.readInto(target, { partial: true });
    } catch (error) {
      ignoreClosed(error);
    }
    if (received === 0) throw new Error("Nothing was received");
  }
}

/** Reads to the end, chunk by chunk, each in memory of its own. */
class BulkIn extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    let received = 0;
    for await (const chunk of stream) received += chunk.length;
    if (received === 0) throw new Error("Nothing was received");
    stream.close();
  }
}

const modes: Record<string, () => number | Promise<number>> = {
  await: () => listen(new AwaitEcho()),
  callback: () => listen(new CallbackEcho()),
  asyncio: echoWithAsyncio,
  "bulk-out": () => listen(new BulkOut()),
  "bulk-in": () => listen(new BulkIn()),
  "bulk-in-into": () => listen(new BulkInto()),
};

const [mode = ""] = process.argv.slice(2);
const begin = modes[mode];
if (begin === undefined) throw new RangeError(`mode is "${mode}": it must be one of ${Object.keys(modes).join(", ")}`);
followStandardInput(() => connections, collectNodeGarbage);
console.log(await begin());
IOLoop.current().start();
