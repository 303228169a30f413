/** "Hello" by `node:http`, for `http-ioloop.ts` to be compared with. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ready } from "./ready.js";

const server = createServer((_request, response) => {
  response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 5 });
  response.end("Hello");
});
server.listen(0, "127.0.0.1", 1024, () => {
  ready((server.address() as AddressInfo).port);
});
