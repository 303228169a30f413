/**
 * The portable poller, on poll(2). The kernel keeps nothing between two calls, so the whole set goes in with each and every interest change
 * is just a change of memory; the cost grows with the number of descriptors watched, not with those ready.
 *
 * A number is all poll(2) knows of a descriptor: that it is open and pollable is asked at registration (poll itself calls a regular file
 * always ready), and that a registered number means another file now is seen by its inode.
 */
import { fstatSync } from "node:fs";
import {
  EPOLLET,
  EPOLLONESHOT,
  errno,
  isOpen,
  POLLFD_REVENTS_OFFSET,
  POLLFD_SIZE,
  POLLNVAL,
  sys,
  systemError,
} from "../../platform/index.js";
import { HostedPoller, writePollfd } from "./poller.js";

/**
 * Which file a number stands for, as far as fstat(2) tells. The two ends of one pipe share an inode, and so do all eventfds, timerfds and
 * the like: reusing a number among those looks like a second registration of the first, and is refused (EEXIST).
 */
type FileIdentity = string;

/**
 * Every so many events a registration is checked to be still that of the file it was made for: a number closed behind the loop's back may be
 * anybody's by now, and its events are not for the old handler (L55). One fstat(2), some 2 µs.
 */
const CHECK_EVERY = 8;

interface Entry {
  events: number;
  readonly identity: FileIdentity;
  fired: number;
}

export class PollPoller extends HostedPoller {
  override readonly syscall = "poll";

  #memory: Buffer = Buffer.alloc(0);
  #packedVersion = -1;
  readonly #entries = new Map<number, Entry>();

  override register(fd: number, events: number): void {
    const identity = identify(fd);
    if (this.#entries.get(fd)?.identity === identity) throw systemError(errno("EEXIST"), "poll");
    checkPortable(events);
    this.#entries.set(fd, { events, identity, fired: 0 });
    this.version++;
  }

  override modify(fd: number, events: number): void {
    const entry = this.#entries.get(fd);
    if (entry === undefined) throw systemError(errno(isOpen(fd) ? "ENOENT" : "EBADF"), "poll");
    checkPortable(events);
    entry.events = events;
    this.version++;
  }

  override unregister(fd: number): void {
    if (!this.#entries.delete(fd)) throw systemError(errno("ENOENT"), "poll");
    this.version++;
  }

  override rebuild(): void {
    // Nothing of this poller is in the kernel.
  }

  override waitSize(): number {
    return this.#entries.size;
  }

  override writeWaitSet(memory: Buffer, offset: number): void {
    for (const [fd, { events }] of this.#entries) {
      writePollfd(memory, offset, fd, events);
      offset += POLLFD_SIZE;
    }
  }

  override close(): void {
    this.#entries.clear();
    this.#memory = Buffer.alloc(0);
    this.version++;
  }

  protected override collect(ready: Map<number, number>, milliseconds: number): void {
    const count = this.#entries.size;
    if (this.#packedVersion !== this.version) {
      if (this.#memory.length < count * POLLFD_SIZE) this.#memory = Buffer.alloc(2 * count * POLLFD_SIZE);
      this.writeWaitSet(this.#memory, 0);
      this.#packedVersion = this.version;
    }
    const memory = this.#memory;
    let left = sys.poll(memory, count, milliseconds);
    if (left < 0) throw systemError(sys.errno(), "poll");
    for (let offset = 0; left > 0 && offset < count * POLLFD_SIZE; offset += POLLFD_SIZE) {
      const events = memory.readUInt16LE(offset + POLLFD_REVENTS_OFFSET);
      if (events === 0) continue;
      left--;
      const fd = memory.readInt32LE(offset);
      const entry = this.#entries.get(fd);
      if ((events & POLLNVAL) !== 0 || (entry !== undefined && ++entry.fired % CHECK_EVERY === 0 && !isStill(entry, fd))) {
        this.#entries.delete(fd);
        this.vanished(fd);
        this.version++;
      } else {
        ready.set(fd, events);
      }
    }
  }
}

function checkPortable(events: number): void {
  if ((events & (EPOLLET | EPOLLONESHOT | 0x30000000)) !== 0) throw systemError(errno("EINVAL"), "poll");
}

function isStill({ identity }: Entry, fd: number): boolean {
  try {
    return identify(fd) === identity;
  } catch {
    return false;
  }
}

/** @throws SystemError EBADF for a number that is not open, EPERM for a file that cannot be polled */
function identify(fd: number): FileIdentity {
  let stats;
  try {
    stats = fstatSync(fd, { bigint: true });
  } catch {
    throw systemError(errno("EBADF"), "poll");
  }
  if (stats.isFile() || stats.isDirectory()) throw systemError(errno("EPERM"), "poll");
  return `${stats.dev}:${stats.ino}:${stats.mode}`;
}
