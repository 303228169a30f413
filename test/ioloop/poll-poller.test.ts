/** The poll(2) poller on its own: what it asks at registration, what it finds out later, and the memory it hands to the kernel. */
import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { PollPoller } from "../../src/ioloop/index.js";
import { isHosted } from "../../src/ioloop/pollers/poller.js";
import {
  createEventFd,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLONESHOT,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  signalEventFd,
} from "../../src/platform/index.js";
import { expectSystemError } from "../platform/expectations.js";
import { injectFault } from "../support/faults.js";
import { realMilliseconds } from "../support/real-timers.js";
import { drain, Files, put } from "./driving.js";

describe("PollPoller", () => {
  const files = new Files();
  let poller: PollPoller;

  beforeEach(() => {
    poller = new PollPoller();
  });

  afterEach(() => {
    poller.close();
    files.close();
  });

  const now = (): [number, number][] => [...poller.poll(0)].map(([fd, events]): [number, number] => [fd, events]).sort(([a], [b]) => a - b);

  it("has no descriptor of its own, and never needs a new set", () => {
    expect(isHosted(poller)).to.equal(true);
    expect("fileno" in poller).to.equal(false);
    expect(poller.tainted).to.equal(false);
    const [reader] = files.fullPipe();
    poller.register(reader, POLLIN);
    poller.rebuild();
    expect(now()).to.deep.equal([[reader, POLLIN]]);
  });

  it("answers descriptors and masks with the same bits as epoll, also into a map that has entries", () => {
    const [reader, writer] = files.fullPipe();
    poller.register(reader, POLLIN);
    poller.register(writer, POLLOUT);
    expect(now()).to.deep.equal([
      [reader, POLLIN],
      [writer, POLLOUT],
    ]);
    drain(reader);
    poller.modify(writer, 0);
    expect(now()).to.deep.equal([]);
    poller.unregister(writer);
    files.drop(writer);
    const batch = new Map([[3, 4]]);
    poller.harvest(batch);
    expect([...batch]).to.deep.equal([
      [3, 4],
      [reader, POLLHUP],
    ]);
  });

  it("answers all of many, with room made as they come", () => {
    const readers = Array.from({ length: 300 }, () => files.fullPipe()[0]);
    for (const [index, reader] of readers.entries()) {
      poller.register(reader, POLLIN);
      if (index % 50 === 0) expect(now()).to.have.length(index + 1);
    }
    expect(now()).to.have.length(300);
    for (const reader of readers.slice(0, 299)) poller.unregister(reader);
    expect(now()).to.deep.equal([[readers.at(-1), POLLIN]]);
  });

  it("L50 L51 L54 refuses what epoll would, under its own name", () => {
    const [reader, writer] = files.pipe();
    poller.register(reader, POLLIN);
    const refused = { syscall: "poll" };
    expectSystemError(() => poller.register(reader, POLLIN), { ...refused, code: "EEXIST" });
    expectSystemError(() => poller.modify(writer, POLLIN), { ...refused, code: "ENOENT" });
    expectSystemError(() => poller.unregister(writer), { ...refused, code: "ENOENT" });
    files.drop(writer);
    expectSystemError(() => poller.register(writer, POLLIN), { ...refused, code: "EBADF" });
    expectSystemError(() => poller.modify(writer, POLLIN), { ...refused, code: "EBADF" });
    const file = files.adopt(openSync(fileURLToPath(import.meta.url), "r"));
    expectSystemError(() => poller.register(file, POLLIN), { ...refused, code: "EPERM" });
    const folder = files.adopt(openSync(fileURLToPath(new URL(".", import.meta.url)), "r"));
    expectSystemError(() => poller.register(folder, POLLIN), { ...refused, code: "EPERM" });
    expect(poller.waitSize()).to.equal(1);
  });

  it("L57 refuses bits that only epoll has, and passes the others on", () => {
    const [a, b] = files.pair();
    const fd = a.fileno();
    for (const bit of [EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE, 0x20000000]) {
      expectSystemError(() => poller.register(fd, (POLLIN | bit) >>> 0), { code: "EINVAL", syscall: "poll" });
    }
    expect(poller.waitSize()).to.equal(0);
    poller.register(fd, POLLIN);
    expectSystemError(() => poller.modify(fd, (POLLIN | EPOLLET) >>> 0), { code: "EINVAL", syscall: "poll" });
    poller.modify(fd, POLLRDHUP);
    b.shutdown(1);
    expect(now()).to.deep.equal([[fd, POLLRDHUP]]);
  });

  it("L11 throws what poll(2) refuses, interruptions included", () => {
    for (const code of ["EINTR", "ENOMEM"]) {
      using fault = injectFault("poll", { errno: code });
      expectSystemError(() => poller.poll(0), { code, syscall: "poll" });
      expect(fault.injected).to.equal(1);
    }
  });

  it("H14 rounds a wait up to whole milliseconds", () => {
    const started = realMilliseconds();
    expect([...poller.poll(0.0051)]).to.deep.equal([]);
    expect(realMilliseconds() - started).to.be.at.least(5.1);
  });

  it("L55 drops a descriptor that was closed, at the first poll, and tells once", () => {
    const [reader, writer] = files.fullPipe();
    const copy = files.dup(reader);
    poller.register(reader, POLLIN);
    poller.register(writer, POLLOUT);
    files.drop(reader);
    expect(now()).to.deep.equal([[writer, POLLOUT]]);
    expect(poller.takeVanished()).to.deep.equal([reader]);
    expect(poller.takeVanished()).to.deep.equal([]);
    expect(poller.waitSize()).to.equal(1);
    drain(copy);
  });

  it("L55 replaces the registration of a number that is another file's by now", () => {
    const [[old], [fresh]] = [files.pipe(), files.fullPipe()];
    poller.register(old, POLLIN);
    files.drop(old);
    files.moveTo(fresh, old);
    poller.register(old, 0);
    expect(now()).to.deep.equal([]);
    poller.modify(old, POLLIN);
    expect(now()).to.deep.equal([[old, POLLIN]]);
    expect(poller.takeVanished()).to.deep.equal([]);
  });

  it("L55 gives the old handler at most a few events of another file that got the number", () => {
    const [[old], [fresh]] = [files.pipe(), files.fullPipe()];
    poller.register(old, POLLIN);
    files.drop(old);
    files.moveTo(fresh, old);
    let events = 0;
    for (let each = 0; each < 20; each++) events += now().length;
    expect(events).to.be.at.most(7);
    expect(poller.takeVanished()).to.deep.equal([old]);
    expect(poller.waitSize()).to.equal(0);
  });

  it("L55 keeps what fires and has not changed", () => {
    const counter = files.adopt(createEventFd());
    signalEventFd(counter);
    poller.register(counter, POLLIN);
    for (let each = 0; each < 40; each++) expect(now()).to.deep.equal([[counter, POLLIN]]);
  });

  it("H13 is waited for through all it watches; its version tells when that has changed", () => {
    const [reader, writer] = files.pipe();
    const versions = [poller.version];
    const note = (): unknown => versions.push(poller.version);
    poller.register(reader, POLLIN);
    note();
    poller.register(writer, POLLOUT);
    note();
    poller.modify(writer, 0);
    note();
    const memory = Buffer.alloc(24, 0xff);
    expect(poller.waitSize()).to.equal(2);
    poller.writeWaitSet(memory, 8);
    const entries = [8, 16].map((at) => [memory.readInt32LE(at), memory.readUInt16LE(at + 4), memory.readUInt16LE(at + 6)]);
    expect(entries).to.deep.equal([
      [reader, POLLIN, 0],
      [writer, 0, 0],
    ]);
    poller.unregister(writer);
    note();
    files.drop(reader);
    now();
    note();
    expect(new Set(versions).size).to.equal(versions.length);
    now();
    expect(poller.version).to.equal(versions.at(-1));
  });

  it("L91 forgets everything when it is closed, and may be closed again", () => {
    const [reader, writer] = files.pipe();
    poller.register(reader, POLLIN);
    poller.close();
    poller.close();
    put(writer);
    expect(poller.waitSize()).to.equal(0);
    expect(now()).to.deep.equal([]);
  });
});
