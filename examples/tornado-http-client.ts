/**
 * The client of `http-client.ts` in Tornado's own names: what a ported program looks like.
 *
 *     npm start -- examples/tornado-http-client.ts
 */
import * as ioloop from "ioloop/tornado";
import * as iostream from "ioloop/tornado";
import * as socket from "ioloop/tornado";
import { localHttpServer } from "./local-http-server.js";

const address = await localHttpServer();

function send_request(): void {
  console.log(`connected to ${address.join(":")}`);
  stream.write("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  stream.read_until("\r\n\r\n", on_headers);
}

function on_headers(data: Buffer): void {
  const headers: Record<string, string> = {};
  for (const line of data.toString("latin1").split("\r\n")) {
    const [name, value, ...more] = line.split(":");
    if (name !== undefined && value !== undefined && more.length === 0) headers[name.trim()] = value.trim();
  }
  console.log("headers", headers);
  stream.read_bytes(Number(headers["Content-Length"]), on_body);
}

function on_body(data: Buffer): void {
  console.log("body");
  console.log(data.toString());
  stream.close();
  ioloop.IOLoop.current().stop();
}

const s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0);
const stream = new iostream.IOStream(s);
stream.connect(address, send_request);
ioloop.IOLoop.current().start();
