/**
 * The same client as `http-client.ts`, with `await`: every method that takes a callback returns a Future when it gets none.
 *
 *     npm start -- examples/http-client-await.ts
 */
import { IOLoop, IOStream, socket } from "ioloop";
import { localHttpServer } from "./local-http-server.js";

async function main(): Promise<void> {
  const address = await localHttpServer();
  using stream = new IOStream(socket());
  await stream.connect(address);
  console.log(`connected to ${address.join(":")}`);

  await stream.write("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  const headers = (await stream.readUntil("\r\n\r\n")).toString("latin1");
  console.log("headers");
  console.log(headers.trimEnd());

  const length = /^content-length: *(\d+)/im.exec(headers)?.[1];
  const body = await stream.readBytes(Number(length));
  console.log("body");
  console.log(body.toString());
}

await IOLoop.current().runSync(main);
