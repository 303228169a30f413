/** asyncio's documentation, "Get HTTP headers": `... http-headers.ts http://example.com/path/page.html`, or with https. */
import { ensureFuture, getEventLoop, openConnection } from "ioloop/asyncio";

async function printHttpHeaders(argument: string): Promise<void> {
  const url = new URL(argument);
  const connect =
    url.protocol === "https:"
      ? openConnection(url.hostname, Number(url.port || 443), { ssl: true })
      : openConnection(url.hostname, Number(url.port || 80));
  const [reader, writer] = await connect;
  const query = `HEAD ${url.pathname || "/"} HTTP/1.0\r\nHost: ${url.hostname}\r\n\r\n`;
  writer.write(Buffer.from(query, "latin1"));
  while (true) {
    const raw = await reader.readline();
    if (raw.length === 0) break;
    const line = raw.toString("latin1").trimEnd();
    if (line) console.log("HTTP header>", line);
  }

  // Ignore the body, close the socket
  writer.close();
}

const url = process.argv[2];
if (url === undefined) throw new Error("Pass a URL");
const loop = getEventLoop();
const task = ensureFuture(printHttpHeaders(url));
await loop.runUntilComplete(task);
loop.close();
