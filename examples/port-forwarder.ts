/**
 * A port forwarder: each connection goes on to another host and port, both ways, with the pace of the slower side.
 *
 *     npm start -- examples/port-forwarder.ts <listen port> <target host> <target port>
 */
import { IOLoop, IOStream, Socket, StreamClosedError } from "ioloop";

const [listenPort = "8890", targetHost = "127.0.0.1", targetPort = "8888"] = process.argv.slice(2);

/** Copies until one side closes, then closes both. Waiting for the write is what holds back the sender. */
async function copy(from: IOStream, to: IOStream): Promise<void> {
  try {
    for await (const chunk of from) await to.write(chunk);
  } catch (error) {
    if (!(error instanceof StreamClosedError)) throw error;
  } finally {
    from.close();
    to.close();
  }
}

async function forward(client: IOStream): Promise<void> {
  const target = new IOStream(new Socket());
  try {
    await target.connect([targetHost, Number(targetPort)]);
  } catch (error) {
    console.log(`cannot reach the target: ${String((error as StreamClosedError).realError?.message)}`);
    client.close();
    return;
  }
  await Promise.all([copy(client, target), copy(target, client)]);
}

const listener = new Socket();
listener.bind(["127.0.0.1", Number(listenPort)]);
listener.listen();
const [host, port] = listener.getsockname() as [string, number];
console.log(`forwarding ${host}:${port} to ${targetHost}:${targetPort}`);
IOLoop.current().addHandler(
  listener,
  () => {
    for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) void forward(new IOStream(pending[0]));
  },
  IOLoop.READ,
);
IOLoop.current().start();
