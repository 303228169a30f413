/**
 * A line echo server: what comes in goes back, line by line.
 *
 *     npm start -- examples/line-echo-server.ts [port]
 *
 * Try it with `nc 127.0.0.1 8888`.
 */
import { IOLoop, IOStream, Socket, StreamClosedError } from "ioloop";

const listener = new Socket();
listener.bind(["127.0.0.1", Number(process.argv[2] ?? 8888)]);
listener.listen();
const [host, port] = listener.getsockname() as [string, number];
console.log(`echoing lines on ${host}:${port}`);

async function echo(stream: IOStream): Promise<void> {
  try {
    for (;;) {
      const line = await stream.readUntil("\n", { maxBytes: 65536 });
      await stream.write(line);
    }
  } catch (error) {
    if (!(error instanceof StreamClosedError)) throw error;
  }
}

IOLoop.current().addHandler(
  listener,
  () => {
    for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) {
      void echo(new IOStream(pending[0]));
    }
  },
  IOLoop.READ,
);
IOLoop.current().start();
