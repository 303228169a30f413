/** `IOStream.startTls`: a clear-text stream becomes a TLS stream on the same descriptor. Depends on both kinds of stream and on `ssl`. */
import { Future } from "../concurrent/index.js";
import { IOLoop } from "../ioloop/index.js";
import { checkServerHostname, SSLSocket, sslOptionsToContext, sslWrapSocket } from "../ssl/index.js";
import { checkKeys, show } from "./arguments.js";
import type { IOStream } from "./iostream.js";
import { SSLIOStream } from "./ssl-iostream.js";
import { setTlsConversion, type StartTlsOptions } from "./tls-conversion.js";

/** What a converted stream cannot do any more. */
const OPERATIONS = ["readBytes", "readInto", "readUntil", "readUntilRegex", "readUntilClose", "write", "connect", "startTls"] as const;

/** Until it settles nobody has the stream, so cancelling it is the way to close the connection (TCPClient's time limit needs one). */
class StartTlsFuture extends Future<SSLIOStream> {
  readonly #stream: SSLIOStream;

  constructor(stream: SSLIOStream) {
    super();
    this._scheduler = stream.ioLoop;
    this.#stream = stream;
  }

  override _onCancel(): void {
    this.#stream.close();
  }
}

function startTls(stream: IOStream, serverSide: boolean, options: StartTlsOptions = {}): Future<SSLIOStream> {
  if (typeof serverSide !== "boolean") throw new TypeError(`serverSide is ${show(serverSide)}: pass true or false`);
  checkKeys("startTls()", ["sslOptions", "serverHostname"], options);
  const { sslOptions = {}, serverHostname } = options;
  if (stream.socket instanceof SSLSocket) throw new Error("The stream speaks TLS already: startTls() is for clear-text streams");
  checkIdle(stream);
  const context = sslOptionsToContext(sslOptions, serverSide);
  const ownsContext = context !== sslOptions;
  let socket: SSLSocket;
  try {
    checkServerHostname(context, serverSide, serverHostname);
    socket = sslWrapSocket(stream.socket, context, { serverSide, serverHostname });
  } catch (error) {
    if (ownsContext) context.close();
    throw error;
  }
  if (stream._state !== undefined) {
    stream._state = undefined;
    stream.ioLoop.removeHandler(socket.fileno());
  }
  const { maxBufferSize, readChunkSize, maxWriteBufferSize, ioLoop, _closeCallback: closeCallback } = stream;
  stream._closeCallback = undefined;
  retire(stream);
  const secure = new SSLIOStream(socket, { maxBufferSize, readChunkSize, maxWriteBufferSize, ioLoop });
  // A connection that has been reset has no peer any more; the handshake finds out.
  secure._addIoState(IOLoop.WRITE);
  secure._ownsContext = ownsContext;
  secure._serverHostname = serverHostname;
  secure._closeCallback = closeCallback;
  const future = new StartTlsFuture(secure);
  secure._startTlsFuture = future;
  return future;
}

/** @throws RangeError when anything is under way on the stream, or it has bytes that the TLS layer would miss */
function checkIdle(stream: IOStream): void {
  const why = stream.closed()
    ? "it is closed"
    : stream._connecting || stream._connectFuture !== undefined || stream._connectCallback !== undefined
      ? "it is connecting"
      : stream.reading()
        ? "a read waits"
        : stream._writesWait() || stream._writeCallback !== undefined
          ? "a write waits"
          : stream._pendingCallbacks > 0
            ? "a callback waits"
            : stream._readBufferSize > 0
              ? `${stream._readBufferSize} bytes are received and not read`
              : stream._closeListener !== undefined
                ? "a Duplex or web stream has been made of it"
                : undefined;
  if (why !== undefined) throw new RangeError(`The stream is not idle, ${why}: finish that before startTls()`);
}

/** Makes the old object useless and harmless: the descriptor is the new one's. */
function retire(stream: IOStream): void {
  stream._closed = true;
  for (const name of OPERATIONS) {
    Object.defineProperty(stream, name, {
      configurable: true,
      value: () => {
        throw new Error(`${name}() on a stream that startTls() has converted: use the SSLIOStream that its Future has given`);
      },
    });
  }
}

setTlsConversion(startTls);
