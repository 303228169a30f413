/** Streams over descriptors, as in Tornado's `iostream` module. Other parts of the library import from here. */
import "./start-tls.js"; // Puts itself behind IOStream.startTls.
export type { ReadBytesOptions, ReadIntoOptions, ReadOptions, ReadUntilCloseOptions, ReadUntilOptions } from "./arguments.js";
export { BaseIOStream, type StreamCallback } from "./base-iostream.js";
export type { ChunkOptions } from "./chunks.js";
export { StreamBufferFullError, StreamClosedError, UnsatisfiableReadError } from "./errors.js";
export { type ConnectOptions, IOStream } from "./iostream.js";
export { PipeIOStream } from "./pipe-iostream.js";
export { EMPTY, ReadBuffer } from "./read-buffer.js";
export { SSLIOStream, type SSLStreamOptions } from "./ssl-iostream.js";
export { _mergePrefix, _StreamBuffer } from "./stream-buffer.js";
export type { CloseCallback, StreamOptions } from "./stream-core.js";

export type { StartTlsOptions } from "./tls-conversion.js";
export type { WebStreams } from "./web.js";
