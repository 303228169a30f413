/** Callbacks: the queue, the three ways into it, and what goes in and comes out (L14-L21 of docs/spec/ioloop.md). */
import { expect } from "chai";
import sinon from "sinon";
import { Future, type Executor } from "../../src/concurrent/index.js";
import { IOLoop, PeriodicCallback, type Callback, type PollIOLoop } from "../../src/ioloop/index.js";
import { expectError, thrown } from "../platform/expectations.js";
import { eachCombination } from "../support/combinations.js";
import { makeFakeLoop } from "./driving.js";
import { untilWaiting } from "./waiting.js";

/** The three methods that put a callback into the queue. */
const ways = ["addCallback", "spawnCallback", "addCallbackFromSignal"] as const;

describe("IOLoop: callbacks", () => {
  it("L14 runs callbacks first in, first out, and one added twice twice, each time with its own arguments", () => {
    const { loop } = makeFakeLoop();
    const log: unknown[][] = [];
    const push = (...args: unknown[]): void => void log.push(args);
    loop.addCallback(push, 1);
    loop.addCallback(push, "a", "b");
    loop.addCallback(() => push("another"));
    loop.addCallback(push, 1);
    loop.addCallback(push);
    loop.runIteration();
    expect(log).to.deep.equal([[1], ["a", "b"], ["another"], [1], []]);
  });

  it("L14 keeps the order of thousands, and of what is added while the queue is emptied", () => {
    const { loop } = makeFakeLoop();
    const log: number[] = [];
    const count = 5000;
    for (let each = 0; each < count; each++) {
      loop.addCallback(() => {
        log.push(each);
        loop.addCallback(() => log.push(count + each));
      });
    }
    loop.runIteration();
    expect(loop.statistics().callbacks).to.equal(count);
    loop.runIteration();
    expect(log).to.deep.equal(Array.from({ length: 2 * count }, (_, each) => each));
    expect(loop.statistics().callbacks).to.equal(0);
  });

  it("L14 runs a callback with `this` undefined", () => {
    const { loop } = makeFakeLoop();
    const seen: unknown[] = [];
    for (const way of ways) {
      loop[way](function (this: unknown) {
        seen.push(this);
      });
    }
    loop.callLater(0, function (this: unknown) {
      seen.push(this);
    });
    loop.runIteration();
    expect(seen).to.deep.equal([undefined, undefined, undefined, undefined]);
  });

  it("L15 never runs a callback inside the call, wherever that is made", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    /** Adds a callback and says when the call is over. */
    const add = (where: string): void => {
      for (const way of ways) loop[way](() => log.push(`${where}: ${way} runs`));
      log.push(`${where}: added`);
    };
    const ran = (where: string): string[] => ways.map((way) => `${where}: ${way} runs`);
    add("outside");
    loop.addCallback(add, "in a callback");
    loop.callAt(1000, add, "in a timeout");
    loop.addHandler(
      900,
      () => {
        add("in a handler");
        loop.stop();
      },
      IOLoop.READ,
    );
    fake.onPoll = () => {
      if (fake.waits.length === 2) fake.answer([900, IOLoop.READ]);
    };
    await loop.start();
    expect(log).to.deep.equal([
      "outside: added",
      ...ran("outside"),
      "in a callback: added",
      "in a timeout: added",
      ...ran("in a callback"),
      ...ran("in a timeout"),
      "in a handler: added",
      ...ran("in a handler"),
    ]);
    loop.removeHandler(900);
  });

  it("L15 runs what was queued before start() in the first iteration, in a later turn than start()'s", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    loop.addCallback(() => {
      log.push(`callback after ${fake.waits.length} polls`);
      loop.stop();
    });
    const ended = loop.start();
    log.push("start() has returned");
    await ended;
    expect(log).to.deep.equal(["start() has returned", "callback after 0 polls"]);
  });

  it("L16 ignores a return value that cannot be awaited, and schedules nothing for it", async () => {
    const { fake, loop } = makeFakeLoop();
    const add = sinon.spy(loop, "addCallback");
    const values = [{}, [], 0, 1, "", "text", null, true, Symbol("value"), () => undefined, { then: 1 }];
    for (const value of values) loop.addCallback(() => value);
    loop.callLater(0, () => ({}));
    loop.callLater(0, () => []);
    loop.callLater(0.05, loop.stop);
    const before = add.callCount;
    await loop.start();
    expect(add.callCount).to.equal(before);
    expect(fake.waits).to.have.length(1);
  });

  it("L17 keeps callbacks that are queued when the loop leaves for the next start()", async () => {
    const { fake, loop } = makeFakeLoop();
    const log: string[] = [];
    loop.addCallback(() => {
      loop.stop();
      loop.addCallback(() => log.push("first"));
      loop.spawnCallback(() => log.push("second"));
    });
    await loop.start();
    expect(log).to.deep.equal([]);
    expect(loop.statistics().callbacks).to.equal(2);
    loop.addCallback(loop.stop);
    await loop.start();
    expect(log).to.deep.equal(["first", "second"]);
    expect(fake.waits).to.deep.equal([]);
  });

  it("L18 puts spawned callbacks and those from signals into the same queue", () => {
    const { loop } = makeFakeLoop();
    const log: string[] = [];
    loop.spawnCallback((text: string) => log.push(text), "1 spawned");
    loop.addCallback((text: string) => log.push(text), "2 added");
    loop.addCallbackFromSignal((text: string) => log.push(text), "3 from a signal");
    loop.spawnCallback((text: string) => log.push(text), "4 spawned");
    expect(loop.statistics().callbacks).to.equal(4);
    loop.runIteration();
    expect(log).to.deep.equal(["1 spawned", "2 added", "3 from a signal", "4 spawned"]);
  });

  it("L18 treats what they throw, and what they return, as that of any callback", async () => {
    for (const way of ways) {
      const { loop } = makeFakeLoop();
      const failures: unknown[] = [];
      loop.handleCallbackException = (callback, error) => failures.push([callback, error]);
      const thrownError = new Error("thrown");
      const rejected = new Error("rejected");
      const throws = (): void => {
        throw thrownError;
      };
      const rejects = async (): Promise<void> => {
        throw rejected;
      };
      loop[way](throws);
      loop[way](rejects);
      loop.callAt(1001, loop.stop);
      await loop.start();
      expect(failures, way).to.deep.equal([
        [throws, thrownError],
        [rejects, rejected],
      ]);
      loop.close();
    }
  });

  it("L19 drops callbacks silently on a closed loop", async () => {
    const { loop } = makeFakeLoop();
    const callback = sinon.spy();
    loop.close();
    for (const way of ways) loop[way](callback);
    expect(loop.statistics().callbacks).to.equal(0);
    await new Promise(setImmediate);
    expect(callback.called).to.equal(false);
  });

  it("L20 refuses a callback that is no function, at the call and with its value, and schedules nothing", () => {
    const { fake, loop } = makeFakeLoop();
    const future = new Future<number>();
    const executor: Executor = { submit: () => Promise.reject(new Error("It must not come to this")) };
    const methods: Record<string, [name: RegExp, call: (value: never) => unknown]> = {
      addCallback: [/^callback is/, (value) => loop.addCallback(value)],
      spawnCallback: [/^callback is/, (value) => loop.spawnCallback(value)],
      addCallbackFromSignal: [/^callback is/, (value) => loop.addCallbackFromSignal(value)],
      addTimeout: [/^callback is/, (value) => loop.addTimeout(1000, value)],
      "addTimeout with a Duration": [/^callback is/, (value) => loop.addTimeout({ seconds: 1 }, value)],
      callLater: [/^callback is/, (value) => loop.callLater(1, value)],
      callAt: [/^callback is/, (value) => loop.callAt(1000, value)],
      addHandler: [/^handler is/, (value) => loop.addHandler(900, value, IOLoop.READ)],
      addFuture: [/^callback is/, (value) => loop.addFuture(future, value)],
      createWakeHandle: [/^callback is/, (value) => loop.createWakeHandle(value)],
      runInExecutor: [/^func is/, (value) => loop.runInExecutor(executor, value)],
    };
    const registered = fake.registered.size;
    for (const [method, [name, call]] of Object.entries(methods)) {
      for (const value of [undefined, null, 7, "callback", {}, Promise.resolve()]) {
        const error = thrown(() => call(value as never));
        expect(error, method).to.be.instanceOf(TypeError);
        expect(error.message, method)
          .to.match(name)
          .and.to.match(/: pass a function$/);
      }
      expect(thrown(() => call("text" as never)).message, method).to.include("'text'");
    }
    expect(loop.statistics()).to.include({ callbacks: 0, timeouts: 0, handlers: 0 });
    expect(fake.registered.size).to.equal(registered);
    future.setResult(1);
    loop.runIteration();
  });

  it("L21 reaches a replaced addHandler for the library's own registrations", () => {
    const { loop } = makeFakeLoop();
    const real = loop.addHandler.bind(loop);
    const registered: unknown[] = [];
    loop.addHandler = ((fd: number, handler: () => void, events: number) => {
      registered.push(fd);
      real(fd, handler, events);
    }) as typeof loop.addHandler;
    loop._addBareHandler(900, () => undefined, IOLoop.READ);
    expect(registered).to.deep.equal([900]);
    loop.removeHandler(900);
  });

  it("L21 reaches a replaced addCallback for internal uses too", async () => {
    const { loop } = makeFakeLoop();
    const real = loop.addCallback.bind(loop);
    let calls = 0;
    loop.addCallback = ((callback: Callback<never>, ...args: never[]) => {
      calls++;
      real(callback as Callback, ...args);
    }) as typeof loop.addCallback;
    /** How many calls `action` has caused by the time that the loop has run. */
    const callsOf = async (action: () => unknown): Promise<number> => {
      const before = calls;
      const result = action();
      loop.callLater(1, loop.stop);
      await loop.start();
      await result;
      return calls - before;
    };
    const done = new Future<number>();
    done.setResult(1);
    expect(await callsOf(() => loop.addFuture(done, () => undefined)), "addFuture").to.equal(1);
    const executor: Executor = { submit: (func, ...args) => Promise.resolve(func(...args)) };
    expect(await callsOf(() => loop.runInExecutor(executor, () => 1)), "runInExecutor").to.equal(1);
    const before = calls;
    await loop.runSync(async () => 1);
    expect(calls - before, "runSync").to.be.at.least(1);
  });

  it("L21 reaches a replaced time() for deadlines, the due test, the wait and PeriodicCallback", async () => {
    const { fake, loop } = makeFakeLoop();
    loop.timeFunc = () => {
      throw new Error("time() was bypassed");
    };
    loop.time = () => fake.now + 500;
    const log: number[] = [];
    loop.callLater(10, () => log.push(fake.now));
    loop.addTimeout({ seconds: 11 }, () => log.push(fake.now));
    loop.callAt(1512, () => log.push(fake.now));
    const periodic = new PeriodicCallback(
      () => {
        log.push(fake.now);
        periodic.stop();
        loop.stop();
      },
      13_000,
      { ioLoop: loop },
    );
    periodic.start();
    await loop.start();
    expect(log).to.deep.equal([1010, 1011, 1012, 1013]);
    expect(fake.waits).to.deep.equal([10, 1, 1, 1]);
  });

  it("L21 reaches a replaced handleCallbackException from callbacks, timeouts, handlers and rejections", async () => {
    const { fake, loop } = makeFakeLoop();
    const seen: string[] = [];
    loop.handleCallbackException = (_, error) => seen.push((error as Error).message);
    const fails = (message: string) => (): never => {
      throw new Error(message);
    };
    loop.addCallback(fails("callback"));
    loop.callAt(1000, fails("timeout"));
    loop.addHandler(900, fails("handler"), IOLoop.READ);
    loop.addCallback(() => Promise.reject(new Error("rejection")));
    fake.answer([900, IOLoop.READ]);
    loop.callAt(1001, loop.stop);
    await loop.start();
    expect(seen.sort()).to.deep.equal(["callback", "handler", "rejection", "timeout"]);
    loop.removeHandler(900);
  });

  it("L21 reaches a replaced callAt, addCallbackFromSignal and splitFd", () => {
    const { loop } = makeFakeLoop();
    const callAt = sinon.spy(loop, "callAt");
    const fromSignal = sinon.spy(loop, "addCallbackFromSignal");
    const splitFd = sinon.spy(loop, "splitFd");
    loop.removeTimeout(loop.callLater(1, () => undefined));
    loop.removeTimeout(loop.addTimeout({ seconds: 1 }, () => undefined));
    expect(callAt.args.map(([when]) => when)).to.deep.equal([1001, 1001]);
    loop.spawnCallback(() => undefined);
    expect(fromSignal.callCount).to.equal(1);
    loop.addHandler(900, () => undefined, IOLoop.READ);
    loop.updateHandler(900, IOLoop.WRITE);
    loop.removeHandler(900);
    expect(splitFd.args).to.deep.equal([[900], [900], [900]]);
    loop.runIteration();
  });
});

eachCombination((_, makeCombinedLoop) => {
  describe("IOLoop: callbacks on a real poller", () => {
    let loop: PollIOLoop;

    beforeEach(() => {
      loop = makeCombinedLoop();
    });

    it("L14 runs callbacks in order, from outside a waiting loop as well", async () => {
      const log: number[] = [];
      loop.addCallback(() => log.push(1));
      loop.addCallback(() => log.push(2));
      const ended = loop.start();
      await untilWaiting(loop);
      log.push(3);
      loop.addCallback(() => log.push(4));
      loop.spawnCallback(() => log.push(5));
      loop.addCallbackFromSignal(() => log.push(6));
      loop.addCallback(loop.stop);
      await ended;
      expect(log).to.deep.equal([1, 2, 3, 4, 5, 6]);
    });

    it("L20 goes on after it has refused a callback", async () => {
      loop.addCallback(() => {
        expectError(() => loop.addCallback(5 as never), TypeError, /^callback is 5: pass a function$/);
        loop.addCallback(loop.stop);
      });
      await loop.start();
    });
  });
});
