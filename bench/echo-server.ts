/**
 * One of the servers of `npm run bench:echo`, in a process of its own: `node --import tsx bench/echo-server.ts net|net-lines|await|callback|asyncio|idle`.
 * Prints its port and serves until it is killed; for `idle` it prints its resident memory when a line comes in on stdin.
 */
import { createServer, type AddressInfo } from "node:net";
import { IOLoop, IOStream, Socket, StreamClosedError } from "ioloop";
import { startServer } from "ioloop/asyncio";

type Serve = (stream: IOStream) => void;

/** The echo as people write it. */
async function withAwait(stream: IOStream): Promise<void> {
  try {
    for (;;) {
      const line = await stream.readUntil("\n");
      await stream.write(line);
    }
  } catch (error) {
    if (!(error instanceof StreamClosedError)) throw error;
  }
}

/** The echo as a chain of callbacks. */
function withCallbacks(stream: IOStream): void {
  const onLine = (line: Buffer): void => {
    stream.write(line, next);
  };
  const next = (): void => {
    stream.readUntil("\n", onLine);
  };
  next();
}

/** A server with nothing but the loop: `net` is built on this and measured elsewhere. */
function listen(serve: Serve): number {
  const listener = new Socket();
  listener.bind(["127.0.0.1", 0]);
  listener.listen(1024);
  const accept = (): void => {
    for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) {
      const stream = new IOStream(pending[0]);
      stream.setNodelay(true);
      serve(stream);
    }
  };
  IOLoop.current().addHandler(listener, accept, IOLoop.READ);
  void IOLoop.current().start();
  return (listener.getsockname() as [string, number])[1];
}

const kind = process.argv[2];
const keepOpen: unknown[] = [];
switch (kind) {
  case "net": {
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on("data", (data) => socket.write(data)).on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1", 1024, () => {
      console.log((server.address() as AddressInfo).port);
    });
    break;
  }
  case "net-lines": {
    // The splitter that people write by hand: what is left of a line waits for the rest.
    const server = createServer({ noDelay: true }, (socket) => {
      let rest: Buffer | undefined;
      socket
        .on("data", (data) => {
          let all = rest === undefined ? data : Buffer.concat([rest, data]);
          for (let end = all.indexOf(10); end >= 0; end = all.indexOf(10)) {
            socket.write(all.subarray(0, end + 1));
            all = all.subarray(end + 1);
          }
          rest = all.length > 0 ? all : undefined;
        })
        .on("error", () => undefined);
    });
    server.listen(0, "127.0.0.1", 1024, () => {
      console.log((server.address() as AddressInfo).port);
    });
    break;
  }
  case "asyncio": {
    const server = await startServer(
      async (reader, writer) => {
        try {
          for (;;) {
            writer.write(await reader.readuntil("\n"));
            await writer.drain();
          }
        } catch {
          writer.close();
        }
      },
      "127.0.0.1",
      0,
      { backlog: 1024 },
    );
    console.log((server.sockets[0]?.getsockname() as [string, number])[1]);
    void IOLoop.current().start();
    break;
  }
  case "await":
    console.log(
      listen((stream) => {
        void withAwait(stream);
      }),
    );
    break;
  case "callback":
    console.log(listen(withCallbacks));
    break;
  case "idle":
    // Waiting for a line, as a server's connections do.
    console.log(
      listen((stream) => {
        keepOpen.push(stream);
        void withAwait(stream);
      }),
    );
    break;
  case "idle-net": {
    const server = createServer((socket) => {
      keepOpen.push(socket.on("data", (data) => socket.write(data)).on("error", () => undefined));
    });
    server.listen(0, "127.0.0.1", 1024, () => {
      console.log((server.address() as AddressInfo).port);
    });
    break;
  }
  default:
    throw new Error(`Unknown server ${String(kind)}`);
}

if (kind.startsWith("idle")) {
  process.stdin.on("data", () => {
    globalThis.gc?.();
    globalThis.gc?.();
    console.log(keepOpen.length, process.memoryUsage.rss());
  });
}
