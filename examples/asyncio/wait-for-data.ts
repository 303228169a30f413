/** asyncio's documentation, "Register an open socket to wait for data using streams". */
import { socketpair } from "ioloop";
import { type EventLoop, getEventLoop, openConnection } from "ioloop/asyncio";

async function waitForData(loop: EventLoop): Promise<void> {
  // Create a pair of connected sockets
  const [rsock, wsock] = socketpair();

  // Register the open socket to wait for data
  const [reader, writer] = await openConnection({ sock: rsock, loop });

  // Simulate the reception of data from the network
  loop.callSoon(() => wsock.send("abc"));

  // Wait for data
  const data = await reader.read(100);

  // Got data, we are done: close the socket
  console.log("Received:", data.toString());
  writer.close();

  // Close the second socket
  wsock.close();
}

const loop = getEventLoop();
await loop.runUntilComplete(waitForData(loop));
loop.close();
