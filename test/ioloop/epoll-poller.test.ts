/** The epoll poller on its own: what the kernel refuses, registrations gone stale, and the set that is built anew. */
import { expect } from "chai";
import { EPollPoller } from "../../src/ioloop/index.js";
import { isHosted } from "../../src/ioloop/pollers/poller.js";
import { EPOLLET, EPOLLEXCLUSIVE, EPOLLIN, EPOLLONESHOT, EPOLLOUT, isInheritable, isOpen, sys } from "../../src/platform/index.js";
import { expectSystemError, ready } from "../platform/expectations.js";
import { countCalls, injectFault } from "../support/faults.js";
import { realMilliseconds } from "../support/real-timers.js";
import { drain, Files, put } from "./driving.js";

describe("EPollPoller", () => {
  const files = new Files();
  let poller: EPollPoller;

  beforeEach(() => {
    poller = new EPollPoller();
  });

  afterEach(() => {
    poller.close();
    files.close();
  });

  /** What is ready now, as pairs in the order of the numbers. */
  const now = (): [number, number][] => [...poller.poll(0)].map(([fd, events]): [number, number] => [fd, events]).sort(([a], [b]) => a - b);

  it("L91 has a descriptor of its own until it is closed, close-on-exec; closing again does nothing", () => {
    const fd = poller.fileno();
    expect(isOpen(fd)).to.equal(true);
    expect(isInheritable(fd)).to.equal(false);
    poller.close();
    expect(isOpen(fd)).to.equal(false);
    const [reader] = files.pipe();
    poller.close();
    expect(isOpen(reader)).to.equal(true);
    expect(poller.fileno()).to.equal(-1);
  });

  it("L91 opens nothing when the kernel gives it no epoll set", () => {
    using fault = injectFault("epoll_create1", { errno: "EMFILE" });
    expectSystemError(() => new EPollPoller(), { code: "EMFILE", syscall: "epoll_create1" });
    expect(fault.injected).to.equal(1);
  });

  it("answers descriptors and masks, also into a map that has entries", () => {
    const [reader, writer] = files.fullPipe();
    poller.register(reader, EPOLLIN);
    poller.register(writer, EPOLLOUT);
    expect(now()).to.deep.equal([
      [reader, EPOLLIN],
      [writer, EPOLLOUT],
    ]);
    drain(reader);
    poller.modify(writer, 0);
    expect(now()).to.deep.equal([]);
    poller.modify(writer, EPOLLOUT);
    poller.unregister(writer);
    put(writer);
    const batch = new Map([[3, 4]]);
    poller.harvest(batch);
    expect([...batch]).to.deep.equal([
      [3, 4],
      [reader, EPOLLIN],
    ]);
    expect(isHosted(poller)).to.equal(true);
  });

  it("L50 L51 L54 throws what the kernel refuses", () => {
    const [reader, writer] = files.pipe();
    poller.register(reader, EPOLLIN);
    const refused = { syscall: "epoll_ctl" };
    expectSystemError(() => poller.register(reader, EPOLLIN), { ...refused, code: "EEXIST" });
    expectSystemError(() => poller.modify(writer, EPOLLIN), { ...refused, code: "ENOENT" });
    expectSystemError(() => poller.unregister(writer), { ...refused, code: "ENOENT" });
    files.drop(writer);
    expectSystemError(() => poller.register(writer, EPOLLIN), { ...refused, code: "EBADF" });
    expectSystemError(() => poller.modify(writer, EPOLLIN), { ...refused, code: "EBADF" });
    expectSystemError(() => poller.unregister(writer), { ...refused, code: "EBADF" });
  });

  it("L11 throws what epoll_wait refuses, interruptions included", () => {
    for (const code of ["EINTR", "EBADF"]) {
      using fault = injectFault("epoll_wait", { errno: code });
      expectSystemError(() => poller.poll(0), { code, syscall: "epoll_wait" });
      expect(fault.injected).to.equal(1);
    }
  });

  it("H14 rounds a wait up to whole milliseconds", () => {
    const started = realMilliseconds();
    expect(now()).to.deep.equal([]);
    expect([...poller.poll(0.0051)]).to.deep.equal([]);
    expect(realMilliseconds() - started).to.be.at.least(5.1);
  });

  it("L57 hands edge-triggered and one-shot bits to the kernel, and arms neither anew by itself", () => {
    const [edge, edgeWriter] = files.fullPipe();
    const [once, onceWriter] = files.fullPipe();
    poller.register(edge, (EPOLLIN | EPOLLET) >>> 0);
    poller.register(once, EPOLLIN | EPOLLONESHOT);
    expect(now()).to.have.length(2);
    // More arrivals than events between two checks of a registration.
    let fromEdge = 0;
    for (let each = 0; each < 20; each++) {
      put(edgeWriter);
      put(onceWriter);
      for (const [fd] of now()) {
        expect(fd).to.equal(edge);
        fromEdge++;
      }
      expect(now()).to.deep.equal([]);
    }
    expect(fromEdge).to.equal(20);
    poller.modify(once, EPOLLIN | EPOLLONESHOT);
    expect(now()).to.deep.equal([[once, EPOLLIN]]);
  });

  it("L57 keeps an exclusive registration, which cannot be modified, through every check and a new set", () => {
    const [reader] = files.fullPipe();
    poller.register(reader, EPOLLIN | EPOLLEXCLUSIVE);
    for (let each = 0; each < 20; each++) expect(now()).to.deep.equal([[reader, EPOLLIN]]);
    poller.rebuild();
    for (let each = 0; each < 20; each++) expect(now()).to.deep.equal([[reader, EPOLLIN]]);
    expect(poller.takeVanished()).to.deep.equal([]);
    expect(poller.tainted).to.equal(false);
  });

  describe("stale registrations", () => {
    it("L55 forgets a descriptor that was closed with all its duplicates without a word from the kernel", () => {
      const [reader] = files.fullPipe();
      poller.register(reader, EPOLLIN);
      files.drop(reader);
      for (let each = 0; each < 20; each++) expect(now()).to.deep.equal([]);
      expect(poller.tainted).to.equal(false);
    });

    it("L55 finds one that keeps firing out after eight events, asks for a new set, and is rid of it there", () => {
      const [reader] = files.fullPipe();
      const copy = files.dup(reader);
      poller.register(reader, EPOLLIN);
      files.drop(reader);
      let events = 0;
      while (!poller.tainted && events < 100) events += now().length;
      expect(events).to.equal(7);
      expect(poller.takeVanished()).to.deep.equal([reader]);
      expect(poller.takeVanished()).to.deep.equal([]);
      // The kernel still says it, to whoever watches the set.
      expect(ready(poller.fileno())).to.equal(EPOLLIN);
      const before = { fd: poller.fileno(), version: poller.version };
      poller.rebuild();
      expect(ready(poller.fileno(), EPOLLIN, 0)).to.equal(0);
      expect(poller.tainted).to.equal(false);
      expect(poller.version).to.be.greaterThan(before.version);
      expect(now()).to.deep.equal([]);
      drain(copy);
    });

    it("L55 drops the event of a registration that was removed after its descriptor was closed", () => {
      const [reader] = files.fullPipe();
      files.dup(reader);
      poller.register(reader, EPOLLIN);
      files.drop(reader);
      expectSystemError(() => poller.unregister(reader), { code: "EBADF" });
      expect(now()).to.deep.equal([]);
      expect(poller.tainted).to.equal(true);
      expect(poller.takeVanished()).to.deep.equal([]);
    });

    it("L55 drops the event of an older registration of a number that has a newer one", () => {
      const [old] = files.fullPipe();
      files.dup(old);
      const [fresh, writer] = files.pipe();
      poller.register(old, EPOLLIN);
      files.drop(old);
      files.moveTo(fresh, old);
      poller.register(old, EPOLLIN);
      expect(now()).to.deep.equal([]);
      expect(poller.tainted).to.equal(true);
      poller.rebuild();
      expect(now()).to.deep.equal([]);
      expect(poller.tainted).to.equal(false);
      put(writer);
      for (let each = 0; each < 20; each++) expect(now()).to.deep.equal([[old, EPOLLIN]]);
      expect(poller.takeVanished()).to.deep.equal([]);
    });

    it("L55 unregisters the leftover of a number that is open again but not registered", () => {
      const [reader] = files.fullPipe();
      const copy = files.dup(reader);
      poller.register(reader, EPOLLIN);
      files.drop(reader);
      expectSystemError(() => poller.unregister(reader), { code: "EBADF" });
      // The same open file under the same number again: now the kernel's entry has a name.
      expect(files.dup(copy, reader)).to.equal(reader);
      expect(now()).to.deep.equal([]);
      expect(poller.tainted).to.equal(false);
      expect(ready(poller.fileno(), EPOLLIN, 0)).to.equal(0);
    });

    it("L55 does not enter a number in the new set that is that of another file by now", () => {
      const [reader] = files.pipe();
      files.dup(reader);
      const [[kept], [fresh]] = [files.fullPipe(), files.fullPipe()];
      poller.register(reader, EPOLLIN);
      poller.register(kept, EPOLLIN);
      files.drop(reader);
      files.moveTo(fresh, reader);
      poller.rebuild();
      expect(poller.takeVanished()).to.deep.equal([reader]);
      expect(now()).to.deep.equal([[kept, EPOLLIN]]);
      // Nor is it in the way of a registration of its own.
      poller.register(reader, EPOLLIN);
      expect(now()).to.have.length(2);
    });

    it("L55 has the masks as they were in the new set", () => {
      const [a, b] = files.pair();
      b.send("x");
      poller.register(a.fileno(), EPOLLIN);
      poller.register(b.fileno(), EPOLLIN);
      poller.modify(a.fileno(), EPOLLIN | EPOLLOUT);
      poller.rebuild();
      expect(now()).to.deep.equal([[a.fileno(), EPOLLIN | EPOLLOUT]]);
    });

    it("L55 costs one check in eight events", () => {
      const [reader] = files.fullPipe();
      poller.register(reader, EPOLLIN);
      using checks = countCalls("epoll_ctl");
      for (let each = 0; each < 80; each++) now();
      expect(checks.calls).to.equal(10);
    });
  });

  it("H13 is waited for through its own descriptor", () => {
    const [reader, writer] = files.pipe();
    poller.register(reader, EPOLLIN);
    expect(poller.waitSize()).to.equal(1);
    const memory = Buffer.alloc(16, 0xff);
    poller.writeWaitSet(memory, 8);
    expect([memory.readInt32LE(8), memory.readUInt16LE(12), memory.readUInt16LE(14)]).to.deep.equal([poller.fileno(), EPOLLIN, 0]);
    expect(sys.poll(memory.subarray(8), 1, 0)).to.equal(0);
    put(writer);
    expect(sys.poll(memory.subarray(8), 1, 0)).to.equal(1);
  });
});
