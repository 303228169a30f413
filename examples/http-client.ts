/**
 * A very simple HTTP client, as a chain of callbacks: connect, send the request, read the headers, read as many bytes as they say.
 *
 *     npm start
 */
import { AF_INET, IOLoop, IOStream, SOCK_STREAM, socket } from "ioloop";
import { localHttpServer } from "./local-http-server.js";

const address = await localHttpServer();
const stream = new IOStream(socket(AF_INET, SOCK_STREAM, 0));

function sendRequest(): void {
  console.log(`connected to ${address.join(":")}`);
  stream.write("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  stream.readUntil("\r\n\r\n", onHeaders);
}

function onHeaders(data: Buffer): void {
  const headers = new Map<string, string>();
  for (const line of data.toString("latin1").split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  console.log("headers", Object.fromEntries(headers));
  stream.readBytes(Number(headers.get("content-length")), onBody);
}

function onBody(data: Buffer): void {
  console.log("body");
  console.log(data.toString());
  stream.close();
  IOLoop.current().stop();
}

stream.connect(address, sendRequest);
IOLoop.current().start();
