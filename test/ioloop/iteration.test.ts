/** One iteration: its steps, their order, its wait, and what it holds on to (L1-L13 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { IOLoop, type LoopStep, type Pairs, type PollIOLoop } from "../../src/ioloop/index.js";
import { EPOLL_BATCH } from "../../src/ioloop/pollers/epoll.js";
import { errno, systemError } from "../../src/platform/index.js";
import { collectGarbage } from "../concurrent/collect-garbage.js";
import { eachCombination } from "../support/combinations.js";
import { countCalls, injectFault } from "../support/faults.js";
import { settle } from "../support/real-timers.js";
import { drain, Files, makeFakeLoop, put, runPolls } from "./driving.js";

/** What `promise` rejects with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject");
}

describe("IOLoop: one iteration on a fake clock", () => {
  it("L1 goes through its eight steps in order", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    const say =
      (word: string): (() => void) =>
      () =>
        void log.push(word);
    loop.timeFunc = () => {
      log.push("time");
      return fake.now;
    };
    loop.removeTimeout(loop.callAt(999, say("cancelled before")));
    loop.callAt(1000, say("due"));
    const removed = loop.callAt(1000, say("removed while it was on the due list"));
    const later = loop.callAt(1010, say("not due"));
    loop.addCallback(() => {
      log.push("first callback");
      loop.removeTimeout(removed);
    });
    loop.addCallback(say("second callback"));
    loop.addHandler(900, say("handler"), IOLoop.READ);
    loop.addHandler(
      901,
      () => {
        log.push("handler");
        loop.addCallback(say("callback of a handler"));
        loop.stop();
      },
      IOLoop.READ,
    );
    fake.answer([900, IOLoop.READ], [901, IOLoop.READ]);
    fake.onPoll = (wait) => log.push(`poll ${wait}`);
    await loop.start();
    expect(log).to.deep.equal([
      "time", // step 2
      "first callback", // 3
      "second callback",
      "due", // 4
      "time", // 5
      "poll 10", // 7
      "handler", // 8
      "handler",
      "time", // 2
      "callback of a handler", // 3
      "time", // 5; then 6
    ]);
    loop.removeTimeout(later);
    for (const fd of [900, 901]) loop.removeHandler(fd);
  });

  it("L1 does not read the clock when there are no timeouts", () => {
    const { fake, loop } = makeFakeLoop();
    let read = 0;
    loop.timeFunc = () => {
      read++;
      return fake.now;
    };
    loop.addCallback(() => undefined);
    loop.runIteration();
    expect(read).to.equal(0);
  });

  it("L2 runs the worked trace with waits of exactly 0 and 15", async () => {
    const { fake, loop } = makeFakeLoop();
    const ran: string[] = [];
    const note = (name: string): void => void ran.push(`${name} ${fake.now}`);
    loop.callAt(1000, note, "T1000");
    loop.callAt(1003, note, "T1003");
    loop.callAt(1020, () => {
      note("stop");
      loop.stop();
    });
    loop.addCallback(() => {
      note("A");
      fake.advance(5);
      loop.addCallback(note, "A2");
      loop.callAt(1001, note, "T");
    });
    loop.addCallback(note, "B");
    await loop.start();
    expect(ran).to.deep.equal(["A 1000", "B 1005", "T1000 1005", "A2 1005", "T 1005", "T1003 1005", "stop 1020"]);
    expect(fake.waits).to.deep.equal([0, 15]);
  });

  it("L3 runs what a callback or timeout has added in the next iteration, after a poll that does not wait", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    fake.onPoll = (wait) => log.push(`poll ${wait}`);
    loop.addCallback(() => {
      log.push("callback");
      loop.addCallback(() => log.push("added by the callback"));
    });
    loop.callAt(1000, () => {
      log.push("timeout");
      loop.addCallback(() => {
        log.push("added by the timeout");
        loop.stop();
      });
    });
    await loop.start();
    expect(log).to.deep.equal(["callback", "timeout", "poll 0", "added by the callback", "added by the timeout"]);
  });

  it("L3 runs what a handler has added in the iteration that follows, without a poll between", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    fake.onPoll = () => log.push("poll");
    const ready = (): void => {
      log.push("handler");
      loop.addCallback(() => {
        log.push("added by the handler");
        loop.stop();
      });
    };
    loop.addHandler(900, ready, IOLoop.READ);
    loop.addHandler(901, () => log.push("second handler"), IOLoop.READ);
    fake.answer([900, 1], [901, 1]);
    await loop.start();
    expect(log).to.deep.equal(["poll", "handler", "second handler", "added by the handler"]);
    for (const fd of [900, 901]) loop.removeHandler(fd);
  });

  it("L5 fixes the due list before anything runs", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    fake.onPoll = (wait) => log.push(`poll ${wait}`);
    loop.addCallback(() => {
      fake.advance(5);
      loop.callAt(1, () => log.push("added by a callback, long past"));
    });
    loop.callAt(1000, () => {
      log.push("due");
      loop.callAt(2, () => log.push("added by a timeout, long past"));
    });
    loop.callAt(1004, () => log.push("came due while callbacks ran"));
    loop.callAt(1005, loop.stop);
    await loop.start();
    expect(log).to.deep.equal([
      "due",
      "poll 0",
      "added by a callback, long past",
      "added by a timeout, long past",
      "came due while callbacks ran",
    ]);
  });

  it("L6 runs all callbacks before all due timeouts, however long those are due", () => {
    const { loop } = makeFakeLoop();
    const log: string[] = [];
    loop.callAt(1, () => log.push("overdue"));
    loop.callAt(1000, () => log.push("due"));
    loop.addCallback(() => log.push("callback"));
    loop.addCallback(() => log.push("callback"));
    loop.runIteration();
    expect(log).to.deep.equal(["callback", "callback", "overdue", "due"]);
  });

  it("L7 waits until the head timeout by a fresh reading of the clock, and 3600 s at most", async () => {
    const { fake, loop } = makeFakeLoop();
    loop.callAt(9000, loop.stop); // An hour and more away.
    loop.callAt(1010, () => fake.advance(50)); // The next one is overdue by the time the wait is computed.
    loop.callAt(1055, () => undefined);
    loop.addCallback(() => fake.advance(3)); // Shortens the first wait.
    await loop.start();
    expect(fake.waits).to.deep.equal([7, 0, 3600, 3600, 740]);
  });

  it("L7 waits 3600 s when nothing is scheduled, and not at all while a callback is queued", async () => {
    const { fake, loop } = makeFakeLoop();
    fake.onPoll = (wait) => {
      if (wait === 3600) loop.stop();
    };
    loop.addCallback(() => loop.addCallback(() => undefined));
    await loop.start();
    expect(fake.waits).to.deep.equal([0, 3600]);
  });

  it("L8 is not woken by a timeout that was cancelled before", async () => {
    const { fake, loop } = makeFakeLoop();
    loop.removeTimeout(loop.callAt(1005, () => undefined));
    loop.callAt(1020, loop.stop);
    await loop.start();
    expect(fake.waits).to.deep.equal([20]);
  });

  it("L8 runs nothing at the time of a timeout that a callback has cancelled", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    const cancelled = loop.callAt(1005, () => log.push("cancelled"));
    loop.callAt(1020, () => {
      log.push(`kept ${fake.now}`);
      loop.stop();
    });
    loop.addCallback(() => loop.removeTimeout(cancelled));
    await loop.start();
    expect(log).to.deep.equal(["kept 1020"]);
    expect(fake.waits.length).to.be.at.most(2);
  });

  it("L11 takes a poll that a signal interrupted for an empty batch, whatever way a poller says so", async () => {
    for (const answer of ["throw", "reject"] as const) {
      const { fake, loop } = makeFakeLoop();
      const log: string[] = [];
      loop.addCallback(() => log.push("callback"));
      loop.callAt(1010, loop.stop);
      let polls = 0;
      // What the loop is given instead of the fake poller's own answer.
      const poll = (timeout: number): Pairs | Promise<Pairs> => {
        if (polls++ === 0) {
          if (answer === "throw") throw systemError(errno("EINTR"), "epoll_wait");
          return Promise.reject(systemError(errno("EINTR"), "epoll_wait"));
        }
        fake.advance(timeout);
        return answer === "throw" ? [] : Promise.resolve([]);
      };
      Object.assign(fake, { poll });
      await loop.start();
      expect(log, answer).to.deep.equal(["callback"]);
      expect(polls, answer).to.equal(2);
      loop.close();
    }
  });

  it("L11 rejects start()'s promise with any other failure of a poller and can be started again", async () => {
    for (const answer of ["throw", "reject"] as const) {
      const { fake, loop } = makeFakeLoop();
      const failure = systemError(errno("EBADF"), "epoll_wait");
      const real = fake.poll.bind(fake);
      const poll = (): Promise<Pairs> => {
        if (answer === "throw") throw failure;
        return Promise.reject(failure);
      };
      Object.assign(fake, { poll });
      expect(await rejection(loop.start()), answer).to.equal(failure);
      expect(loop.statistics().running).to.equal(false);
      Object.assign(fake, { poll: real });
      loop.callAt(1010, loop.stop);
      await loop.start();
      expect(fake.now).to.equal(1010);
      loop.close();
    }
  });

  it("L11 does not take the batch that a failed run had begun for one of the next run", async () => {
    const { fake, loop } = makeFakeLoop();
    const failure = new Error("the override fails");
    loop.handleCallbackException = () => {
      throw failure;
    };
    let ran = 0;
    loop.addHandler(
      900,
      () => {
        throw new Error("the handler fails");
      },
      IOLoop.READ,
    );
    loop.addHandler(901, () => ran++, IOLoop.READ);
    fake.answer([900, 1], [901, 1]);
    expect(await rejection(loop.start())).to.equal(failure);
    for (const fd of [900, 901]) loop.removeHandler(fd);
    loop.addHandler(901, () => ran++, IOLoop.READ);
    await runPolls(loop, 2);
    expect(ran).to.equal(0);
    loop.removeHandler(901);
  });
});

eachCombination((name, makeCombinedLoop) => {
  describe("IOLoop: one iteration on real descriptors", () => {
    const files = new Files();
    let loop: PollIOLoop;

    beforeEach(() => {
      loop = makeCombinedLoop();
    });

    afterEach(() => {
      files.close();
    });

    it("L1 tells its observer the steps of a real iteration in order", async () => {
      const [reader] = files.fullPipe();
      const seen: LoopStep["type"][] = [];
      loop.addHandler(
        reader,
        (fd) => {
          drain(fd);
          loop.stop();
        },
        IOLoop.READ,
      );
      loop.addCallback(() => undefined);
      loop.callLater(-1, () => undefined);
      loop.observer = ({ type }) => seen.push(type);
      await loop.start();
      loop.observer = undefined;
      // A wait may end with nothing ready, so the order is looked at without what may come twice.
      expect([...new Set(seen)]).to.deep.equal([
        "iteration-start",
        "callback-run",
        "timeout-run",
        "wait",
        "ready",
        "handler-run",
        "iteration-end",
      ]);
      loop.removeHandler(reader);
    });

    it("L4 starves nobody while a callback re-adds itself for ever", async () => {
      const [reader] = files.fullPipe();
      const rounds = 25;
      let handled = 0;
      let timeouts = 0;
      const waits: number[] = [];
      const timeout = (): void => {
        timeouts++;
        next = loop.callLater(0, timeout);
      };
      let next = loop.callLater(0, timeout);
      loop.addHandler(reader, () => handled++, IOLoop.READ);
      loop.observer = (step) => {
        if (step.type === "wait") waits.push(step.seconds);
      };
      await runPolls(loop, rounds);
      expect(waits).to.deep.equal(Array<number>(rounds).fill(0));
      expect(handled).to.equal(rounds);
      // Each is due in the iteration after the one that adds it; the clock may not have moved between two iterations, but its reading counts.
      expect(timeouts).to.be.within(rounds, rounds + 1);
      loop.removeTimeout(next);
      loop.removeHandler(reader);
    });

    it("L9 takes a descriptor out of the batch before its handler runs", async () => {
      const [first] = files.fullPipe();
      const [second] = files.fullPipe();
      const left: number[][] = [];
      const handler = (fd: number): void => {
        left.push([...loop._events.keys()]);
        drain(fd);
        if (left.length === 2) loop.stop();
      };
      loop.addHandler(first, handler, IOLoop.READ);
      loop.addHandler(second, handler, IOLoop.READ);
      await loop.start();
      expect(left.map((each) => each.length)).to.deep.equal([1, 0]);
      for (const fd of [first, second]) loop.removeHandler(fd);
    });

    it("L9 lets a handler add, update, remove and close anything, itself included", async () => {
      const pipes = [files.fullPipe(), files.fullPipe(), files.fullPipe()];
      const [fresh] = files.fullPipe();
      const ran: string[] = [];
      // Whichever of the three runs first does all this to the others and itself.
      const handler = (fd: number): void => {
        ran.push("first");
        const [updated, closed] = pipes.map(([reader]) => reader).filter((reader) => reader !== fd) as [number, number];
        loop.removeHandler(fd);
        files.drop(fd);
        loop.removeHandler(closed);
        files.drop(closed);
        loop.removeHandler(updated);
        loop.addHandler(updated, () => ran.push("updated"), IOLoop.NONE);
        loop.updateHandler(updated, IOLoop.READ);
        loop.addHandler(
          fresh,
          () => {
            ran.push("fresh");
            loop.removeHandler(fresh);
          },
          IOLoop.READ,
        );
        // Both are for the next poll; an iteration later they have run.
        loop.addCallback(() =>
          loop.addCallback(() => {
            loop.removeHandler(updated);
            loop.stop();
          }),
        );
      };
      for (const [reader] of pipes) loop.addHandler(reader, handler, IOLoop.READ);
      await loop.start();
      expect(ran.slice(0, 1)).to.deep.equal(["first"]);
      expect(ran.slice(1).sort()).to.deep.equal(["fresh", "updated"]);
    });

    it("L10 reports a descriptor once in a batch, with its bits together", async () => {
      const [a, b] = files.pair();
      b.send("x");
      const calls: number[] = [];
      loop.addHandler(
        a,
        (_, events) => {
          calls.push(events);
          loop.stop();
        },
        IOLoop.READ | IOLoop.WRITE,
      );
      await loop.start();
      expect(calls).to.deep.equal([IOLoop.READ | IOLoop.WRITE]);
      loop.removeHandler(a);
    });

    it("L11 takes a poll that a signal interrupted for an empty batch", async () => {
      const [reader] = files.fullPipe();
      let ran = 0;
      loop.addHandler(
        reader,
        () => {
          ran++;
          loop.stop();
        },
        IOLoop.READ,
      );
      using fault = injectFault(name.startsWith("epoll") ? "epoll_wait" : "poll", { errno: "EINTR" });
      await loop.start();
      expect(fault.injected).to.equal(1);
      expect(ran).to.equal(1);
      loop.removeHandler(reader);
    });

    it("L11 rejects start()'s promise when the poll fails otherwise, and is not running then but can be started again", async () => {
      const [reader] = files.fullPipe();
      let ran = 0;
      loop.addHandler(
        reader,
        () => {
          ran++;
          loop.stop();
        },
        IOLoop.READ,
      );
      const syscall = name.startsWith("epoll") ? "epoll_wait" : "poll";
      using fault = injectFault(syscall, { errno: "EINVAL" });
      expect(await rejection(loop.start())).to.include({ code: "EINVAL", syscall });
      expect(fault.injected).to.equal(1);
      expect(ran).to.equal(0);
      expect(loop.statistics()).to.include({ running: false, waiting: false });
      await loop.start();
      expect(ran).to.equal(1);
      loop.removeHandler(reader);
    });

    it("L12 holds no function and no argument once the call is over, also while it waits", async () => {
      const ran = { calls: 0 };
      const references = scheduleOnce(loop, files, ran);
      const ended = loop.start();
      expect(await settle(() => ran.calls === references.size / 2 && loop.statistics().waiting)).to.equal(true);
      const held = (): string[] => [...references].filter(([, reference]) => reference.deref() !== undefined).map(([what]) => what);
      await collectGarbage(() => held().length === 0);
      expect(held()).to.deep.equal([]);
      expect(loop.statistics().waiting).to.equal(true);
      loop.stop();
      await ended;
    });

    it("L13 has served twice a batch's capacity of ready descriptors after three polls, though the first ones stay ready", async () => {
      const runs = new Set<number>();
      // Not duplicates of one: a file may be registered 500 times in an epoll set that is itself watched (fs/eventpoll.c, path_limits).
      const readers = Array.from({ length: 2 * EPOLL_BATCH }, () => files.fullPipe()[0]);
      for (const reader of readers) loop.addHandler(reader, (fd) => runs.add(fd), IOLoop.READ);
      await runPolls(loop, 3);
      expect(runs.size).to.equal(readers.length);
      for (const reader of readers) loop.removeHandler(reader);
    });

    it("L13 serves more than that in turn while new bytes arrive on those that were drained", async () => {
      const count = 2 * EPOLL_BATCH + 20;
      const pipes = Array.from({ length: count }, () => files.fullPipe());
      const runs = new Map<number, number>();
      for (const [reader, writer] of pipes) {
        const handler = (fd: number): void => {
          runs.set(fd, (runs.get(fd) ?? 0) + 1);
          drain(fd);
          put(writer);
        };
        loop.addHandler(reader, handler, IOLoop.READ);
      }
      await runPolls(loop, 3);
      expect(runs.size).to.equal(count);
      for (const [reader] of pipes) loop.removeHandler(reader);
    });

    it("L7 asks the kernel once in an iteration", async () => {
      using calls = countCalls(name.startsWith("epoll") ? "epoll_wait" : "poll");
      await runPolls(loop, 10);
      expect(calls.calls).to.equal(10);
    });
  });
});

/**
 * Schedules one of each kind, each with an object that it is given or bound to, and keeps nothing but weak references. Apart, so that no
 * variable of a test holds any of it.
 */
function scheduleOnce(loop: PollIOLoop, files: Files, ran: { calls: number }): Map<string, WeakRef<object>> {
  const references = new Map<string, WeakRef<object>>();
  const remember = <T extends object>(what: string, value: T): T => {
    references.set(what, new WeakRef(value));
    return value;
  };
  const callback = (what: string): ((argument: object) => void) => remember(what, makeCallback(ran));
  loop.addCallback(callback("callback"), remember("callback's argument", {}));
  loop.spawnCallback(callback("spawned callback"), remember("spawned callback's argument", {}));
  loop.callLater(0, callback("timeout"), remember("timeout's argument", {}));
  const [reader] = files.fullPipe();
  const object = remember("registered object", { fileno: () => reader });
  loop.addHandler(object, remember("handler", makeHandler(loop, ran)), IOLoop.READ);
  return references;
}

function makeCallback(ran: { calls: number }): (argument: object) => void {
  return () => {
    ran.calls++;
  };
}

function makeHandler(loop: PollIOLoop, ran: { calls: number }): (fd: { fileno(): number }) => void {
  return (fd) => {
    ran.calls++;
    loop.removeHandler(fd);
  };
}
