/** Both forms of every name, as the entry gives them. */
import { expect } from "chai";
import * as entry from "ioloop/asyncio";
import {
  create_connection,
  get_event_loop,
  LimitOverrunError,
  open_connection,
  openConnection,
  Protocol,
  start_server,
  startServer,
  StreamReader,
  type StreamWriter,
  type Transport,
} from "ioloop/asyncio";
import * as library from "../../src/asyncio/library.js";
import { snakeName } from "../../src/names.js";
import { onLoop, portOf, until } from "./support.js";

describe("ioloop/asyncio under both names", () => {
  it("A76 every export is there under its other name, and is the same", () => {
    for (const [name, value] of Object.entries(library)) {
      const exported = entry as unknown as Record<string, unknown>;
      expect(exported[name], name).to.equal(value);
      expect(exported[snakeName(name)], snakeName(name)).to.equal(value);
    }
    expect(open_connection).to.equal(openConnection);
    expect(start_server).to.equal(startServer);
  });

  it("A76 every method of every class has its other name", () => {
    for (const value of Object.values(library)) {
      if (typeof value !== "function" || !("prototype" in value)) continue;
      for (const name of Object.getOwnPropertyNames(value.prototype)) {
        expect(snakeName(name) in (value.prototype as object), `${value.name}.${name}`).to.equal(true);
      }
    }
  });

  it(
    "A76 a program in Python's names, types included",
    onLoop(async (io_loop) => {
      const loop = get_event_loop();
      const seen: string[] = [];
      async function handle_echo(reader: StreamReader, writer: StreamWriter): Promise<void> {
        while (!reader.at_eof()) {
          const line = await reader.readline();
          writer.write(line);
          await writer.drain();
        }
        seen.push(String(writer.can_write_eof()), String(writer.get_extra_info("sslcontext", "clear")));
        writer.close();
        await writer.wait_closed();
      }
      const server = await start_server(handle_echo, "127.0.0.1", 0, { loop });
      expect(server.is_serving()).to.equal(true);
      const [reader, writer] = await open_connection("127.0.0.1", portOf(server), { loop });
      writer.write("hello\n");
      writer.write_eof();
      expect((await reader.read()).toString()).to.equal("hello\n");
      writer.close();
      server.close();
      await server.wait_closed();
      expect(seen).to.deep.equal(["true", "clear"]);
      let called = false;
      loop.call_soon(() => (called = true));
      await until(io_loop, () => called);
      expect(loop.is_running()).to.equal(true);
    }),
  );

  it(
    "A76 an override of a subclass counts under either name",
    onLoop(async (loop) => {
      const calls: string[] = [];
      class Client extends Protocol {
        connection_made(transport: Transport): void {
          calls.push("made");
          transport.set_write_buffer_limits({ high: 10 });
          transport.write("x");
        }

        override dataReceived(data: Buffer): void {
          calls.push(data.toString());
        }

        connection_lost(): void {
          calls.push("lost");
        }
      }
      const server = await startServer(
        (_, writer) => {
          writer.write("data");
          writer.close();
        },
        "127.0.0.1",
        0,
      );
      const [transport] = await create_connection(() => new Client(), "127.0.0.1", portOf(server));
      expect(transport.get_write_buffer_limits()).to.deep.equal([2, 10]);
      await until(loop, () => calls.includes("lost"));
      expect(calls).to.deep.equal(["made", "data", "lost"]);
      server.close();
      await server.waitClosed();
      const reader = new StreamReader({ limit: 3, loop });
      reader.feed_data("much too long");
      expect(reader.exception()).to.equal(undefined);
      const error = await reader.readuntil("x").catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(LimitOverrunError);
    }),
  );

  it(
    "A76 a reader whose feed_data is overridden gets the bytes that came, as its own",
    onLoop(async (loop) => {
      const fed: Buffer[] = [];
      class Watched extends StreamReader {
        feed_data(data: Buffer): void {
          fed.push(data);
          super.feedData(data);
        }
      }
      const { createConnection, StreamReaderProtocol } = entry;
      const server = await startServer((_, writer) => void writer.write("first"), "127.0.0.1", 0);
      const reader = new Watched({ loop });
      const [transport] = await createConnection(() => new StreamReaderProtocol(reader), "127.0.0.1", portOf(server));
      expect((await reader.read(10)).toString()).to.equal("first");
      expect(Buffer.concat(fed).toString()).to.equal("first");
      transport.abort();
      server.close();
      server.abortClients();
      await server.waitClosed();
    }),
  );
});
