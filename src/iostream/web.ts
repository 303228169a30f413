/** A stream as a pair of web streams. Depends on the stream's public operations. */
import { ReadableStream, WritableStream, type ReadableByteStreamController } from "node:stream/web";
import type { BaseIOStream } from "./base-iostream.js";
import { StreamClosedError } from "./errors.js";

/** What {@link BaseIOStream.toWeb} gives. */
export interface WebStreams {
  /** A byte stream: BYOB readers are served. */
  readable: ReadableStream<Uint8Array>;
  writable: WritableStream<Uint8Array>;
}

/** See {@link BaseIOStream.toWeb}. @internal */
export function toWeb(stream: BaseIOStream): WebStreams {
  let readableControl: ReadableByteStreamController | undefined;
  let writableControl: WritableStreamDefaultController | undefined;
  const readable = new ReadableStream({
    type: "bytes",
    start(controller) {
      readableControl = controller;
    },
    async pull(controller) {
      await pull(stream, controller);
    },
    cancel(reason) {
      readableControl = undefined;
      closeWith(stream, reason);
    },
  });
  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      writableControl = controller;
    },
    async write(chunk) {
      await stream.write(chunk);
    },
    close() {
      writableControl = undefined;
      if (!stream.closed()) stream._shutdownWrite();
    },
    abort(reason) {
      writableControl = undefined;
      closeWith(stream, reason);
    },
  });
  stream._onClosed(() => {
    // A pull under way tells the reading side itself.
    const failure = new StreamClosedError(stream.error);
    writableControl?.error(failure);
    if (stream.error !== undefined) readableControl?.error(stream.error);
  });
  return { readable, writable };
}

/** One step of the readable side: into the memory of a BYOB reader, else into a chunk of its own. */
async function pull(stream: BaseIOStream, controller: ReadableByteStreamController): Promise<void> {
  const request = controller.byobRequest ?? null;
  try {
    const view = request?.view;
    if (request !== null && view !== null && view !== undefined) {
      const count = await stream.readInto(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), { partial: true });
      request.respond(count);
    } else {
      // A copy in memory of its own: enqueue() detaches the chunk's ArrayBuffer, and a small Buffer shares that with all others of Node's pool.
      controller.enqueue(new Uint8Array(await stream.readBytes(stream.readChunkSize, { partial: true })));
    }
  } catch (error) {
    if (!(error instanceof StreamClosedError) || error.realError !== undefined) throw error;
    controller.close();
    // A BYOB reader waits for its memory until it gets it back.
    request?.respond(0);
  }
}

function closeWith(stream: BaseIOStream, reason: unknown): void {
  stream._closeWith(reason instanceof Error ? reason : undefined);
}
