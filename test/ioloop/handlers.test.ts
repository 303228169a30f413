/** Handlers: registrations, masks and what arrives, over every poller and host (L40-L57 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { IOLoop, type FileDescriptor, type PollIOLoop } from "../../src/ioloop/index.js";
import { EPOLLEXCLUSIVE, isOpen, POLLOUT, Socket, SO_LINGER, SOL_SOCKET } from "../../src/platform/index.js";
import { ready, thrown } from "../platform/expectations.js";
import { unusedPort } from "../platform/fixtures.js";
import { eachCombination } from "../support/combinations.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { realDelay, settle } from "../support/real-timers.js";
import { debugMessages, drain, expectRefusal as expectRefusalOf, Files, makeFakeLoop, Owner, put, runPolls } from "./driving.js";

const nothing = (): void => undefined;
const { READ, WRITE, ERROR, NONE } = IOLoop;

describe("IOLoop: what the poller is told", () => {
  it("L42 adds ERROR to the mask in addHandler and in updateHandler", () => {
    const { fake, loop } = makeFakeLoop();
    const before = fake.changes.length;
    loop.addHandler(900, nothing, READ);
    loop.updateHandler(900, WRITE);
    loop.runIteration();
    loop.updateHandler(900, NONE);
    loop.runIteration();
    loop.updateHandler(900, READ | ERROR);
    loop.runIteration();
    loop.removeHandler(900);
    expect(fake.changes.slice(before)).to.deep.equal([
      ["register", 900, 0x19],
      ["modify", 900, 0x1c],
      ["modify", 900, 0x18],
      ["modify", 900, 0x19],
      ["unregister", 900, 0x19],
    ]);
  });

  it("L42 L44 tells an interest that changes to and fro once, before the poll, or not at all", () => {
    const { fake, loop } = makeFakeLoop();
    loop.addHandler(900, nothing, READ);
    const before = fake.changes.length;
    loop.updateHandler(900, NONE);
    loop.updateHandler(900, READ);
    loop.runIteration();
    expect(fake.changes.slice(before)).to.deep.equal([]);
    for (const events of [WRITE, NONE, READ | WRITE]) loop.updateHandler(900, events);
    expect(fake.changes.slice(before)).to.deep.equal([]);
    loop.addCallback(() => expect(fake.changes.slice(before)).to.deep.equal([]));
    fake.onPoll = () => expect(fake.changes.slice(before)).to.deep.equal([["modify", 900, 0x1d]]);
    loop.runIteration();
    expect(fake.registered.get(900)).to.equal(0x1d);
    loop.removeHandler(900);
  });

  it("L11 drops a registration whose change the poller refuses, and the loop goes on", () => {
    const { fake, loop } = makeFakeLoop();
    loop.addHandler(900, nothing, READ);
    fake.modify = () => {
      throw new Error("a poller's own mistake");
    };
    loop.updateHandler(900, WRITE);
    expectLog("general", "error", /A poller failed to change an interest/);
    loop.runIteration();
    expect(loop.statistics().handlers).to.equal(0);
    loop.runIteration();
  });

  it("L57 passes other bits of epoll on as a positive number", () => {
    const { fake, loop } = makeFakeLoop();
    const mask = READ | IOLoop._EPOLLET;
    expect(mask).to.be.lessThan(0);
    loop.addHandler(900, nothing, mask);
    expect(fake.registered.get(900)).to.equal(0x80000019);
    loop.updateHandler(900, WRITE | IOLoop._EPOLLONESHOT | IOLoop._EPOLLRDHUP);
    loop.runIteration();
    expect(fake.registered.get(900)).to.equal(0x4000201c);
    loop.updateHandler(900, IOLoop._EPOLLET);
    loop.runIteration();
    expect(fake.registered.get(900)).to.equal(0x80000018);
    loop.removeHandler(900);
  });

  it("L50 refuses a second registration before a poller that would accept it", () => {
    const { fake, loop } = makeFakeLoop();
    loop.addHandler(900, nothing, READ);
    const before = fake.changes.length;
    const error = thrown(() => loop.addHandler(900, nothing, WRITE));
    expect(error).to.include({ code: "EEXIST", syscall: "epoll_ctl" });
    expect(fake.changes.length).to.equal(before);
    loop.removeHandler(900);
  });

  it("L51 leaves no trace of a registration that the poller refuses", () => {
    const { fake, loop } = makeFakeLoop();
    const refusal = new Error("not this one");
    const register = fake.register.bind(fake);
    fake.register = () => {
      throw refusal;
    };
    expect(thrown(() => loop.addHandler(900, nothing, READ))).to.equal(refusal);
    expect(loop._handlers.has(900)).to.equal(false);
    fake.register = register;
    loop.addHandler(900, nothing, READ);
    loop.removeHandler(900);
  });

  it("L53 swallows what a poller throws at the removal", () => {
    const { fake, loop } = makeFakeLoop();
    loop.addHandler(900, nothing, READ);
    fake.unregister = () => {
      throw new Error("no such thing");
    };
    loop.removeHandler(900);
    expect(loop._handlers.has(900)).to.equal(false);
    expect(debugMessages()).to.have.length(1);
  });

  it("L56 splits a descriptor into its number and the value as given", () => {
    const { loop } = makeFakeLoop();
    expect(loop.splitFd(5)).to.deep.equal([5, 5]);
    const owner = new Owner(7);
    const [number, value] = loop.splitFd(owner);
    expect(number).to.equal(7);
    expect(value).to.equal(owner);
  });

  it("L56 closes an object by its close(), a number and an object without one by close(2)", () => {
    const { loop } = makeFakeLoop();
    const files = new Files();
    const owner = new Owner(files.pipe()[0]);
    loop.closeFd(owner);
    expect(owner.closed).to.equal(1);
    expect(isOpen(owner.fileno())).to.equal(true);
    const [bare] = files.pipe();
    const copy = files.dup(bare);
    loop.closeFd(bare);
    expect(isOpen(bare)).to.equal(false);
    loop.closeFd({ fileno: () => copy });
    expect(isOpen(copy)).to.equal(false);
    for (const fd of [bare, copy]) files.forget(fd);
    files.close();
  });

  it("L56 ignores system errors of the closing, and no others", () => {
    const { loop } = makeFakeLoop();
    const files = new Files();
    const [reader] = files.pipe();
    files.drop(reader);
    loop.closeFd(reader);
    loop.closeFd({ fileno: () => reader });
    {
      using fault = injectFault("close", { errno: "EIO", afterRealCall: true });
      loop.closeFd(new Socket());
      expect(fault.injected).to.equal(1);
    }
    const failure = new TypeError("a mistake of the object's");
    const failing = {
      fileno: () => 1,
      close: () => {
        throw failure;
      },
    };
    expect(thrown(() => loop.closeFd(failing))).to.equal(failure);
    files.close();
  });
});

/** One row of L48: a descriptor in some condition. */
type Condition = [what: string, make: (files: Files) => FileDescriptor, asked: number, got: number | undefined];

function resetByPeer(files: Files): Socket {
  const [client, server] = files.tcp();
  // Lingering for no time, close(2) resets the connection.
  const linger = Buffer.alloc(8);
  linger.writeInt32LE(1, 0);
  server.setsockopt(SOL_SOCKET, SO_LINGER, linger);
  server.close();
  ready(client);
  return client;
}

function closedByPeer(files: Files): Socket {
  const [client, server] = files.tcp();
  server.close();
  ready(client);
  return client;
}

function refused(files: Files): Socket {
  const socket = files.socket();
  socket.connect(["127.0.0.1", unusedPort()]);
  ready(socket, POLLOUT);
  return socket;
}

const conditions: Condition[] = [
  [
    "a pipe whose writer is gone, READ",
    (files) => {
      const [reader, writer] = files.pipe();
      files.drop(writer);
      return reader;
    },
    READ,
    0x10,
  ],
  [
    "the same with data left, READ",
    (files) => {
      const [reader, writer] = files.fullPipe();
      files.drop(writer);
      return reader;
    },
    READ,
    0x11,
  ],
  [
    "a pipe whose reader is gone, WRITE",
    (files) => {
      const [reader, writer] = files.pipe();
      files.drop(reader);
      return writer;
    },
    WRITE,
    0x0c,
  ],
  [
    "a unix socket whose peer has closed, READ",
    (files) => {
      const [a, b] = files.pair();
      b.close();
      return a;
    },
    READ,
    0x11,
  ],
  ["a TCP socket whose peer has closed, READ", closedByPeer, READ, 0x01],
  ["a TCP socket whose peer has closed, NONE", closedByPeer, NONE, undefined],
  ["a TCP socket that was reset, READ", resetByPeer, READ, 0x19],
  ["a refused connect, WRITE", refused, WRITE, 0x1c],
  ["a TCP socket neither connected nor connecting, NONE", (files) => files.socket(), NONE, 0x10],
];

eachCombination((name, makeCombinedLoop) => {
  describe("IOLoop: handlers", () => {
    const files = new Files();
    let loop: PollIOLoop;
    const onEpoll = name.startsWith("epoll");
    const syscall = onEpoll ? "epoll_ctl" : "poll";

    beforeEach(() => {
      loop = makeCombinedLoop();
    });

    afterEach(() => {
      files.close();
    });

    const expectRefusal = (call: () => unknown, code: string, fd: number): void => expectRefusalOf(call, syscall, code, fd);

    it("L40 gives the handler the very value that was registered, object or number", async () => {
      const [number] = files.fullPipe();
      const object = new Owner(files.fullPipe()[0]);
      const seen = new Set<FileDescriptor>();
      const handler = (fd: FileDescriptor): void => {
        seen.add(fd);
        loop.removeHandler(fd);
        if (seen.size === 2) loop.stop();
      };
      loop.addHandler(number, handler, READ);
      loop.addHandler(object, handler, READ);
      await loop.start();
      expect(seen).to.deep.equal(new Set([number, object]));
    });

    it("L41 calls the handler once in each iteration as long as the condition lasts", async () => {
      const [reader] = files.fullPipe();
      const iterations: number[] = [];
      loop.addHandler(
        reader,
        () => {
          iterations.push(loop.statistics().iterations);
          if (iterations.length === 5) {
            drain(reader);
            loop.addCallback(() => loop.addCallback(() => loop.addCallback(loop.stop)));
          }
        },
        READ,
      );
      await loop.start();
      expect(iterations).to.have.length(5);
      expect(new Set(iterations).size).to.equal(5);
      loop.removeHandler(reader);
    });

    it("L41 wakes from a wait for what becomes ready, each time", async () => {
      const [reader, writer] = files.pipe();
      let runs = 0;
      loop.addHandler(
        reader,
        () => {
          drain(reader);
          if (++runs === 3) loop.stop();
          else setTimeout(put, 1, writer);
        },
        READ,
      );
      setTimeout(put, 1, writer);
      await loop.start();
      expect(runs).to.equal(3);
      loop.removeHandler(reader);
    });

    it("L43 reports only the conditions that were asked for", async () => {
      const [a, b] = files.pair();
      b.send("x");
      const got: number[] = [];
      loop.addHandler(a, (_, events) => got.push(events), READ);
      await runPolls(loop, 1);
      loop.updateHandler(a, WRITE);
      await runPolls(loop, 1);
      loop.updateHandler(a, READ | WRITE);
      await runPolls(loop, 1);
      loop.updateHandler(a, NONE);
      await runPolls(loop, 2);
      expect(got).to.deep.equal([READ, WRITE, READ | WRITE]);
      loop.removeHandler(a);
    });

    it("L44 replaces the mask, and keeps handler and object", async () => {
      const owner = new Owner(files.fullPipe()[0]);
      const got: [unknown, number][] = [];
      loop.addHandler(owner, (fd, events) => got.push([fd, events]), READ);
      loop.updateHandler(owner, WRITE);
      await runPolls(loop, 2);
      expect(got).to.deep.equal([]);
      loop.updateHandler(owner, READ);
      await runPolls(loop, 1);
      expect(got).to.have.length(1);
      expect(got[0]?.[0]).to.equal(owner);
      loop.removeHandler(owner);
    });

    it("L45 does not withdraw an event of the batch at updateHandler; the new mask counts from the next poll", async () => {
      const pipes = [files.fullPipe(), files.fullPipe()];
      const ran: number[] = [];
      const handler = (fd: number): void => {
        ran.push(fd);
        for (const [reader] of pipes) loop.updateHandler(reader, NONE);
      };
      for (const [reader] of pipes) loop.addHandler(reader, handler, READ);
      await runPolls(loop, 3);
      expect(ran.sort((a, b) => a - b)).to.deep.equal(pipes.map(([reader]) => reader).sort((a, b) => a - b));
      for (const [reader] of pipes) loop.removeHandler(reader);
    });

    it("L45 counts the new mask from the next poll also where that poll does not wait", async () => {
      const [reader, writer] = files.fullPipe();
      const masks: number[] = [];
      loop.addHandler(reader, (_, events) => masks.push(events), READ);
      loop.addHandler(writer, (_, events) => masks.push(events), NONE);
      // Each callback adds the next: every poll in between has a wait of 0.
      loop.addCallback(() => {
        loop.updateHandler(reader, NONE);
        loop.addCallback(() => loop.addCallback(() => loop.addCallback(() => loop.addCallback(() => loop.stop()))));
      });
      await loop.start();
      expect(masks).to.deep.equal([]);
      loop.addCallback(() => {
        loop.updateHandler(reader, READ);
        loop.addCallback(() => loop.addCallback(() => loop.stop()));
      });
      await loop.start();
      expect(masks).to.not.be.empty;
      expect(new Set(masks)).to.deep.equal(new Set([READ]));
      for (const fd of [reader, writer]) loop.removeHandler(fd);
    });

    it("L46 withdraws an event of the batch at removeHandler", async () => {
      const pipes = [files.fullPipe(), files.fullPipe()];
      let ran = 0;
      const handler = (fd: number): void => {
        ran++;
        drain(fd);
        for (const [reader] of pipes) if (reader !== fd) loop.removeHandler(reader);
      };
      for (const [reader] of pipes) loop.addHandler(reader, handler, READ);
      await runPolls(loop, 3);
      expect(ran).to.equal(1);
      expect(loop.statistics().handlers).to.equal(1);
      for (const [reader] of pipes) loop.removeHandler(reader);
    });

    it("L47 does not give an event of the batch to a handler that was added for the number meanwhile", async () => {
      const pipes = [files.fullPipe(), files.fullPipe()];
      const log: string[] = [];
      const handler = (fd: number): void => {
        const iteration = loop.statistics().iterations;
        log.push("old");
        for (const [reader] of pipes) {
          loop.removeHandler(reader);
          // For READ it is reported by the next poll; for NONE by none.
          loop.addHandler(reader, () => log.push(`new after ${loop.statistics().iterations - iteration}`), reader === fd ? NONE : READ);
        }
      };
      for (const [reader] of pipes) loop.addHandler(reader, handler, READ);
      await runPolls(loop, 2);
      expect(log).to.deep.equal(["old", "new after 1"]);
      for (const [reader] of pipes) loop.removeHandler(reader);
    });

    it("L47 first reports a descriptor that was added during a batch at the next poll", async () => {
      const [first] = files.fullPipe();
      const [second] = files.fullPipe();
      const log: string[] = [];
      loop.addHandler(
        first,
        () => {
          loop.removeHandler(first);
          const iteration = loop.statistics().iterations;
          log.push("first");
          loop.addHandler(
            second,
            () => {
              log.push(`second after ${loop.statistics().iterations - iteration}`);
              loop.stop();
            },
            READ,
          );
        },
        READ,
      );
      await loop.start();
      expect(log).to.deep.equal(["first", "second after 1"]);
      loop.removeHandler(second);
    });

    for (const [what, make, asked, got] of conditions) {
      it(`L48 reports ${what}: ${got === undefined ? "nothing" : `0x${got.toString(16)}`}`, async () => {
        const fd = make(files);
        const seen: number[] = [];
        loop.addHandler(fd, (_, events) => seen.push(events), asked);
        await runPolls(loop, 2);
        expect(seen).to.deep.equal(got === undefined ? [] : [got, got]);
        loop.removeHandler(fd);
      });
    }

    it("L48 has two bits in ERROR, so that each of them shows", () => {
      expect(ERROR).to.equal(0x018);
      expect(0x10 & ERROR).to.not.equal(0);
      expect(0x08 & ERROR).to.not.equal(0);
    });

    it("L49 reports a hang-up in every iteration, whatever the mask, until the handler is removed", async () => {
      const [reader, writer] = files.pipe();
      const seen: number[] = [];
      loop.addHandler(reader, (_, events) => seen.push(events), NONE);
      await runPolls(loop, 2);
      expect(seen).to.deep.equal([]);
      files.drop(writer);
      await runPolls(loop, 3);
      loop.updateHandler(reader, READ);
      await runPolls(loop, 1);
      loop.updateHandler(reader, NONE);
      await runPolls(loop, 1);
      expect(seen).to.deep.equal([0x10, 0x10, 0x10, 0x10, 0x10]);
      loop.removeHandler(reader);
      await runPolls(loop, 2);
      expect(seen).to.have.length(5);
    });

    it("L50 refuses a descriptor that is registered, by number and by object, and keeps the first registration", async () => {
      const [number] = files.fullPipe();
      const owner = new Owner(number);
      for (const [first, second] of [
        [number, number],
        [owner, owner],
        [number, owner],
        [owner, number],
        [owner, new Owner(number)],
      ] as const) {
        const seen: FileDescriptor[] = [];
        loop.addHandler<FileDescriptor>(first, (fd) => seen.push(fd), READ);
        expectRefusal(() => loop.addHandler<FileDescriptor>(second, () => seen.push(-1), WRITE), "EEXIST", number);
        await runPolls(loop, 1);
        expect(seen).to.have.length(1);
        expect(seen[0]).to.equal(first);
        expect(loop.statistics().handlers).to.equal(1);
        loop.removeHandler(first);
      }
    });

    it("L52 takes object and number for the same registration", async () => {
      const owner = new Owner(files.fullPipe()[0]);
      let ran = 0;
      loop.addHandler(owner, () => ran++, NONE);
      loop.updateHandler(owner.fileno(), READ);
      await runPolls(loop, 1);
      expect(ran).to.equal(1);
      loop.removeHandler(owner.fileno());
      await runPolls(loop, 1);
      expect(ran).to.equal(1);
      loop.addHandler(owner.fileno(), () => ran++, NONE);
      loop.updateHandler(owner, READ);
      await runPolls(loop, 1);
      expect(ran).to.equal(2);
      loop.removeHandler(owner);
      expect(loop.statistics().handlers).to.equal(0);
    });

    it("L52 finds the registration of an object that has closed its own descriptor", async () => {
      const [a, b] = files.pair();
      const number = a.fileno();
      loop.addHandler(a, nothing, READ);
      expect(loop._handlers.has(number)).to.equal(true);
      a.close();
      expect(a.fileno()).to.equal(-1);
      loop.removeHandler(a);
      expect(loop._handlers.has(number)).to.equal(false);
      b.close();
      await runPolls(loop, 1);
    });

    it("L53 logs the removal of a descriptor that is unknown, closed, or of a closed loop, and does not throw", () => {
      const [reader, writer] = files.pipe();
      loop.removeHandler(reader);
      loop.removeHandler(new Owner(reader));
      loop.addHandler(reader, nothing, READ);
      files.drop(reader);
      loop.removeHandler(reader);
      loop.removeHandler(reader);
      loop.addHandler(writer, nothing, WRITE);
      loop.close();
      loop.removeHandler(writer);
      const unknown = debugMessages().filter((message) => message.includes("not registered"));
      expect(unknown).to.have.length(4);
      expect(unknown.join()).to.include(String(reader)).and.to.include(String(writer));
      expect(debugMessages()).to.have.length(onEpoll ? 5 : 4); // epoll cannot forget a closed descriptor, and that is told too.
    });

    it("L54 refuses to update what is not registered: ENOENT if it is open, EBADF if not", () => {
      const [reader, writer] = files.pipe();
      expectRefusal(() => loop.updateHandler(reader, READ), "ENOENT", reader);
      expectRefusal(() => loop.updateHandler(new Owner(writer), READ), "ENOENT", writer);
      loop.addHandler(reader, nothing, READ);
      loop.removeHandler(reader);
      expectRefusal(() => loop.updateHandler(reader, READ), "ENOENT", reader);
      files.drop(reader);
      expectRefusal(() => loop.updateHandler(reader, READ), "EBADF", reader);
      const socket = files.socket();
      socket.close();
      expectRefusal(() => loop.updateHandler(socket, READ), "EBADF", -1);
    });

    it("L57 passes the bit for a half-closed peer on to the kernel", async () => {
      const client = closedByPeer(files);
      const seen: number[] = [];
      loop.addHandler(client, (_, events) => seen.push(events), READ | IOLoop._EPOLLRDHUP);
      await runPolls(loop, 1);
      expect(seen).to.deep.equal([0x2001]);
      loop.removeHandler(client);
    });

    if (onEpoll) {
      it("L57 calls an edge-triggered handler once for each arrival", async () => {
        const [reader, writer] = files.fullPipe();
        let runs = 0;
        loop.addHandler(reader, () => runs++, READ | IOLoop._EPOLLET);
        await runPolls(loop, 12);
        expect(runs).to.equal(1);
        put(writer);
        await runPolls(loop, 12);
        expect(runs).to.equal(2);
        loop.removeHandler(reader);
      });

      it("L57 ends no wait for an edge-triggered descriptor that stays ready", async () => {
        const [reader, writer] = files.fullPipe();
        let runs = 0;
        loop.addHandler(reader, () => runs++, READ | IOLoop._EPOLLET);
        const ended = loop.start();
        await settle(() => runs === 1 && loop.statistics().waiting);
        const { iterations } = loop.statistics();
        await realDelay(30);
        expect(loop.statistics().iterations).to.equal(iterations);
        put(writer);
        expect(await settle(() => runs === 2)).to.equal(true);
        loop.stop();
        await ended;
        loop.removeHandler(reader);
      });

      it("L57 arms a one-shot registration again at each updateHandler", async () => {
        const [reader] = files.fullPipe();
        let runs = 0;
        const mask = READ | IOLoop._EPOLLONESHOT;
        loop.addHandler(reader, () => runs++, mask);
        await runPolls(loop, 5);
        expect(runs).to.equal(1);
        loop.updateHandler(reader, mask);
        await runPolls(loop, 5);
        expect(runs).to.equal(2);
        loop.removeHandler(reader);
      });

      it("L57 goes on reporting an exclusive registration", async () => {
        const [reader] = files.fullPipe();
        let runs = 0;
        loop.addHandler(reader, () => runs++, READ | EPOLLEXCLUSIVE);
        await runPolls(loop, 20);
        expect(runs).to.equal(20);
        loop.removeHandler(reader);
      });
    } else {
      it("L57 refuses bits that poll(2) does not have", () => {
        const [reader] = files.fullPipe();
        for (const bit of [IOLoop._EPOLLET, IOLoop._EPOLLONESHOT, EPOLLEXCLUSIVE]) {
          expect(thrown(() => loop.addHandler(reader, nothing, READ | bit))).to.include({ code: "EINVAL", syscall: "poll" });
          expect(loop.statistics().handlers).to.equal(0);
        }
        loop.addHandler(reader, nothing, READ);
        expect(thrown(() => loop.updateHandler(reader, READ | IOLoop._EPOLLET))).to.include({ code: "EINVAL", syscall: "poll" });
        loop.removeHandler(reader);
      });
    }
  });
});
