/**
 * A minimal HTTP/1.1 responder on `IOStream`, as one writes it by hand: it reads up to the empty line, looks at the method, and answers on the same
 * connection. Requests with a body are refused.
 */
import { bindSockets, type InetAddress, IOLoop, type IOStream, StreamClosedError, TCPServer } from "ioloop";
import { ready } from "./ready.js";

/** "GET " as a number: comparing it takes no string of the request. */
const GET = 0x47455420;
const HELLO = Buffer.from("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello");

class HelloServer extends TCPServer {
  override async handleStream(stream: IOStream): Promise<void> {
    stream.setNodelay(true);
    try {
      for (;;) {
        const head = await stream.readUntil("\r\n\r\n", { maxBytes: 65_536 });
        if (head.readUInt32BE(0) !== GET) break;
        await stream.write(HELLO);
      }
      await stream.write("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      stream.close();
    } catch (error) {
      if (!(error instanceof StreamClosedError)) throw error;
    }
  }
}

const sockets = bindSockets(0, "127.0.0.1");
new HelloServer().addSockets(sockets);
ready((sockets[0]?.getsockname() as InetAddress)[1]);
void IOLoop.current().start();
