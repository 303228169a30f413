/**
 * What a poller must provide. `epoll.ts` and `poll.ts` implement it; kqueue would be a third file beside them.
 */
import { POLLFD_EVENTS_OFFSET, POLLFD_REVENTS_OFFSET } from "../../platform/index.js";

/** What one poll returned: descriptors and their event masks, each descriptor at most once. */
export type Pairs = Iterable<readonly [fd: number, events: number]>;

/**
 * What a poll loop is built around: the shape of Python's `select.epoll` object. Any object with these methods will do, a test double
 * included.
 */
export interface Poller {
  /** Starts watching. Throws a system error when the kernel refuses (EBADF, EPERM, EEXIST). */
  register(fd: number, events: number): void;
  /** Replaces the mask. Throws a system error when the kernel refuses (ENOENT, EBADF). */
  modify(fd: number, events: number): void;
  /** Stops watching. May throw; the loop swallows it. */
  unregister(fd: number): void;
  /**
   * Waits at most `timeout` seconds and tells what is ready; rounding up to what it can measure is its own business (H14). An answer that
   * is a promise keeps the thread free meanwhile; the loop then wakes it through a descriptor it has registered.
   */
  poll(timeout: number): Pairs | PromiseLike<Pairs>;
  /** Frees it. */
  close(): void;
  /** Its own descriptor, if it has one. */
  fileno?(): number;
}

/**
 * A poller of ours: it is only ever asked what is ready *now*, and a host waits for it inside Node (H13).
 */
export abstract class HostedPoller implements Poller {
  /** The system call its errors name. */
  abstract readonly syscall: string;
  /** The kernel reports a file that can no longer be unregistered: `rebuild()` is due. */
  tainted = false;
  /** Goes up whenever `writeWaitSet` would write something else: a wait begun before that has to begin again. */
  version = 0;
  #vanished: number[] = [];

  abstract register(fd: number, events: number): void;
  abstract modify(fd: number, events: number): void;
  abstract unregister(fd: number): void;
  abstract close(): void;
  fileno?(): number;

  poll(timeout: number): Pairs {
    const ready = new Map<number, number>();
    this.collect(ready, Math.ceil(timeout * 1000));
    return ready;
  }

  /** A zero-wait poll: merges what is ready into `ready`. */
  harvest(ready: Map<number, number>): void {
    this.collect(ready, 0);
  }

  /** Takes the descriptors found closed since the last call: their registrations are gone. */
  takeVanished(): readonly number[] {
    if (this.#vanished.length === 0) return this.#vanished;
    const vanished = this.#vanished;
    this.#vanished = [];
    return vanished;
  }

  /** Replaces the kernel object by a new one with the same registrations; `fileno()` changes. */
  abstract rebuild(): void;
  /** How many `struct pollfd` a wait needs. */
  abstract waitSize(): number;
  /** Writes those `struct pollfd`, from byte `offset` on: one of them becomes readable when something is ready. */
  abstract writeWaitSet(memory: Buffer, offset: number): void;

  /** Waits and merges what is ready into `ready`. Throws a system error, EINTR included. */
  protected abstract collect(ready: Map<number, number>, milliseconds: number): void;

  /** `fd` was found to be closed, or to be another file by now. */
  protected vanished(fd: number): void {
    this.#vanished.push(fd);
  }
}

/** Whether the loop waits for this poller through a host. */
export function isHosted(poller: Poller): poller is HostedPoller {
  return poller instanceof HostedPoller;
}

/** Writes one `struct pollfd` with its answer field cleared. */
export function writePollfd(memory: Buffer, offset: number, fd: number, events: number): void {
  memory.writeInt32LE(fd, offset);
  memory.writeUInt16LE(events & 0xffff, offset + POLLFD_EVENTS_OFFSET);
  memory.writeUInt16LE(0, offset + POLLFD_REVENTS_OFFSET);
}
