/**
 * The loop without any stream: a listening socket, `addHandler`, and the calls that a handler makes itself. It greets whoever connects and
 * ends after three visitors, whom it sends itself so that the example shows something; `nc` is welcome too.
 *
 *     npm start -- examples/accept-loop.ts
 */
import { createConnection } from "node:net";
import { IOLoop, Socket, SO_REUSEADDR, SOL_SOCKET } from "ioloop";

const VISITORS = 3;

const loop = IOLoop.current();
const listener = new Socket();
listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
listener.bind(["127.0.0.1", 0]);
listener.listen(128);
const [host, port] = listener.getsockname() as [string, number];
console.log(`listening on ${host}:${port}`);

let visitors = 0;

function connectionReady(sock: Socket): void {
  // A readiness says "at least one": accept until the kernel has no more.
  for (;;) {
    const accepted = sock.accept();
    if (accepted === undefined) return;
    const [connection, address] = accepted;
    visitors++;
    console.log(`visitor ${visitors} from ${String(address)}`);
    connection.send(`hello, visitor ${visitors}\n`);
    connection.close();
    if (visitors === VISITORS) {
      loop.removeHandler(sock);
      sock.close();
      loop.stop();
    }
    if (sock.closed) return;
  }
}

loop.addHandler(listener, connectionReady, IOLoop.READ);
for (let visitor = 0; visitor < VISITORS; visitor++) {
  createConnection({ host, port }).on("data", (data) => process.stdout.write(`a visitor read: ${data.toString()}`));
}
loop.start();
