/** Servers on Node's own `net`: `node node.js MODE`. Prints the port, then serves; see `followStandardInput`. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import split from "split2";
import { collectNodeGarbage, followStandardInput } from "./standard-input.js";

const CHUNK = Buffer.alloc(65536, "x");

type Serve = (socket: Socket) => void;

const echo: Serve = (socket) => {
  socket.on("data", (data) => socket.write(data));
};

/** The splitter that people write by hand: what is left of a line waits for the rest. */
const echoLines: Serve = (socket) => {
  let rest: Buffer | undefined;
  socket.on("data", (data) => {
    let all = rest === undefined ? data : Buffer.concat([rest, data]);
    for (let end = all.indexOf(10); end >= 0; end = all.indexOf(10)) {
      socket.write(all.subarray(0, end + 1));
      all = all.subarray(end + 1);
    }
    rest = all.length > 0 ? all : undefined;
  });
};

const echoReadline: Serve = (socket) => {
  createInterface({ input: socket }).on("line", (line) => socket.write(`${line}\n`));
};

const echoSplit2: Serve = (socket) => {
  socket.pipe(split()).on("data", (line: string) => socket.write(`${line}\n`));
};

/** Reads how many bytes are wanted, and sends them. */
const bulkOut: Serve = (socket) => {
  socket.on("data", (data) => {
    let left = Number(data.toString());
    const send = (): void => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.off("drain", send);
    };
    socket.on("drain", send);
    send();
  });
};

/** Reads to the end; Node then ends its own side. */
const bulkIn: Serve = (socket) => {
  let received = 0;
  socket.on("data", (data) => (received += data.length));
  socket.on("end", () => {
    if (received === 0) throw new Error("Nothing was received");
  });
};

const modes: Record<string, Serve> = {
  echo,
  lines: echoLines,
  readline: echoReadline,
  split2: echoSplit2,
  "bulk-out": bulkOut,
  "bulk-in": bulkIn,
};

const [mode = ""] = process.argv.slice(2);
const serve = modes[mode];
if (serve === undefined) throw new RangeError(`mode is "${mode}": it must be one of ${Object.keys(modes).join(", ")}`);
let connections = 0;
const server = createServer({ noDelay: true }, (socket) => {
  connections++;
  // The load ends its connections without ceremony.
  socket.on("error", () => undefined).on("close", () => connections--);
  serve(socket);
});
followStandardInput(() => connections, collectNodeGarbage);
server.listen(0, "127.0.0.1", 4096, () => {
  console.log((server.address() as AddressInfo).port);
});
