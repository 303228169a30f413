/**
 * One conformance suite for every kind of stream: the kind is a parameter, and so are poller and host of the loop. A new kind is one more
 * entry of `kinds`, and the whole suite runs over it.
 */
import { combinations, type Combination } from "../support/combinations.js";
import { injectFault } from "../support/faults.js";
import { makeLoop } from "../support/loop.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { type BaseIOStream, IOStream, PipeIOStream, SSLIOStream, type StreamOptions } from "../../src/iostream/index.js";
import {
  AF_INET,
  errno as errnoNumber,
  pipe,
  readDescriptor,
  Socket,
  socketpair,
  systemError,
  writeDescriptor,
} from "../../src/platform/index.js";
import { CERT_NONE, SSLContext, type SSLSocket, sslWrapSocket } from "../../src/ssl/index.js";
import { testIdentity } from "../support/certificates.js";

/** Two connected streams: `reader` reads what `writer` writes. Only where `duplex` is it goes the other way too. */
export interface Pair {
  readonly reader: BaseIOStream;
  readonly writer: BaseIOStream;
}

/** A kind of stream. */
export interface Kind {
  readonly name: "tcp" | "unix" | "pipe" | "tls";
  /** Each end can read and write. */
  readonly duplex: boolean;
  /** Both ends are sockets. */
  readonly socket: boolean;
  /** More bytes than the kernel takes of a write that nobody reads. */
  readonly much: number;
  connect(readerOptions: StreamOptions, writerOptions: StreamOptions): Pair;
}

/** A listening TCP socket on loopback, with its port. */
export function listenTcp(): [Socket, number] {
  const listener = new Socket(AF_INET);
  listener.bind(["127.0.0.1", 0]);
  listener.listen();
  return [listener, (listener.getsockname() as [string, number])[1]];
}

/** Two connected TCP sockets. */
export function tcpSockets(): [Socket, Socket] {
  const [listener, port] = listenTcp();
  const client = new Socket(AF_INET);
  client.connect(["127.0.0.1", port]);
  // On loopback the connection is in the listener's queue when connect returns.
  const accepted = listener.accept();
  listener.close();
  if (accepted === undefined) throw new Error("The loopback connection was not there at once");
  return [accepted[0], client];
}

export const kinds: readonly Kind[] = [
  {
    name: "tcp",
    duplex: true,
    socket: true,
    // Linux lets a loopback connection hold 4 MB at the sender and 6 MB at the receiver.
    much: 16_000_000,
    connect(readerOptions, writerOptions) {
      const [a, b] = tcpSockets();
      // The other end's small writes must not wait for one another.
      return { reader: new IOStream(a, readerOptions), writer: withoutDelay(new IOStream(b, writerOptions)) };
    },
  },
  {
    name: "unix",
    duplex: true,
    socket: true,
    much: 1_000_000,
    connect(readerOptions, writerOptions) {
      const [a, b] = socketpair();
      return { reader: new IOStream(a, readerOptions), writer: new IOStream(b, writerOptions) };
    },
  },
  {
    name: "pipe",
    duplex: false,
    socket: false,
    much: 1_000_000,
    connect(readerOptions, writerOptions) {
      const [readEnd, writeEnd] = pipe();
      return { reader: new PipeIOStream(readEnd, readerOptions), writer: new PipeIOStream(writeEnd, writerOptions) };
    },
  },
  {
    name: "tls",
    duplex: true,
    socket: true,
    much: 16_000_000,
    connect(readerOptions, writerOptions) {
      const [a, b] = tlsSockets();
      return { reader: new SSLIOStream(a, readerOptions), writer: withoutDelay(new SSLIOStream(b, writerOptions)) };
    },
  },
];

/** Contexts for the whole run. */
let contexts: { readonly server: SSLContext; readonly client: SSLContext } | undefined;

/** Two connected TLS sockets after their handshake: the server's and the client's. */
export function tlsSockets(): [SSLSocket, SSLSocket] {
  if (contexts === undefined) {
    const server = new SSLContext();
    const { cert, key } = testIdentity();
    server._useCertificate({ pem: Buffer.from(cert), name: "cert" }, { pem: Buffer.from(key), name: "key" }, undefined);
    const client = new SSLContext();
    client.verifyMode = CERT_NONE;
    contexts = { server, client };
  }
  const [a, b] = tcpSockets();
  const server = sslWrapSocket(a, contexts.server, { serverSide: true });
  const client = sslWrapSocket(b, contexts.client);
  for (let step = 0; step < 10; step++) {
    const done = [client.doHandshake(), server.doHandshake()];
    if (done.every((each) => each === 0)) return [server, client];
  }
  throw new Error("The handshake over loopback was not done after ten steps");
}

function withoutDelay(stream: IOStream): IOStream {
  stream.setNodelay(true);
  return stream;
}

/** What a test of streams works with. */
export interface StreamTest {
  readonly loop: PollIOLoop;
  readonly kind: Kind;
  /** Two connected streams on the loop; closed when the test is over. */
  pair(readerOptions?: StreamOptions, writerOptions?: StreamOptions): Pair;
  /** Has the stream closed when the test is over. */
  track<T extends BaseIOStream>(stream: T): T;
  /** Resolves after `count` iterations of the loop, each with a poll. */
  turns(count?: number): Promise<void>;
  /** Resolves when `condition()` holds after an iteration; fails after some seconds. */
  until(condition: () => boolean): Promise<void>;
}

/** `it` for a test of streams. */
export type StreamIt = (title: string, body: (test: StreamTest) => Promise<void> | void) => void;

interface Choice {
  readonly kinds?: readonly Kind["name"][];
  readonly combinations?: readonly Combination[];
}

/** Runs a `describe` body for every kind and combination, or those chosen. */
export function eachStream(body: (it: StreamIt, kind: Kind) => void, choice: Choice = {}): void {
  for (const combination of choice.combinations ?? combinations) {
    for (const kind of kinds.filter(({ name }) => choice.kinds?.includes(name) ?? true)) {
      describe(`${kind.name}, ${combination.poller} on ${combination.host}`, () => {
        body((title, test) => {
          it(title, async () => run(kind, combination, test));
        }, kind);
      });
    }
  }
}

/** Only the combination that a program on the main thread gets: for tests that take long or are not about the loop. */
export const usual: readonly Combination[] = combinations.slice(0, 1);

async function run(kind: Kind, combination: Combination, body: (test: StreamTest) => Promise<void> | void): Promise<void> {
  const loop = makeLoop(combination);
  const streams: BaseIOStream[] = [];
  const test: StreamTest = {
    loop,
    kind,
    pair(readerOptions = {}, writerOptions = {}) {
      const pair = kind.connect({ ioLoop: loop, ...readerOptions }, { ioLoop: loop, ...writerOptions });
      streams.push(pair.reader, pair.writer);
      return pair;
    },
    track(stream) {
      streams.push(stream);
      return stream;
    },
    async turns(count = 1) {
      for (let i = 0; i < count; i++) {
        // The second callback runs in the iteration after the first: there is a poll in between.
        await new Promise<void>((resolve) => {
          loop.addCallback(() => {
            loop.addCallback(resolve);
          });
        });
      }
    },
    async until(condition) {
      for (const start = performance.now(); !condition();) {
        if (performance.now() - start > 4000) throw new Error(`Did not come true in time: ${String(condition)}`);
        await test.turns();
      }
    },
  };
  await loop.runSync(
    async () => {
      try {
        await body(test);
      } finally {
        for (const stream of streams) stream.close();
        await test.turns();
      }
    },
    { timeout: 9 },
  );
}

/** Sends bytes straight through the descriptor, encrypted where the stream is, and says that all went at once. */
export function sendRaw(stream: BaseIOStream, data: string | Uint8Array): void {
  const bytes = Buffer.from(data as string);
  const count = stream instanceof SSLIOStream ? stream.socket.sendmsg(records(bytes)) : writeDescriptor(stream.fileno(), bytes);
  if (count !== bytes.length) throw new Error(`Only ${String(count)} of ${bytes.length} bytes went at once`);
}

/** In pieces that TLS takes in one call each. */
function records(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / 16384) }, (_, i) => bytes.subarray(i * 16384, (i + 1) * 16384));
}

/** Takes what the kernel has for a descriptor. */
export function receiveRaw(stream: BaseIOStream, most = 65536): Buffer {
  const memory = Buffer.alloc(most);
  const parts: Buffer[] = [];
  for (;;) {
    const count = stream instanceof SSLIOStream ? stream.socket.recvInto(memory) : readDescriptor(stream.fileno(), memory);
    if (count === undefined || count === 0) return Buffer.concat(parts);
    parts.push(Buffer.from(memory.subarray(0, count)));
  }
}

/**
 * Makes the next `times` read or write calls of a stream fail. TLS makes its system calls inside OpenSSL, out of the seam's reach, so there the
 * calls of its socket fail.
 */
export function failingCalls(
  stream: BaseIOStream,
  direction: "read" | "write",
  errno: string,
  times = 1,
): Disposable & { injected: number } {
  if (!(stream instanceof SSLIOStream)) {
    const call = stream instanceof PipeIOStream ? direction : direction === "read" ? "recv" : "send";
    const fd = stream.fileno();
    return injectFault(call, { errno, times, when: (n: number) => n === fd });
  }
  const { socket } = stream;
  const name = direction === "read" ? "recvInto" : "send";
  const real = socket[name].bind(socket) as (bytes: Uint8Array) => number | undefined;
  const fault = { injected: 0, [Symbol.dispose]: () => Object.assign(socket, { [name]: real }) };
  const failing = (bytes: Uint8Array): number | undefined => {
    if (fault.injected === times) return real(bytes);
    fault.injected++;
    throw systemError(errnoNumber(errno), name === "send" ? "send" : "recv");
  };
  Object.assign(socket, { [name]: failing });
  return fault;
}

/** What an operation fails with. */
export async function failure(operation: PromiseLike<unknown>): Promise<Error> {
  try {
    await operation;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not fail");
}

/** What a call throws. */
export function thrown(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not throw");
}

/** Pseudo-random numbers below `limit`, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * limit);
  };
}
