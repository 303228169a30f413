/**
 * `openConnection`, `startServer` and their unix forms: convenience around the layer below, and no more. Copy them where they are not what you want
 * (A76). Depends on `create-connection.ts` and `create-server.ts`.
 */
import { Future } from "../concurrent/index.js";
import type { Both } from "./both.js";
import { type ConnectionOptions, createConnection, createUnixConnection, type UnixConnectionOptions } from "./create-connection.js";
import { createServer, type CreateServerOptions, createUnixServer, type CreateUnixServerOptions } from "./create-server.js";
import { ioLoopOf, type LoopArgument } from "./loop-argument.js";
import type { Server } from "./server.js";
import { StreamReader } from "./stream-reader.js";
import { checkClientConnectedCb, type ClientConnectedCb, StreamReaderProtocol } from "./stream-reader-protocol.js";
import { StreamWriter } from "./stream-writer.js";
import type { Transport } from "./transport.js";

/** The reader's limit, in bytes; 65,536 without it. */
export interface LimitOption {
  limit?: number | undefined;
}

/** What {@link openConnection} takes besides host and port. */
export type ConnectOptions = ConnectionOptions & LimitOption;
/** What {@link openUnixConnection} takes besides the path. */
export type UnixConnectOptions = UnixConnectionOptions & LimitOption;
/** What {@link startServer} takes besides host and port. */
export type ServerOptions = CreateServerOptions & LimitOption;
/** What {@link startUnixServer} takes besides the path. */
export type UnixServerOptions = CreateUnixServerOptions & LimitOption;

/** A reader and a writer on one connection. */
export type Streams = [Both<StreamReader>, Both<StreamWriter>];

/**
 * Connects to a host and gives a reader and a writer. All errors are rejections; cancelling closes what is under way.
 *
 * asyncio: `open_connection`.
 *
 * @param host - a name or a literal; this machine without it
 * @example
 * const [reader, writer] = await openConnection("127.0.0.1", 8888);
 * writer.write("Hello\n");
 * console.log((await reader.readline()).toString());
 * writer.close();
 */
export function openConnection(host?: string, port?: number, options?: ConnectOptions): Future<Streams>;
export function openConnection(options: ConnectOptions): Future<Streams>;
export function openConnection(hostOrOptions?: string | ConnectOptions, port?: number, third?: ConnectOptions): Future<Streams> {
  const [host, options] = isOptions(hostOrOptions) ? [undefined, hostOrOptions] : [hostOrOptions, third];
  return connect(options, (factory, rest) => createConnection(factory, host, port, rest));
}

/**
 * {@link openConnection} over a unix stream socket.
 *
 * asyncio: `open_unix_connection`.
 */
export function openUnixConnection(path?: string, options?: UnixConnectOptions): Future<Streams>;
export function openUnixConnection(options: UnixConnectOptions): Future<Streams>;
export function openUnixConnection(pathOrOptions?: string | UnixConnectOptions, second?: UnixConnectOptions): Future<Streams> {
  const [path, options] = isOptions(pathOrOptions) ? [undefined, pathOrOptions] : [pathOrOptions, second];
  return connect(options, (factory, rest) => createUnixConnection(factory, path, rest));
}

/**
 * Listens, and calls `clientConnectedCb(reader, writer)` with each client. The callback may be an async function: what it rejects with is logged and
 * closes the connection. If it returns without closing the writer, the connection stays open.
 *
 * asyncio: `start_server`.
 *
 * @param host - a name or a literal, or several; every interface without it
 * @param port - 0, or none, for one of the system's choice, the same on every socket
 * @example
 * const server = await startServer(async (reader, writer) => {
 *   for await (const line of reader) writer.write(line);
 *   writer.close();
 * }, "127.0.0.1", 8888);
 * await server.serveForever();
 */
export function startServer(
  clientConnectedCb: ClientConnectedCb,
  host?: string | readonly string[],
  port?: number,
  options?: ServerOptions,
): Future<Both<Server>>;
export function startServer(clientConnectedCb: ClientConnectedCb, options: ServerOptions): Future<Both<Server>>;
export function startServer(
  clientConnectedCb: ClientConnectedCb,
  hostOrOptions?: string | readonly string[] | ServerOptions,
  port?: number,
  fourth?: ServerOptions,
): Future<Both<Server>> {
  const given = isOptions<ServerOptions>(hostOrOptions) ? hostOrOptions : undefined;
  const host = given === undefined ? (hostOrOptions as string | readonly string[] | undefined) : undefined;
  return listen(clientConnectedCb, given ?? fourth, (factory, rest) => createServer(factory, host, port, rest));
}

/**
 * {@link startServer} on a unix path.
 *
 * asyncio: `start_unix_server`.
 */
export function startUnixServer(clientConnectedCb: ClientConnectedCb, path?: string, options?: UnixServerOptions): Future<Both<Server>>;
export function startUnixServer(clientConnectedCb: ClientConnectedCb, options: UnixServerOptions): Future<Both<Server>>;
export function startUnixServer(
  clientConnectedCb: ClientConnectedCb,
  pathOrOptions?: string | UnixServerOptions,
  third?: UnixServerOptions,
): Future<Both<Server>> {
  const [path, options] = isOptions(pathOrOptions) ? [undefined, pathOrOptions] : [pathOrOptions, third];
  return listen(clientConnectedCb, options, (factory, rest) => createUnixServer(factory, path, rest));
}

function isOptions<O extends object>(value: unknown): value is O {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function connect<O extends { loop?: LoopArgument | undefined } & LimitOption>(
  given: O | undefined,
  make: (factory: () => StreamReaderProtocol, rest: Omit<O, "limit">) => Future<[Both<Transport>, StreamReaderProtocol]>,
): Future<Streams> {
  let reader: StreamReader;
  try {
    const { limit, ...rest } = given ?? ({} as O);
    const loop = ioLoopOf(rest.loop);
    reader = new StreamReader({ limit, loop });
    const connection = make(() => new StreamReaderProtocol(reader, undefined, { loop }), rest);
    return new Connecting(connection, reader);
  } catch (error) {
    const future = new Future<Streams>();
    future._settleFailed(error, false);
    return future;
  }
}

/** From a transport and a protocol to a reader and a writer. */
class Connecting extends Future<Streams> {
  readonly #connection: Future<[Both<Transport>, StreamReaderProtocol]>;

  constructor(connection: Future<[Both<Transport>, StreamReaderProtocol]>, reader: StreamReader) {
    super();
    this._scheduler = reader._loop;
    this.#connection = connection;
    connection.then(
      ([transport, protocol]) => {
        if (this.done()) transport.abort();
        else this.setResult([reader, new StreamWriter(transport, protocol, reader, reader._loop)] as Streams);
      },
      (error: unknown) => {
        if (!this.done()) this._settleFailed(error, false);
      },
    );
  }

  override _onCancel(): void {
    this.#connection.cancel();
  }
}

function listen<O extends { loop?: LoopArgument | undefined } & LimitOption>(
  clientConnectedCb: ClientConnectedCb,
  given: O | undefined,
  make: (factory: () => StreamReaderProtocol, rest: Omit<O, "limit">) => Future<Both<Server>>,
): Future<Both<Server>> {
  try {
    checkClientConnectedCb(clientConnectedCb);
    const { limit, ...rest } = given ?? ({} as O);
    const loop = ioLoopOf(rest.loop);
    // Also for its checks: a wrong limit is to fail here and not with the first client.
    new StreamReader({ limit, loop });
    return make(() => new StreamReaderProtocol(new StreamReader({ limit, loop }), clientConnectedCb, { loop }), rest);
  } catch (error) {
    const future = new Future<Both<Server>>();
    future._settleFailed(error, false);
    return future;
  }
}
