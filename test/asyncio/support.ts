/** What the tests of asyncio's streams share: a loop for each test, a connection, transports that only keep a record. */
import { expect } from "chai";
import type { Future } from "../../src/concurrent/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { type InetAddress, type Socket, socketpair } from "../../src/platform/index.js";
import { openConnection, startServer } from "../../src/asyncio/index.js";
import type { ConnectOptions, Server, ServerOptions, StreamReader, Streams, StreamWriter } from "../../src/asyncio/index.js";
import { makeLoop } from "../support/loop.js";

/** Runs `body` on a new loop, which ends with it. */
export function onLoop(body: (loop: PollIOLoop) => PromiseLike<unknown>): () => Promise<void> {
  return async () => {
    const loop = makeLoop();
    await loop.runSync(() => body(loop), { timeout: 10 });
  };
}

/** An error with what the library's may carry. */
export interface Failure extends Error {
  readonly code?: string;
  readonly errors?: readonly Error[];
  readonly partial?: Buffer;
  readonly expected?: number;
  readonly consumed?: number;
}

/** The failure of an awaitable. */
export async function failureOf(awaitable: PromiseLike<unknown>): Promise<Failure> {
  let value: unknown;
  try {
    value = await awaitable;
  } catch (error) {
    expect(error).to.be.an("error");
    return error as Failure;
  }
  throw new Error(`It was to fail, and has given ${String(value)}`);
}

/** What is thrown by a call. */
export function thrownBy(call: () => unknown): Failure {
  try {
    call();
  } catch (error) {
    return error as Failure;
  }
  throw new Error("It was to throw");
}

/** Lets the loop go round so many times. */
export async function rounds(loop: PollIOLoop, count = 3): Promise<void> {
  for (let round = 0; round < count; round++) await new Promise<void>((resolve) => loop.callLater(0.001, resolve));
}

/** Waits until `done` holds; the run's own limit ends a wait in vain. */
export async function until(loop: PollIOLoop, done: () => boolean): Promise<void> {
  while (!done()) await rounds(loop, 1);
}

export function portOf(server: Server): number {
  return (server.sockets[0]?.getsockname() as InetAddress)[1];
}

/** A server on 127.0.0.1 and one connection to it. */
export class Connection implements AsyncDisposable {
  readonly server: Server;
  readonly reader: StreamReader;
  readonly writer: StreamWriter;
  readonly peerReader: StreamReader;
  readonly peerWriter: StreamWriter;

  constructor(server: Server, [reader, writer]: Streams, [peerReader, peerWriter]: Streams) {
    this.server = server;
    this.reader = reader;
    this.writer = writer;
    this.peerReader = peerReader;
    this.peerWriter = peerWriter;
  }

  static async make(serverOptions: ServerOptions = {}, options: ConnectOptions = {}): Promise<Connection> {
    let accepted: (streams: Streams) => void;
    const peer = new Promise<Streams>((resolve) => (accepted = resolve));
    const server = await startServer((...streams) => accepted(streams), "127.0.0.1", 0, serverOptions);
    return new Connection(server, await openConnection("127.0.0.1", portOf(server), options), await peer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.writer.transport.abort();
    this.server.close();
    this.server.abortClients();
    await this.server.waitClosed();
    await this.writer.waitClosed().catch(() => undefined);
  }
}

/** A reader and a writer on one end of a socket pair, and the other end as a plain socket. */
export async function pair(loop: PollIOLoop, limit?: number): Promise<[StreamReader, StreamWriter, Socket]> {
  const [ours, theirs] = socketpair();
  const [reader, writer] = await openConnection({ sock: ours, loop, limit });
  return [reader, writer, theirs];
}

/** What a Future has become, as text. */
export async function text(future: Future<Buffer>): Promise<string> {
  return (await future).toString("latin1");
}

/** Reads a plain socket until its end, or an error. */
export async function drainSocket(loop: PollIOLoop, socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = socket.recv(65536);
    if (piece === undefined) await rounds(loop, 1);
    else if (piece.length === 0) return Buffer.concat(pieces);
    else pieces.push(piece);
  }
}
