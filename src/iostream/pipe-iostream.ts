/** `PipeIOStream`: a stream over one end of a pipe. Depends on `BaseIOStream` and on the platform's descriptor calls. */
import { closeDescriptor, isSystemError, readDescriptor, setNonblocking, writeDescriptor } from "../platform/index.js";
import { BaseIOStream } from "./base-iostream.js";
import type { StreamOptions } from "./stream-core.js";

/**
 * A stream over a descriptor as `pipe()` gives it. A pipe goes one way, so the stream either reads or writes. The descriptor belongs to the
 * stream, which closes it.
 *
 * Tornado: `PipeIOStream`.
 *
 * @example
 * const [readEnd, writeEnd] = pipe();
 * const [reader, writer] = [new PipeIOStream(readEnd), new PipeIOStream(writeEnd)];
 * await writer.write("hello\n");
 * console.log((await reader.readUntil("\n")).toString());
 */
export class PipeIOStream extends BaseIOStream {
  /** The descriptor; -1 once closed. */
  fd: number;

  /**
   * @throws TypeError, RangeError when `fd` cannot be a descriptor, or for wrong options
   * @throws SystemError EBADF when it is not open
   */
  constructor(fd: number, options?: StreamOptions) {
    super(options);
    setNonblocking(fd);
    this.fd = fd;
  }

  override fileno(): number {
    return this.fd;
  }

  override closeFd(): void {
    const { fd } = this;
    this.fd = -1;
    closeDescriptor(fd);
  }

  override readFromFd(buf: Uint8Array): number | undefined {
    try {
      return readDescriptor(this.fd, buf);
    } catch (error) {
      // A writing end: told by the Future, not thrown (S182).
      if (!isSystemError(error, "EBADF")) throw error;
      this._closeWith(error);
      return undefined;
    }
  }

  override writeToFd(data: Uint8Array): number | undefined {
    return writeDescriptor(this.fd, data);
  }

  /** @internal */
  override _shortReadMeansDry(): boolean {
    return true;
  }
}
