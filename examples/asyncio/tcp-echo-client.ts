/** asyncio's documentation, "TCP echo client using streams". Run it beside the server: `... tcp-echo-client.ts [port]`. */
import { type EventLoop, getEventLoop, openConnection } from "ioloop/asyncio";

async function tcpEchoClient(message: string, loop: EventLoop): Promise<void> {
  const [reader, writer] = await openConnection("127.0.0.1", Number(process.argv[2] ?? 8888), { loop });

  console.log("Send:", message);
  writer.write(message);

  const data = await reader.read(100);
  console.log("Received:", data.toString());

  console.log("Close the socket");
  writer.close();
}

const message = "Hello World!";
const loop = getEventLoop();
await loop.runUntilComplete(tcpEchoClient(message, loop));
loop.close();
