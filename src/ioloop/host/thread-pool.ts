/**
 * The host of worker threads, and of a poller that has no descriptor of its own: poll(2) in libuv's thread pool.
 *
 * A worker must not have an open libuv handle when it ends, or the process crashes, and `worker.terminate()` runs no JavaScript that could
 * close one. A request in the thread pool is merely waited for, so it is a bounded one: unbounded, it would keep `process.exit()` from ending
 * for ever; bounded to a second it delays an exit by that at most. It costs about seven times the turn of the other host at one
 * connection, and nearly nothing more under load.
 */
import { setImmediate } from "node:timers";
import {
  allocNative,
  closeDescriptor,
  createEventFd,
  drainEventFd,
  type NativeMemory,
  POLLFD_REVENTS_OFFSET,
  POLLFD_SIZE,
  POLLIN,
  signalEventFd,
  sys,
} from "../../platform/index.js";
import { withoutContext } from "../context.js";
import { writePollfd } from "../pollers/poller.js";
import { PollerHost } from "./host.js";

const LONGEST_CALL_MS = 1000;

export class ThreadPoolHost extends PollerHost {
  /** Ends a call under way: the first descriptor of its set. Not the loop's waker, which the loop may drain before the thread has looked. */
  #interrupt = -1;
  #memory: NativeMemory | undefined;
  #inFlight = false;
  /** The poller's version that the call under way watches. */
  #watched = -1;
  #waiting = false;
  #stopped: (() => void) | undefined;

  start(): void {
    if (this.#interrupt < 0) this.#interrupt = createEventFd();
    this.timer.soonFromOutside();
  }

  override wait(seconds: number): boolean {
    if (super.wait(seconds)) return true;
    this.#waiting = true;
    if (this.#inFlight) this.changed();
    else this.#call();
    return false;
  }

  override collect(ready: Map<number, number>): readonly number[] {
    this.#waiting = false;
    return super.collect(ready);
  }

  changed(): void {
    if (this.#inFlight && this.#watched !== this.poller.version) signalEventFd(this.#interrupt);
  }

  stop(stopped: () => void): void {
    this.#waiting = false;
    this.timer.cancel();
    if (!this.#inFlight) {
      stopped();
      return;
    }
    this.#stopped = stopped;
    signalEventFd(this.#interrupt);
  }

  close(): void {
    this.#memory?.free();
    this.#memory = undefined;
    if (this.#interrupt >= 0) closeDescriptor(this.#interrupt);
    this.#interrupt = -1;
  }

  protected override replacePoller(): void {
    // A call under way watches the old object until `wait` interrupts it; it can only cause a turn too many.
    this.poller.rebuild();
  }

  #call(): void {
    const count = 1 + this.poller.waitSize();
    const size = count * POLLFD_SIZE;
    if (this.#memory === undefined || this.#memory.bytes.length < size) {
      this.#memory?.free();
      this.#memory = allocNative(2 * size);
    }
    const memory = this.#memory;
    writePollfd(memory.bytes, 0, this.#interrupt, POLLIN);
    this.poller.writeWaitSet(memory.bytes, POLLFD_SIZE);
    this.#inFlight = true;
    this.#watched = this.poller.version;
    withoutContext(() => {
      sys.pollAsync(memory, count, LONGEST_CALL_MS, (result) => {
        this.#returned(result, memory.bytes);
      });
    });
  }

  /** Runs in a native callback: asks for a turn, or for another second, and nothing else. */
  #returned(result: number, pollfds: Buffer): void {
    this.#inFlight = false;
    const interrupted = result > 0 && pollfds.readUInt16LE(POLLFD_REVENTS_OFFSET) !== 0;
    if (interrupted) drainEventFd(this.#interrupt);
    if (this.#stopped !== undefined) {
      // Not here: it settles a promise, whose reactions would not run after a native callback.
      setImmediate(this.#stopped);
      this.#stopped = undefined;
      return;
    }
    if (!this.#waiting) return;
    // A failure is for the turn to meet: the poller's own call reports it.
    if (result < 0 || result > (interrupted ? 1 : 0)) this.timer.soon();
    else this.#call();
  }
}
