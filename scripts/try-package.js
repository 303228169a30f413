/**
 * Uses the built package as its users do, by name: with `import`, with `require` (Node's require of ES modules), under both sets of names. Part of
 * `npm run check:package`; wants `npm run build` first.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { IOLoop, ThreadPoolExecutor } from "ioloop";
import { getEventLoop, open_connection, startServer } from "ioloop/asyncio";
import { VirtualTimeIOLoop } from "ioloop/testing";
import { IOLoop as TornadoIOLoop } from "ioloop/tornado";

const required = createRequire(import.meta.url)("ioloop");
assert.equal(required.IOLoop, IOLoop, "import and require give the same class");

const order = [];
const loop = new IOLoop();
loop.addCallback(() => order.push("callback"));
loop.callLater(0.01, () => loop.stop());
await loop.start();
loop.close();

const ported = new TornadoIOLoop();
ported.add_callback(() => order.push("add_callback"));
ported.call_later(0.01, () => ported.stop());
await ported.start();
ported.close();

const streams = getEventLoop();
await streams.runUntilComplete(async () => {
  const server = await startServer((_, writer) => (writer.write("streams\n"), writer.close()), "127.0.0.1", 0);
  const [reader, writer] = await open_connection("127.0.0.1", server.sockets[0].getsockname()[1]);
  order.push((await reader.readline()).toString().trim());
  writer.close();
  server.close();
  await server.wait_closed();
});
streams.close();

const virtual = new VirtualTimeIOLoop();
virtual.callLater(3600, () => order.push("an hour later"));
await virtual.advance(3600);
virtual.close();

// Its threads load a file of the package by its path.
const executor = new ThreadPoolExecutor({ maxWorkers: 1 });
assert.equal(await executor.submit((number) => number * 2, 21), 42);
executor.shutdown();

assert.deepEqual(order, ["callback", "add_callback", "streams", "an hour later"]);
console.log("the built package runs under both names");
