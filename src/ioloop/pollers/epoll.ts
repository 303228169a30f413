/**
 * The epoll poller (Linux), level-triggered unless the mask says otherwise.
 *
 * Some facts about epoll, epoll(7) and measured:
 * - Its entries are keyed by (descriptor number, open file), not by the number alone. Closing a registered descriptor removes the entry only
 *   when no duplicate of it is left: not in a child process, not through dup(2), not in a message under way to another process.
 * - Once the number is closed, EPOLL_CTL_DEL answers EBADF, and if the number is in use again it would speak of another file. The old
 *   entry cannot be named any more, and level-triggered it fires for ever: Node's own loop, which watches our epoll descriptor, then
 *   turns 180,000 times in half a second.
 * - A set that is watched itself, as ours is by Node's loop, may hold one open file (under as many numbers) 500 times; with more, watching it
 *   answers EINVAL (path_limits in the kernel's fs/eventpoll.c).
 * - What an entry returns is the eight bytes that were given with it, whatever has become of the number.
 *
 * Therefore: the eight bytes hold the number *and* a generation, so that an event of an old registration is recognised; a descriptor that
 * keeps firing is checked to be still open; and what cannot be unregistered is cured by building a new epoll set.
 */
import {
  closeDescriptor,
  EINVAL,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENT_LAYOUT,
  EPOLLEXCLUSIVE,
  EPOLLET,
  EPOLLIN,
  EPOLLONESHOT,
  sys,
  systemError,
} from "../../platform/index.js";
import { HostedPoller, writePollfd } from "./poller.js";

/** Descriptors taken out by one epoll_wait(2). More that are ready follow in the next iteration; the kernel serves them in turn (L13). */
export const EPOLL_BATCH = 512;

/**
 * Every so many events a registration is checked to be still that of an open descriptor. The check is one EPOLL_CTL_MOD of 0.25 µs, so
 * it costs 0.03 µs an event, and a registration whose descriptor was closed behind its back ends after eight events at most (L55).
 */
const CHECK_EVERY = 8;

const WORDS = EPOLL_EVENT_LAYOUT.size / 4;
const DATA_WORD = EPOLL_EVENT_LAYOUT.dataOffset / 4;

/** A registration as this poller keeps it. */
interface Entry {
  events: number;
  generation: number;
  fired: number;
}

export class EPollPoller extends HostedPoller {
  override readonly syscall = "epoll_ctl";

  #epollFd: number;
  #generation = 0;
  readonly #entries = new Map<number, Entry>();
  readonly #ready = new Uint32Array(EPOLL_BATCH * WORDS);
  readonly #readyBytes = new Uint8Array(this.#ready.buffer);
  readonly #event = new Uint32Array(WORDS);
  readonly #eventBytes = new Uint8Array(this.#event.buffer);

  constructor() {
    super();
    this.#epollFd = createEpoll();
  }

  override fileno(): number {
    return this.#epollFd;
  }

  override register(fd: number, events: number): void {
    const entry: Entry = { events, generation: this.#nextGeneration(), fired: 0 };
    if (this.#control(EPOLL_CTL_ADD, fd, entry) < 0) throw systemError(sys.errno(), "epoll_ctl");
    // The kernel knows better than this table: an entry that stands here for a number it accepts is that of a file closed since (L55).
    this.#entries.set(fd, entry);
  }

  override modify(fd: number, events: number): void {
    const entry = this.#entries.get(fd);
    const generation = entry?.generation ?? this.#nextGeneration();
    if (this.#control(EPOLL_CTL_MOD, fd, { events, generation }) < 0) throw systemError(sys.errno(), "epoll_ctl");
    if (entry === undefined) this.#entries.set(fd, { events, generation, fired: 0 });
    else entry.events = events;
  }

  override unregister(fd: number): void {
    this.#entries.delete(fd);
    if (sys.epoll_ctl(this.#epollFd, EPOLL_CTL_DEL, fd, null) < 0) throw systemError(sys.errno(), "epoll_ctl");
  }

  override rebuild(): void {
    // While the old set still tells: a number may be that of another file by now, which must not be entered for the old handler.
    for (const [fd, entry] of this.#entries) if (!this.#isRegistered(fd, entry)) this.#vanish(fd);
    const old = this.#epollFd;
    this.#epollFd = createEpoll();
    closeDescriptor(old);
    this.version++;
    this.tainted = false;
    for (const [fd, entry] of this.#entries) {
      if (this.#control(EPOLL_CTL_ADD, fd, entry) < 0) this.#vanish(fd);
    }
  }

  override waitSize(): number {
    return 1;
  }

  override writeWaitSet(memory: Buffer, offset: number): void {
    writePollfd(memory, offset, this.#epollFd, EPOLLIN);
  }

  override close(): void {
    if (this.#epollFd < 0) return;
    closeDescriptor(this.#epollFd);
    this.#epollFd = -1;
    this.#entries.clear();
  }

  protected override collect(ready: Map<number, number>, milliseconds: number): void {
    const count = sys.epoll_wait(this.#epollFd, this.#readyBytes, EPOLL_BATCH, milliseconds);
    if (count < 0) throw systemError(sys.errno(), "epoll_wait");
    const words = this.#ready;
    for (let index = 0, word = 0; index < count; index++, word += WORDS) {
      const fd = words[word + DATA_WORD] as number;
      const entry = this.#entries.get(fd);
      if (entry === undefined || entry.generation !== words[word + DATA_WORD + 1]) {
        this.#dropStale(fd, entry);
        continue;
      }
      // Checked at every eighth event only; see CHECK_EVERY.
      if (++entry.fired % CHECK_EVERY === 0 && !this.#stillOpen(fd, entry)) {
        this.#vanish(fd);
        this.tainted = true;
        continue;
      }
      ready.set(fd, words[word] as number);
    }
  }

  /** An event of a registration that is not ours any more: a duplicate keeps the kernel's entry alive. */
  #dropStale(fd: number, current: Entry | undefined): void {
    // With a newer registration under the same number, DEL would take that one.
    if (current !== undefined || sys.epoll_ctl(this.#epollFd, EPOLL_CTL_DEL, fd, null) < 0) this.tainted = true;
  }

  #stillOpen(fd: number, entry: Entry): boolean {
    // MOD would arm an edge-triggered or one-shot entry anew, and neither of them can spin.
    if ((entry.events & (EPOLLET | EPOLLONESHOT)) !== 0) return true;
    return this.#isRegistered(fd, entry);
  }

  /** Whether the kernel's entry for the number is that of the file which has the number now. A MOD that changes nothing tells. */
  #isRegistered(fd: number, { events, generation }: Entry): boolean {
    // An exclusive entry cannot be modified: it answers EINVAL where there is one, and ENOENT or EBADF where not, if the mask has not the bit.
    const exclusive = (events & EPOLLEXCLUSIVE) !== 0;
    const asked = exclusive ? (events & ~EPOLLEXCLUSIVE) >>> 0 : events;
    if (this.#control(EPOLL_CTL_MOD, fd, { events: asked, generation }) >= 0) return true;
    return exclusive && sys.errno() === EINVAL;
  }

  #vanish(fd: number): void {
    this.#entries.delete(fd);
    this.vanished(fd);
  }

  #nextGeneration(): number {
    this.#generation = (this.#generation + 1) >>> 0;
    return this.#generation;
  }

  #control(operation: number, fd: number, entry: { events: number; generation: number }): number {
    const event = this.#event;
    event[0] = entry.events;
    event[DATA_WORD] = fd;
    event[DATA_WORD + 1] = entry.generation;
    return sys.epoll_ctl(this.#epollFd, operation, fd, this.#eventBytes);
  }
}

function createEpoll(): number {
  const fd = sys.epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw systemError(sys.errno(), "epoll_create1");
  return fd;
}
