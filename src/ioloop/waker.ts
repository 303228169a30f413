/** The loop's waker: an eventfd whose readability ends a wait. Tornado's `platform.posix.Waker`, there a pipe. */
import { closeDescriptor, createEventFd, drainEventFd, signalEventFd } from "../platform/index.js";

export class Waker {
  #fd: number = createEventFd();

  /** The descriptor to watch; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** The descriptor to write to: with an eventfd the same. */
  writeFileno(): number {
    return this.#fd;
  }

  /** Makes the descriptor readable. Never throws: a counter that is full means that it is awake already. */
  wake(): void {
    if (this.#fd >= 0) signalEventFd(this.#fd);
  }

  /** Takes every wake so far. */
  consume(): void {
    if (this.#fd >= 0) drainEventFd(this.#fd);
  }

  close(): void {
    if (this.#fd < 0) return;
    closeDescriptor(this.#fd);
    this.#fd = -1;
  }
}
