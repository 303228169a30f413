/** What `addHandler` takes, and the table of what is registered: by descriptor number, with what the poller has been told of each. */
import { inspect } from "node:util";
import { generalLog } from "../log.js";
import { EBADF, EEXIST, ENOENT, EPERM, isOpen, systemError } from "../platform/index.js";
import { isSystemError } from "./checks.js";
import type { Callback, Context } from "./context.js";
import { ERROR, READ, WRITE } from "./masks.js";
import { isHosted, type Poller } from "./pollers/poller.js";

/** Anything that owns a descriptor: the library's `Socket`, or an object of one's own. Tornado's file-like object. */
export interface Selectable {
  /** The descriptor's number; -1 once it is closed. */
  fileno(): number;
  /** Closes it; `closeFd` and `close({ allFds: true })` call this where it is there. */
  close?(): void;
}

/** What the handler methods take: a descriptor's number or an object that has one. */
export type FileDescriptor = number | Selectable;

/** What runs when a descriptor is ready. It gets back the very value that was registered. */
export type EventCallback<F extends FileDescriptor = FileDescriptor> = (fd: F, events: number) => unknown;

/** A registered descriptor. */
export class Registration {
  /** The descriptor's number. */
  readonly number: number;
  /** The value given to `addHandler`. */
  readonly fd: FileDescriptor;
  readonly handler: EventCallback<never>;
  /** The mask wanted, `ERROR` included. */
  events: number;
  /** The mask the poller was last told. */
  polled: number;
  readonly #context: Context | undefined;

  constructor(number: number, fd: FileDescriptor, handler: EventCallback<never>, events: number, context: Context | undefined) {
    this.number = number;
    this.fd = fd;
    this.handler = handler;
    this.events = this.polled = events;
    this.#context = context;
  }

  /** Calls the handler in the context of its registration; with none it runs in the turn's own, which is none. */
  run(events: number): unknown {
    const { handler, fd } = this;
    if (this.#context === undefined) return (handler as Callback)(fd, events);
    return this.#context.call(handler, fd, events);
  }
}

/** Interests that may be told to the poller late. With others (edge-triggered, one-shot) telling is itself an act: it arms them anew. */
const LAZY_BITS = READ | WRITE | ERROR;

const REASONS: ReadonlyMap<number, string> = new Map([
  [EBADF, "which is not open: pass an open descriptor"],
  [EEXIST, "which is registered already: use updateHandler() for other events"],
  [ENOENT, "which is not registered: use addHandler() first"],
  [EPERM, "which cannot be watched: a regular file is always ready"],
]);

/** The registrations of a loop by descriptor number: Tornado's `_handlers`, and the way to the poller. */
export class HandlerTable extends Map<number, Registration> {
  readonly #poller: Poller;
  /** Registrations whose interest the poller has not been told yet. */
  readonly #changed = new Set<Registration>();

  readonly #forgotten: (fd: FileDescriptor) => void;

  /** `forgotten` is told of each registration that goes without anybody having removed it. */
  constructor(poller: Poller, forgotten: (fd: FileDescriptor) => void) {
    super();
    this.#poller = poller;
    this.#forgotten = forgotten;
  }

  /** @throws SystemError what the poller refuses with; nothing is entered then */
  register(registration: Registration): void {
    const { number } = registration;
    if (number < 0) throw this.#refusal(EBADF, number);
    // A poller of ours asks the kernel, which knows when a number means another file than it did (L55).
    if (this.has(number) && !isHosted(this.#poller)) throw this.#refusal(EEXIST, number);
    try {
      this.#poller.register(number, registration.events);
    } catch (error) {
      throw isHosted(this.#poller) && isSystemError(error) && error.errno !== undefined ? this.#refusal(error.errno, number) : error;
    }
    // With it goes what a registration of a file closed since still had to tell the poller.
    const stale = this.#take(number);
    if (stale !== undefined) this.#forgotten(stale.fd);
    this.set(number, registration);
  }

  /**
   * Notes a new interest; `flush` tells the poller, once, and only what has really changed by then.
   *
   * @throws SystemError ENOENT for a number that is open but not registered, EBADF for one that is not open
   */
  update(number: number, events: number): void {
    const registration = this.get(number);
    if (registration === undefined) throw this.#refusal(number >= 0 && isOpen(number) ? ENOENT : EBADF, number);
    if (((events | registration.polled) & ~LAZY_BITS) !== 0) {
      this.#poller.modify(number, events);
      registration.polled = events;
    }
    registration.events = events;
    if (events !== registration.polled) this.#changed.add(registration);
  }

  /** Takes a registration out, the poller's part at once. Afterwards it may be too late: see `pollers/epoll.ts`. */
  unregister(number: number): Registration | undefined {
    const registration = this.#take(number);
    if (registration === undefined) return undefined;
    try {
      this.#poller.unregister(number);
    } catch (error) {
      generalLog.debug(`The poller could not forget descriptor ${number}`, error);
    }
    return registration;
  }

  /** Takes out a registration that the poller has lost already. */
  forget(number: number, why: string): void {
    const registration = this.#take(number);
    if (registration === undefined) return;
    generalLog.debug(`Descriptor ${number} ${why}: its handler is removed`);
    this.#forgotten(registration.fd);
  }

  /**
   * Tells the poller what has changed; with `gainsOnly`, just where an interest was gained. What a registration no longer wants may be told
   * later when the poll that follows does not wait: mostly it is wanted again by the next one, and till then `withdraw` keeps it away.
   */
  flush(gainsOnly = false): void {
    if (this.#changed.size === 0) return;
    for (const registration of this.#changed) {
      if (gainsOnly && (registration.events & ~registration.polled) === 0 && registration.events !== registration.polled) continue;
      this.#changed.delete(registration);
      if (registration.events === registration.polled) continue; // Off and on again.
      try {
        this.#poller.modify(registration.number, registration.events);
        registration.polled = registration.events;
      } catch (error) {
        // Not thrown: a flush may run in a microtask, with nobody above it. A system error says that the descriptor has gone.
        if (!isSystemError(error)) generalLog.error("A poller failed to change an interest", error);
        this.forget(registration.number, `cannot be watched any more (${String(error)})`);
      }
    }
  }

  /** Takes out of `ready` what a registration no longer wants and the poller has not been told of yet. */
  withdraw(ready: Map<number, number>): void {
    if (this.#changed.size === 0) return;
    for (const { number, events } of this.#changed) {
      const mask = ready.get(number);
      if (mask === undefined) continue;
      if ((mask & events) === 0) ready.delete(number);
      else ready.set(number, mask & events);
    }
  }

  /** The number under which an object is registered that has closed its own descriptor; -1 when it is not. */
  numberOf(fd: FileDescriptor): number {
    for (const registration of this.values()) if (registration.fd === fd) return registration.number;
    return -1;
  }

  override clear(): void {
    super.clear();
    this.#changed.clear();
  }

  #take(number: number): Registration | undefined {
    const registration = this.get(number);
    if (registration === undefined) return undefined;
    this.delete(number);
    this.#changed.delete(registration);
    return registration;
  }

  /** The system's error, with what it cannot know: which argument it was, and what would be right. */
  #refusal(errno: number, number: number): Error {
    const why = REASONS.get(Math.abs(errno));
    return systemError(errno, this.#syscall, { reason: `fd is ${number}${why === undefined ? "" : `, ${why}`}` });
  }

  get #syscall(): string {
    return isHosted(this.#poller) ? this.#poller.syscall : "epoll_ctl";
  }
}

/**
 * The number of a descriptor and the value as given.
 *
 * @throws RangeError for a number that is no descriptor, TypeError for what is neither a number nor has `fileno()`
 */
export function splitFd(fd: FileDescriptor): [number, FileDescriptor] {
  if (typeof fd === "number") {
    if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) {
      throw new RangeError(`fd is ${inspect(fd)}: pass a descriptor, an integer from 0 on`);
    }
    return [fd, fd];
  }
  if (typeof (fd as Partial<Selectable> | null | undefined)?.fileno !== "function") {
    throw new TypeError(`fd is ${inspect(fd, { depth: 0 })}: pass a descriptor's number, or an object with a fileno() method`);
  }
  const number: unknown = fd.fileno();
  if (typeof number !== "number" || !Number.isInteger(number)) {
    throw new TypeError(`fd.fileno() answered ${inspect(number)}: it must return the descriptor's number`);
  }
  return [number, fd];
}
