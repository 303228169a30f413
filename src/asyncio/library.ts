/** All that `ioloop/asyncio` has, under the library's own names. `index.ts` adds Python's. Depends on every part of the folder. */
export { CancelledError, Future, InvalidStateError, TimeoutError } from "../concurrent/index.js";
export {
  type ConnectionOptions,
  createConnection,
  createUnixConnection,
  type ProtocolFactory,
  type UnixConnectionOptions,
} from "./create-connection.js";
export {
  type CommonServerOptions,
  createServer,
  type CreateServerOptions,
  createUnixServer,
  type CreateUnixServerOptions,
} from "./create-server.js";
export { ensureFuture } from "./ensure-future.js";
export { EOFError, IncompleteReadError, LimitOverrunError } from "./errors.js";
export { EventLoop, getEventLoop, Handle, type LoopExceptionHandler } from "./event-loop.js";
export type { ExceptionContext, LoopArgument } from "./loop-argument.js";
export { Protocol } from "./protocol.js";
export { Server } from "./server.js";
export { type Pausable, StreamReader, type StreamReaderOptions } from "./stream-reader.js";
export { type ClientConnectedCb, StreamReaderProtocol } from "./stream-reader-protocol.js";
export { StreamWriter, type WriterTlsOptions } from "./stream-writer.js";
export {
  type ConnectOptions,
  type LimitOption,
  openConnection,
  openUnixConnection,
  type ServerOptions,
  startServer,
  startUnixServer,
  type Streams,
  type UnixConnectOptions,
  type UnixServerOptions,
} from "./streams.js";
export type { TlsTimeouts } from "./start-tls.js";
export { BaseTransport, ReadTransport, Transport, type WriteBufferLimits, WriteTransport } from "./transport.js";
export { TransportSocket } from "./transport-socket.js";
