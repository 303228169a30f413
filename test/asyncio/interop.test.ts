/** The same protocol spoken with Python's asyncio and with Node's net, from either side. */
import { connect, createServer, type AddressInfo } from "node:net";
import { expect } from "chai";
import { IncompleteReadError, openConnection, startServer, type StreamReader, type StreamWriter } from "../../src/asyncio/index.js";
import { PythonProgram, pythonWith } from "../support/python.js";
import { failureOf, onLoop, portOf, text } from "./support.js";

/** Echoes lines, then answers the number of bytes that follow as "<count>\n", with that many bytes of its own behind. */
const PYTHON_SERVER = `
import asyncio
async def handle(reader, writer):
    line = await reader.readline()
    writer.write(line)
    size = int((await reader.readuntil(b";"))[:-1])
    data = await reader.readexactly(size)
    writer.write(b"%d\\n" % len(data))
    writer.writelines([data[:1000], data[1000:]])
    await writer.drain()
    writer.write_eof()
    rest = await reader.read()
    writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
`;

const PYTHON_CLIENT = `
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(b"hello\\n")
    print((await reader.readline()).decode().strip())
    data = b"x" * 3000000
    writer.write(b"%d;" % len(data))
    writer.write(data)
    await writer.drain()
    size = int(await reader.readline())
    back = await reader.readexactly(size)
    print(size, back == data)
    try:
        await reader.readexactly(1)
    except asyncio.IncompleteReadError as error:
        print(error)
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
`;

/** The Python server's part, in TypeScript. */
async function handle(reader: StreamReader, writer: StreamWriter): Promise<void> {
  writer.write(await reader.readline());
  const size = Number((await reader.readuntil(";")).subarray(0, -1).toString());
  const data = await reader.readexactly(size);
  writer.write(`${data.length}\n`);
  writer.writelines([data.subarray(0, 1000), data.subarray(1000)]);
  await writer.drain();
  writer.writeEof();
  await reader.read();
  writer.close();
}

/** The Python client's part. */
async function talk(port: number): Promise<void> {
  const [reader, writer] = await openConnection("127.0.0.1", port);
  writer.write("hello\n");
  expect(await text(reader.readline())).to.equal("hello\n");
  const data = Buffer.alloc(3_000_000, "x");
  writer.write(`${data.length};`);
  writer.write(data);
  const size = Number(await text(reader.readline()));
  expect(size).to.equal(data.length);
  expect((await reader.readexactly(size)).equals(data)).to.equal(true);
  expect(await failureOf(reader.readexactly(1))).to.be.instanceOf(IncompleteReadError);
  writer.close();
  await writer.waitClosed();
}

/** asyncio's own loop, and another one under it. */
for (const [name, ...modules] of [
  ["Python's asyncio", "asyncio"],
  ["Python's asyncio on uvloop", "asyncio", "uvloop"],
] as const) {
  const python = pythonWith(...modules);
  const install = modules.length > 1 ? "import uvloop; uvloop.install()\n" : "";

  describe(`with ${name}`, () => {
    if (python === undefined) {
      it(`skipped: no python3 that has ${modules.join(" and ")}`);
      return;
    }

    it(
      "A9 A10 A28 our client, Python's server",
      onLoop(async () => {
        await using server = new PythonProgram(python, install + PYTHON_SERVER);
        const port = Number(await server.line());
        await talk(port);
        await talk(port);
      }),
    ).timeout(20_000);

    it(
      "A27 A61 Python's client, our server",
      onLoop(async () => {
        const server = await startServer(handle, "127.0.0.1", 0);
        await using client = new PythonProgram(python, install + PYTHON_CLIENT, String(portOf(server)));
        expect(await client.line()).to.equal("hello");
        expect(await client.line()).to.equal("3000000 True");
        // The very message of IncompleteReadError as Python has it.
        expect(await client.line()).to.equal("0 bytes read on a total of 1 expected bytes");
        expect(await client.end()).to.equal(0);
        server.close();
        await server.waitClosed();
      }),
    ).timeout(20_000);
  });
}

describe("with Node's net", () => {
  it(
    "A28 A50 our client, Node's server",
    onLoop(async () => {
      const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const [reader, writer] = await openConnection("127.0.0.1", (server.address() as AddressInfo).port);
      const data = Buffer.alloc(3_000_000, "0123456789");
      const reading = reader.read();
      writer.write(data);
      writer.writeEof();
      expect((await reading).equals(data)).to.equal(true);
      writer.close();
      await writer.waitClosed();
      await new Promise((resolve) => server.close(resolve));
    }),
  );

  it(
    "A28 A61 Node's client, our server",
    onLoop(async () => {
      const server = await startServer(
        async (reader, writer) => {
          for await (const line of reader) writer.write(line);
          writer.writeEof();
          await writer.drain();
          writer.close();
        },
        "127.0.0.1",
        0,
      );
      const socket = connect({ port: portOf(server), host: "127.0.0.1", allowHalfOpen: true });
      const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join("");
      const received = new Promise<string>((resolve, reject) => {
        let all = "";
        socket
          .on("data", (data) => (all += data.toString()))
          .on("end", () => resolve(all))
          .on("error", reject);
      });
      socket.end(lines);
      expect(await received).to.equal(lines);
      await new Promise((resolve) => {
        if (socket.closed) resolve(undefined);
        else socket.once("close", resolve);
      });
      server.close();
      await server.waitClosed();
    }),
  );
});
