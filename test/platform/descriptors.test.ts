import { closeSync, openSync } from "node:fs";
import { expect } from "chai";
import {
  closeDescriptor,
  createEventFd,
  drainEventFd,
  enlargePipe,
  F_GETFL,
  F_SETPIPE_SZ,
  isInheritable,
  isOpen,
  O_NONBLOCK,
  openDescriptors,
  pipe,
  POLLIN,
  readDescriptor,
  setInheritable,
  setNonblocking,
  signalEventFd,
  sys,
  writeDescriptor,
} from "../../src/platform/index.js";
import { injectFault } from "../support/faults.js";
import { expectError, expectSystemError, identity, ready, systemCallsOf } from "./expectations.js";

describe("Descriptors", () => {
  let ends: number[] = [];
  const opened = (): [number, number] => {
    const pair = pipe();
    ends.push(...pair);
    return pair;
  };
  const close = (fd: number): void => {
    ends = ends.filter((each) => each !== fd);
    closeDescriptor(fd);
  };
  afterEach(() => {
    for (const fd of ends.splice(0)) closeDescriptor(fd);
  });

  it("enlargePipe makes a pipe larger and never smaller, takes a refusal, and names what is no pipe", () => {
    const [read] = opened();
    const usual = enlargePipe(read, 1);
    const larger = enlargePipe(read, 4 * usual);
    expect([larger, enlargePipe(read, 1)]).to.deep.equal([4 * usual, 4 * usual]);
    {
      using refused = injectFault("fcntl", { errno: "ENOMEM", when: (_fd: number, command: number) => command === F_SETPIPE_SZ });
      expect([enlargePipe(read, 8 * usual), refused.injected]).to.deep.equal([larger, 1]);
    }
    const event = createEventFd();
    try {
      expect(() => enlargePipe(event, 1)).to.throw("EBADF");
    } finally {
      closeDescriptor(event);
    }
  });

  it("pipe is non-blocking and close-on-exec from the creating call, read end first", () => {
    let pair: [number, number] = [-1, -1];
    expect(systemCallsOf(() => (pair = opened()))).to.deep.equal(["pipe2"]);
    for (const fd of pair) {
      expect(isInheritable(fd)).to.equal(false);
      expect(sys.fcntl(fd, F_GETFL, 0) & O_NONBLOCK).to.equal(O_NONBLOCK);
    }
    expect(writeDescriptor(pair[1], Buffer.from("x"))).to.equal(1);
    expect(readDescriptor(pair[0], Buffer.alloc(5))).to.equal(1);
  });

  it("reading answers the count, undefined when it would block and 0 at end of file", () => {
    const [read, write] = opened();
    const memory = Buffer.alloc(8, ".");
    expect(readDescriptor(read, memory)).to.equal(undefined);
    writeDescriptor(write, Buffer.from("abc"));
    expect(readDescriptor(read, memory.subarray(2, 4))).to.equal(2);
    expect(memory.toString()).to.equal("..ab....");
    expect(readDescriptor(read, memory)).to.equal(1);
    close(write);
    expect(readDescriptor(read, memory)).to.equal(0);
    expectError(() => readDescriptor(read, Buffer.alloc(0)), RangeError, /0 bytes/);
  });

  it("writing answers what the kernel took, then undefined; a reader that is gone is EPIPE and no signal", () => {
    const [read, write] = opened();
    const block = Buffer.alloc(50_000);
    expect(writeDescriptor(write, block)).to.equal(50_000);
    expect(writeDescriptor(write, block)).to.be.within(1, 49_999);
    expect(writeDescriptor(write, block)).to.equal(undefined);
    close(read);
    expectSystemError(() => writeDescriptor(write, block), { code: "EPIPE", syscall: "write" });
  });

  it("N30 every call but close repeats after EINTR", () => {
    const [read, write] = opened();
    const steps: [keyof typeof sys, () => unknown, unknown][] = [
      ["write", () => writeDescriptor(write, Buffer.from("ab")), 2],
      ["read", () => readDescriptor(read, Buffer.alloc(5)), 2],
      ["pipe2", () => opened().length, 2],
      ["eventfd", () => ends.push(createEventFd()) > 0, true],
      ["fcntl", () => isOpen(read), true],
      ["fcntl", () => setNonblocking(read), undefined],
    ];
    for (const [name, step, wanted] of steps) {
      using fault = injectFault(name, { errno: "EINTR", times: 2 });
      expect(step(), name).to.equal(wanted);
      expect(fault.injected, name).to.equal(2);
    }
    using fault = injectFault("close", { errno: "EINTR", afterRealCall: true });
    close(read);
    expect(fault.calls).to.equal(1);
  });

  it("isOpen and closeDescriptor know a number that is not open", () => {
    const [read] = opened();
    expect(isOpen(read)).to.equal(true);
    const own = identity(read);
    close(read);
    expect(identity(read)).to.not.equal(own);
    const never = 999_999;
    expect(isOpen(never)).to.equal(false);
    expectSystemError(() => closeDescriptor(never), { code: "EBADF", errno: -9, syscall: "close", message: "close EBADF" });
    expectSystemError(() => readDescriptor(never, Buffer.alloc(1)), { code: "EBADF", syscall: "read" });
  });

  it("a number that can be no descriptor is refused before any system call", () => {
    const made = systemCallsOf(() => {
      for (const call of [isOpen, closeDescriptor, setNonblocking, isInheritable]) {
        expectError(() => call(-1), RangeError, /descriptor -1/);
        expectError(() => call(1.5), RangeError, /1\.5/);
        expectError(() => call(Number.NaN), RangeError, /NaN/);
        expectError(() => call("1" as never), TypeError, /"1"/);
      }
    });
    expect(made).to.deep.equal([]);
  });

  it("openDescriptors lists what is open and not what listing it takes", () => {
    const before = openDescriptors();
    expect(openDescriptors()).to.deep.equal(before);
    const pair = opened();
    expect(openDescriptors().filter((fd) => !before.includes(fd))).to.deep.equal([...pair].sort((a, b) => a - b));
    expect(openDescriptors()).to.deep.equal([...openDescriptors()].sort((a, b) => a - b));
  });

  it("non-blocking and inheritable are switched on and off", () => {
    const fd = openSync("/dev/null", "r");
    try {
      setNonblocking(fd);
      expect(sys.fcntl(fd, F_GETFL, 0) & O_NONBLOCK).to.equal(O_NONBLOCK);
      setNonblocking(fd, false);
      expect(sys.fcntl(fd, F_GETFL, 0) & O_NONBLOCK).to.equal(0);
      setInheritable(fd, true);
      expect(isInheritable(fd)).to.equal(true);
      setInheritable(fd, false);
      expect(isInheritable(fd)).to.equal(false);
    } finally {
      closeSync(fd);
    }
  });

  it("an eventfd is readable from the first signal to the drain, however many there were", () => {
    const fd = createEventFd();
    ends.push(fd);
    expect(isInheritable(fd)).to.equal(false);
    expect(ready(fd, POLLIN, 0)).to.equal(0);
    drainEventFd(fd);
    signalEventFd(fd);
    signalEventFd(fd);
    expect(ready(fd, POLLIN, 0)).to.equal(POLLIN);
    drainEventFd(fd);
    expect(ready(fd, POLLIN, 0)).to.equal(0);
    // As full as it gets: one more signal would block, and is not needed.
    sys.write(fd, Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 8);
    signalEventFd(fd);
    expect(ready(fd, POLLIN, 0)).to.equal(POLLIN);
  });
});
