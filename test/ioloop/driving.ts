/** What the tests of the loop share: running it for a number of polls, and descriptors that are closed with the test. */
import { expect } from "chai";
import type { IOLoop, PollIOLoop, Selectable } from "../../src/ioloop/index.js";
import {
  closeDescriptor,
  F_DUPFD_CLOEXEC,
  isOpen,
  pipe,
  readDescriptor,
  sys,
  type SystemError,
  writeDescriptor,
} from "../../src/platform/index.js";
import { FakePoller } from "../support/fake-poller.js";
import { makeLoop } from "../support/loop.js";
import { logRecords } from "../support/log-records.js";
import { thrown } from "../platform/expectations.js";
import { Fixtures } from "../platform/fixtures.js";

/** A loop around a fake poller whose clock it uses, at 1000. */
export function makeFakeLoop(): { fake: FakePoller; loop: PollIOLoop } {
  const fake = new FakePoller(1000);
  return { fake, loop: makeLoop({ impl: fake, timeFunc: fake.time }) };
}

/** Starts the loop and stops it after exactly `count` polls. None of them waits, for a callback is always queued. */
export async function runPolls(loop: IOLoop, count: number): Promise<void> {
  let left = count;
  const tick = (): void => {
    if (left-- > 0) loop.addCallback(tick);
    else loop.stop();
  };
  loop.addCallback(tick);
  await loop.start();
}

/** Sockets as in the platform's tests, and bare descriptors. */
export class Files extends Fixtures {
  readonly #open = new Set<number>();

  /** Closes a descriptor with the test. */
  adopt(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  /** A pipe: read end, write end. */
  pipe(): [number, number] {
    const [reader, writer] = pipe();
    return [this.adopt(reader), this.adopt(writer)];
  }

  /** A pipe with one byte in it. */
  fullPipe(): [number, number] {
    const ends = this.pipe();
    put(ends[1]);
    return ends;
  }

  /** A duplicate, with the lowest free number from `from` on. */
  dup(fd: number, from = 0): number {
    const copy = sys.fcntl(fd, F_DUPFD_CLOEXEC, from);
    if (copy < 0) throw new Error(`No duplicate of descriptor ${fd}, errno ${sys.errno()}`);
    return this.adopt(copy);
  }

  /** Moves an open file to the number of one that was just closed. */
  moveTo(fd: number, number: number): number {
    if (isOpen(number)) throw new Error(`Descriptor ${number} is in use`);
    const moved = this.dup(fd, number);
    if (moved !== number) throw new Error(`Descriptor ${number} was taken`);
    this.drop(fd);
    return moved;
  }

  /** Leaves a descriptor alone that somebody else has closed. */
  forget(fd: number): void {
    this.#open.delete(fd);
  }

  /** Closes a descriptor now. */
  drop(fd: number): void {
    this.#open.delete(fd);
    closeDescriptor(fd);
  }

  override close(): void {
    for (const fd of this.#open) closeDescriptor(fd);
    this.#open.clear();
    super.close();
  }
}

/** Writes one byte. */
export function put(fd: number): void {
  if (writeDescriptor(fd, Buffer.from("x")) !== 1) throw new Error(`Descriptor ${fd} took nothing`);
}

/** Reads what is there. */
export function drain(fd: number): void {
  const buffer = Buffer.alloc(4096);
  while (readDescriptor(fd, buffer) === buffer.length);
}

/** An object around a descriptor, with a count of its `close()` calls. */
export class Owner implements Selectable {
  readonly #fd: number;
  closed = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  fileno(): number {
    return this.#fd;
  }

  close(): void {
    this.closed++;
  }
}

/** Debug records on `general`. */
export function debugMessages(): string[] {
  return logRecords()
    .filter(({ logger, level }) => logger === "general" && level === "debug")
    .map(({ message }) => message);
}

/** Expects a system error in Node's form whose message names the argument, its value and the cure. */
export function expectRefusal(call: () => unknown, syscall: string, code: string, fd: number): void {
  const error = thrown(call) as SystemError;
  expect(error).to.include({ code, syscall });
  expect(error.errno).to.be.lessThan(0);
  expect(error.message).to.match(new RegExp(`^${syscall} ${code}: fd is ${fd}, which .+: .+`));
}
