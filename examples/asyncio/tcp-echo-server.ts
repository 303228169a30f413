/** asyncio's documentation, "TCP echo server using streams": `... tcp-echo-server.ts [port]`. */
import { getEventLoop, startServer, type StreamReader, type StreamWriter } from "ioloop/asyncio";

async function handleEcho(reader: StreamReader, writer: StreamWriter): Promise<void> {
  const data = await reader.read(100);
  const message = data.toString();
  const addr = writer.getExtraInfo("peername");
  console.log("Received", message, "from", addr);

  console.log("Send:", message);
  writer.write(data);
  await writer.drain();

  console.log("Close the client socket");
  writer.close();
}

const loop = getEventLoop();
const coro = startServer(handleEcho, "127.0.0.1", Number(process.argv[2] ?? 8888), { loop });
const server = await loop.runUntilComplete(coro);

// Serve requests until Ctrl+C is pressed
console.log("Serving on", server.sockets[0]?.getsockname());
process.once("SIGINT", () => loop.stop());
await loop.runForever();

// Close the server
server.close();
await loop.runUntilComplete(server.waitClosed());
loop.close();
