/** What the tests of the platform share: errors as values, readiness without the loop, watching all system calls. */
import { readlinkSync } from "node:fs";
import { expect } from "chai";
import { POLLIN, type Socket, type SystemError, sys } from "../../src/platform/index.js";

/** What `call` throws. */
export function thrown(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    expect(error).to.be.instanceOf(Error);
    return error as Error;
  }
  throw new Error("It did not throw");
}

/** Expects a system error with these properties, in Node's form. */
export function expectSystemError(call: () => unknown, wanted: Partial<SystemError>): SystemError {
  const error = thrown(call) as SystemError;
  expect(error).to.include(wanted);
  expect(error.errno).to.be.lessThan(0);
  expect(error.message).to.match(new RegExp(`^${error.syscall} ${error.code}`));
  return error;
}

/** Expects an error of exactly this class whose message matches. */
export function expectError(call: () => unknown, type: new (message: string) => Error, message?: RegExp): void {
  const error = thrown(call);
  expect(error.constructor).to.equal(type);
  if (message !== undefined) expect(error.message).to.match(message);
}

/** Waits at most two seconds, in poll(2) itself, until the descriptor has one of these events; answers the events it has. */
export function ready(socket: Socket | number, events: number = POLLIN, timeout = 2000): number {
  const entry = Buffer.alloc(8);
  entry.writeInt32LE(typeof socket === "number" ? socket : socket.fileno(), 0);
  entry.writeInt16LE(events, 4);
  sys.poll(entry, 1, timeout);
  return entry.readUInt16LE(6);
}

/** Runs `action` and answers the names of the system calls it made. */
export function systemCallsOf(action: () => unknown): string[] {
  const made: string[] = [];
  const members = sys as unknown as Record<string, (...args: unknown[]) => unknown>;
  const real = { ...members };
  for (const [name, call] of Object.entries(real)) {
    members[name] = (...args) => {
      if (name !== "errno" && name !== "address") made.push(name);
      return call(...args);
    };
  }
  try {
    action();
  } finally {
    Object.assign(members, real);
  }
  return made;
}

/** What a descriptor is, as the kernel calls it ("socket:[8812]"); `undefined` when the number is not open. */
export function identity(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
