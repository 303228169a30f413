/** The four functions hold no secrets: the same programs on a user's own, made of public parts. */
import { expect } from "chai";
import {
  createConnection,
  createServer,
  getEventLoop,
  openConnection,
  type Server,
  startServer,
  StreamReader,
  StreamReaderProtocol,
  type Streams,
  StreamWriter,
} from "../../src/asyncio/index.js";
import { failureOf, onLoop, portOf, text } from "./support.js";

type Open = (host: string, port: number) => PromiseLike<Streams>;
type Start = (callback: (reader: StreamReader, writer: StreamWriter) => unknown, host: string, port: number) => PromiseLike<Server>;

const ownOpen: Open = async (host, port) => {
  const loop = getEventLoop();
  const reader = new StreamReader({ loop });
  const [transport, protocol] = await createConnection(() => new StreamReaderProtocol(reader, undefined, { loop }), host, port);
  return [reader, new StreamWriter(transport, protocol, reader, loop)];
};

const methodOpen: Open = async (host, port) => {
  const loop = getEventLoop();
  const reader = new StreamReader({ loop });
  const [transport, protocol] = await loop.createConnection(() => new StreamReaderProtocol(reader), host, port);
  return [reader, new StreamWriter(transport, protocol, reader, loop)];
};

const ownStart: Start = (callback, host, port) => createServer(() => new StreamReaderProtocol(new StreamReader(), callback), host, port);

const kinds: [string, Open, Start][] = [
  ["the library's", openConnection, startServer],
  ["a user's own", ownOpen, ownStart],
  [
    "a user's own on the loop's methods",
    methodOpen,
    (callback, host, port) => getEventLoop().createServer(() => new StreamReaderProtocol(new StreamReader(), callback), host, port),
  ],
];

for (const [name, open, start] of kinds) {
  describe(`A76 openConnection and startServer: ${name}`, () => {
    it(
      "A76 lines, flow control and the end",
      onLoop(async () => {
        const server = await start(
          async (reader, writer) => {
            for await (const line of reader) {
              writer.write(line);
              await writer.drain();
            }
            writer.close();
          },
          "127.0.0.1",
          0,
        );
        const [reader, writer] = await open("127.0.0.1", portOf(server));
        const lines = Array.from({ length: 2000 }, (_, i) => `${i} ${"x".repeat(i % 300)}\n`);
        const reading = text(reader.read());
        for (const line of lines) {
          writer.write(line);
          await writer.drain();
        }
        writer.writeEof();
        expect(await reading).to.equal(lines.join(""));
        writer.close();
        await writer.waitClosed();
        server.close();
        await server.waitClosed();
      }),
    );

    it(
      "A76 failures",
      onLoop(async () => {
        const server = await start((_, writer) => writer.transport.abort(), "127.0.0.1", 0);
        const port = portOf(server);
        const [reader, writer] = await open("127.0.0.1", port);
        expect(await text(reader.read())).to.equal("");
        writer.close();
        await writer.waitClosed();
        server.close();
        await server.waitClosed();
        expect((await failureOf(open("127.0.0.1", port))).code).to.equal("ECONNREFUSED");
      }),
    );
  });
}
