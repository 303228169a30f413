/** What becomes of errors in callbacks, timeouts and handlers (L58-L66), and of bad arguments. */
import { expect } from "chai";
import sinon from "sinon";
import { CancelledError } from "../../src/concurrent/index.js";
import { IOLoop, PollIOLoop } from "../../src/ioloop/index.js";
import { AF_INET, Socket, systemError } from "../../src/platform/index.js";
import { eachCombination } from "../support/combinations.js";
import { FakePoller } from "../support/fake-poller.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { drain, Files, makeFakeLoop } from "./driving.js";

/** An error as the one a system call gives. */
function brokenPipe(): Error {
  return systemError(32, "write");
}

/** Runs the loop until what is queued now and the timeouts that are due now have run, and the promises they returned have settled. */
async function runOnce(loop: IOLoop): Promise<void> {
  // Three callbacks later: reactions run between iterations.
  loop.addCallback(() => loop.addCallback(() => loop.addCallback(loop.stop)));
  await loop.start();
}

/** Replaces the loop's `handleCallbackException` by one that remembers what it was called with. */
function catchErrors(loop: IOLoop): [callback: unknown, error: unknown][] {
  const caught: [unknown, unknown][] = [];
  loop.handleCallbackException = (callback, error) => caught.push([callback, error]);
  return caught;
}

const files = new Files();

describe("IOLoop: errors", () => {
  afterEach(() => files.close());

  describe("in callbacks and timeouts", () => {
    it("L58 hands an exception to handleCallbackException and runs the rest of the same iteration", async () => {
      const { loop, fake } = makeFakeLoop();
      const caught = catchErrors(loop);
      const ran: string[] = [];
      const inCallback = new Error("in a callback");
      const inTimeout = new Error("in a timeout");
      const badCallback = (): never => {
        throw inCallback;
      };
      const badTimeout = (): never => {
        throw inTimeout;
      };
      loop.addCallback(badCallback);
      loop.addCallback(() => ran.push(`callback ${loop.statistics().iterations}`));
      loop.callAt(1000, badTimeout);
      loop.callAt(1000, () => ran.push(`timeout ${loop.statistics().iterations}`));
      loop.callAt(1005, () => {
        ran.push("later");
        loop.stop();
      });
      await loop.start();
      expect(caught).to.deep.equal([
        [badCallback, inCallback],
        [badTimeout, inTimeout],
      ]);
      expect(ran).to.deep.equal(["callback 1", "timeout 1", "later"]);
      expect(fake.waits).to.deep.equal([5]);
    });

    it("L59 logs one error record on application by default: what happened, the function's name, the error with its stack", async () => {
      const { loop } = makeFakeLoop();
      const error = new Error("the reason");
      const matched = expectLog("application", "error", /Exception in callback.*fetchPage[^]*Error: the reason\n +at /);
      loop.addCallback(function fetchPage() {
        throw error;
      });
      await runOnce(loop);
      const records = logRecords().filter((each) => each.level === "error");
      expect(records).to.have.length(1);
      expect(records[0]?.message).to.include("Exception in callback");
      expect(records[0]?.message).to.include("fetchPage");
      expect(records[0]?.details).to.include(error);
      expect(matched).to.be.an("array");
    });

    it("L59 logs a function without a name, too", async () => {
      const { loop } = makeFakeLoop();
      expectLog("application", "error", /Exception in callback .*anonymous/);
      loop.addCallback(
        (() => () => {
          throw new Error("expected");
        })(),
      );
      await runOnce(loop);
    });

    it("L61 logs EPIPE in callbacks and timeouts like any other error", async () => {
      const { loop } = makeFakeLoop();
      const caught = catchErrors(loop);
      const error = brokenPipe();
      const fail = (): never => {
        throw error;
      };
      loop.addCallback(fail);
      loop.callAt(1000, fail);
      loop.addCallback(() => Promise.reject(error));
      await runOnce(loop);
      expect(caught.map(([, each]) => each)).to.deep.equal([error, error, error]);
    });

    for (const method of ["addCallback", "spawnCallback", "addCallbackFromSignal"] as const) {
      it(`L58 treats what ${method} runs alike`, async () => {
        const { loop } = makeFakeLoop();
        const caught = catchErrors(loop);
        const error = new Error("expected");
        loop[method](() => {
          throw error;
        });
        await runOnce(loop);
        expect(caught.map(([, each]) => each)).to.deep.equal([error]);
      });
    }
  });

  eachCombination((_name, makeRealLoop) => {
    it("L60 reports a handler's exception with the handler, and leaves it registered", async () => {
      const [ready] = files.fullPipe();
      const loop = makeRealLoop();
      const caught = catchErrors(loop);
      let calls = 0;
      const handler = (): void => {
        if (++calls === 3) {
          loop.removeHandler(ready);
          loop.stop();
        }
        throw new Error(`call ${calls}`);
      };
      loop.addHandler(ready, handler, IOLoop.READ);
      await loop.start();
      expect(caught.map(([callback]) => callback)).to.deep.equal([handler, handler, handler]);
      expect(caught.map(([, error]) => (error as Error).message)).to.deep.equal(["call 1", "call 2", "call 3"]);
    });

    it("L60 serves the other descriptors of the batch", async () => {
      const [first] = files.fullPipe();
      const [second] = files.fullPipe();
      const loop = makeRealLoop();
      const caught = catchErrors(loop);
      const served: number[] = [];
      const handler = (fd: number): void => {
        served.push(fd);
        loop.removeHandler(fd);
        loop.stop();
        throw new Error("expected");
      };
      loop.addHandler(first, handler, IOLoop.READ);
      loop.addHandler(second, handler, IOLoop.READ);
      await loop.start();
      expect(served).to.have.members([first, second]);
      expect(caught).to.have.length(2);
    });

    it("L63 rejects start() with what an override throws in a handler, and the loop can be started again", async () => {
      const [ready] = files.fullPipe();
      const loop = makeRealLoop({ makeCurrent: false });
      const fatal = new Error("fatal");
      loop.handleCallbackException = () => {
        throw fatal;
      };
      loop.addHandler(
        ready,
        () => {
          throw new Error("expected");
        },
        IOLoop.READ,
      );
      const [outcome] = await Promise.allSettled([loop.start()]);
      expect(outcome).to.deep.equal({ status: "rejected", reason: fatal });
      expect(loop.statistics()).to.include({ running: false, waiting: false });
      expect(IOLoop.current(false)).to.equal(undefined);
      loop.removeHandler(ready);
      loop.addCallback(loop.stop);
      await loop.start();
    });

    it("L63 ends a wait when an override throws for a rejection", async () => {
      const loop = makeRealLoop({ makeCurrent: false });
      const fatal = new Error("fatal");
      loop.handleCallbackException = () => {
        throw fatal;
      };
      let reject: (error: Error) => void = () => undefined;
      loop.addCallback(
        () =>
          new Promise((_resolve, rejectIt) => {
            reject = rejectIt;
          }),
      );
      loop.addCallback(() => setImmediate(() => setImmediate(() => reject(new Error("expected")))));
      const [outcome] = await Promise.allSettled([loop.start()]);
      expect(outcome).to.deep.equal({ status: "rejected", reason: fatal });
      expect(IOLoop.current(false)).to.equal(undefined);
      loop.addCallback(loop.stop);
      await loop.start();
    });

    it("L63 holds for a thenable that rejects inside then()", async () => {
      const loop = makeRealLoop();
      const fatal = new Error("fatal");
      loop.handleCallbackException = () => {
        throw fatal;
      };
      loop.addCallback(() => ({
        then(_resolve: unknown, reject: (error: Error) => void): void {
          reject(new Error("expected"));
        },
      }));
      const [outcome] = await Promise.allSettled([loop.start()]);
      expect(outcome).to.deep.equal({ status: "rejected", reason: fatal });
      expect(loop.statistics()).to.include({ running: false, waiting: false });
      loop.addCallback(loop.stop);
      await loop.start();
    });

    it("L64 observes a handler's promise: its rejection is a throw, and EPIPE is dropped", async () => {
      const [ready] = files.fullPipe();
      const [broken] = files.fullPipe();
      const loop = makeRealLoop();
      const caught = catchErrors(loop);
      const error = new Error("after an await");
      const handler = async (fd: number): Promise<void> => {
        loop.removeHandler(fd);
        await Promise.resolve();
        throw error;
      };
      loop.addHandler(ready, handler, IOLoop.READ);
      loop.addHandler(
        broken,
        async (fd) => {
          loop.removeHandler(fd);
          await Promise.resolve();
          throw brokenPipe();
        },
        IOLoop.READ,
      );
      loop.callLater(0.02, loop.stop);
      await loop.start();
      expect(caught).to.deep.equal([[handler, error]]);
    });
  });

  it("L60 names a handler that has removed itself in the log", async () => {
    const { loop, fake } = makeFakeLoop();
    expectLog("application", "error", /Exception in callback onReadable[^]*in a handler/);
    loop.addHandler(
      9,
      function onReadable(fd) {
        loop.removeHandler(fd);
        throw new Error("in a handler");
      },
      IOLoop.READ,
    );
    fake.answer([9, IOLoop.READ]);
    await runOnce(loop);
  });

  it("L61 drops EPIPE from a handler, and only that", async () => {
    const { loop, fake } = makeFakeLoop();
    const caught = catchErrors(loop);
    const errors = [brokenPipe(), systemError(104, "recv"), Object.assign(new Error("not from the system"), { code: "EPIPE" })];
    const expected = [errors[1]];
    loop.addHandler(
      9,
      () => {
        const error = errors.shift();
        if (errors.length === 0) loop.stop();
        throw error as Error;
      },
      IOLoop.READ,
    );
    fake.answer([9, IOLoop.READ]);
    fake.answer([9, IOLoop.READ]);
    fake.answer([9, IOLoop.READ]);
    await loop.start();
    loop.removeHandler(9);
    expect(caught.map(([, error]) => error)).to.deep.equal(expected);
  });

  it("L62 an override, of a subclass or of one loop, gets (callback, error) in place of the log", async () => {
    const caught: [unknown, unknown][] = [];
    class OwnLoop extends PollIOLoop {
      override handleCallbackException(callback: unknown, error: unknown): void {
        caught.push([callback, error]);
      }
    }
    const error = new Error("expected");
    const fail = (): never => {
      throw error;
    };
    using subclassed = new OwnLoop({ impl: new FakePoller(), makeCurrent: false });
    subclassed.addCallback(fail);
    subclassed.runIteration();
    const { loop } = makeFakeLoop();
    loop.handleCallbackException = (...args) => caught.push(args);
    loop.addCallback(fail);
    loop.runIteration();
    expect(caught).to.deep.equal([
      [fail, error],
      [fail, error],
    ]);
  });

  it("L63 what was queued behind the error that an override threw runs after a restart", async () => {
    const { loop } = makeFakeLoop();
    const ran: string[] = [];
    const fatal = new Error("fatal");
    loop.handleCallbackException = () => {
      throw fatal;
    };
    loop.addCallback(() => {
      throw new Error("expected");
    });
    loop.addCallback(() => ran.push("callback"));
    const removed = loop.callAt(999, () => ran.push("removed"));
    loop.callAt(1000, () => ran.push("timeout"));
    const [outcome] = await Promise.allSettled([loop.start()]);
    expect(outcome).to.deep.equal({ status: "rejected", reason: fatal });
    expect(ran).to.deep.equal([]);
    loop.removeTimeout(removed);
    expect(loop.statistics()).to.include({ running: false, timeouts: 1, callbacks: 1 });
    loop.addCallback(loop.stop);
    await loop.start();
    expect(ran).to.deep.equal(["callback", "timeout"]);
  });

  it("L63 forgets a stop() made in the run that failed", async () => {
    const { loop } = makeFakeLoop();
    loop.handleCallbackException = (_callback, error) => {
      throw error;
    };
    loop.addCallback(loop.stop);
    loop.addCallback(() => {
      throw new Error("fatal");
    });
    const [outcome] = await Promise.allSettled([loop.start()]);
    expect(outcome.status).to.equal("rejected");
    const ran = sinon.spy();
    loop.addCallback(ran);
    loop.addCallback(loop.stop);
    await loop.start();
    expect(ran.callCount).to.equal(1);
  });

  it("L64 observes a thenable returned by a callback or timeout: a rejection is a throw, once", async () => {
    const { loop } = makeFakeLoop();
    const caught = catchErrors(loop);
    const errors = [new Error("async"), new Error("promise"), new Error("thenable"), new Error("timeout")] as const;
    const callbacks = [
      async (): Promise<void> => {
        await Promise.resolve();
        throw errors[0];
      },
      () => Promise.reject(errors[1]),
      () => ({ then: (_resolve: unknown, reject: (error: unknown) => void) => queueMicrotask(() => reject(errors[2])) }),
    ];
    const timeout = async (): Promise<never> => Promise.reject(errors[3]);
    for (const callback of callbacks) loop.addCallback(callback);
    loop.callAt(1000, timeout);
    await runOnce(loop);
    expect(caught).to.have.deep.members([...callbacks, timeout].map((callback, index) => [callback, errors[index]]));
  });

  it("L64 a thenable that rejects twice is one error", async () => {
    const { loop } = makeFakeLoop();
    const caught = catchErrors(loop);
    loop.addCallback(() => ({
      then(_resolve: unknown, reject: (error: Error) => void): void {
        reject(new Error("first"));
        reject(new Error("second"));
      },
    }));
    await runOnce(loop);
    expect(caught.map(([, error]) => (error as Error).message)).to.deep.equal(["first"]);
  });

  it("L64 a promise that fulfils, and a thenable whose then() throws, are seen as well", async () => {
    const { loop } = makeFakeLoop();
    const caught = catchErrors(loop);
    const error = new Error("expected");
    loop.addCallback(() => Promise.resolve(new Error("a value")));
    loop.addCallback(() => ({
      then(): never {
        throw error;
      },
    }));
    await runOnce(loop);
    expect(caught.map(([, each]) => each)).to.deep.equal([error]);
  });

  for (const [what, make] of [
    ["CancelledError", () => new CancelledError()],
    ["an error named AbortError", () => Object.assign(new Error("aborted"), { name: "AbortError" })],
    ["the reason of an AbortSignal", () => AbortSignal.abort().reason as Error],
  ] as const) {
    it(`L65 neither logs nor passes on ${what}, thrown or as a rejection`, async () => {
      const { loop, fake } = makeFakeLoop();
      const caught = catchErrors(loop);
      const fail = (): never => {
        throw make();
      };
      loop.addCallback(fail);
      loop.addCallback(async () => fail());
      loop.callAt(1000, fail);
      loop.callAt(1000, async () => fail());
      let calls = 0;
      loop.addHandler(9, () => (calls++ === 0 ? fail() : Promise.reject(make())), IOLoop.READ);
      fake.answer([9, IOLoop.READ]);
      fake.answer([9, IOLoop.READ]);
      loop.callAt(1001, loop.stop);
      await loop.start();
      loop.removeHandler(9);
      expect(calls).to.equal(2);
      expect(caught).to.deep.equal([]);
      expect(logRecords()).to.deep.equal([]);
    });
  }

  for (const thrown of ["a string", undefined, null, 0] as unknown[]) {
    it(`L66 takes ${String(thrown)} as an error like any other`, async () => {
      const { loop, fake } = makeFakeLoop();
      const caught = catchErrors(loop);
      const fail = (): never => {
        throw thrown;
      };
      const reject = async (): Promise<never> => fail();
      loop.addCallback(fail);
      loop.addCallback(reject);
      loop.addHandler(9, fail, IOLoop.READ);
      fake.answer([9, IOLoop.READ]);
      await runOnce(loop);
      loop.removeHandler(9);
      expect(caught).to.have.deep.members([
        [fail, thrown],
        [reject, thrown],
        [fail, thrown],
      ]);
    });
  }

  it("L66 logs a thrown string by default", async () => {
    const { loop } = makeFakeLoop();
    expectLog("application", "error", /Exception in callback oops[^]*a plain string/);
    loop.addCallback(function oops() {
      throw "a plain string" as unknown as Error;
    });
    await runOnce(loop);
  });
});

describe("IOLoop: bad input", () => {
  afterEach(() => files.close());

  /** Expects a refusal that says what was wrong, with nothing changed, and the loop at work afterwards. */
  async function refuses(
    loop: PollIOLoop,
    act: () => unknown,
    type: new (...args: never[]) => Error,
    ...parts: (string | RegExp)[]
  ): Promise<void> {
    const before = loop.statistics();
    let error: unknown;
    loop.addCallback(() => {
      try {
        act();
      } catch (thrown) {
        error = thrown;
      }
    });
    await runOnce(loop);
    expect(error).to.be.instanceOf(type);
    for (const part of parts) {
      if (typeof part === "string") expect((error as Error).message).to.include(part);
      else expect((error as Error).message).to.match(part);
    }
    expect((error as Error).message).to.match(/^[^]*[^.]$/);
    const after = loop.statistics();
    expect([after.handlers, after.timeouts, after.callbacks]).to.deep.equal([before.handlers, before.timeouts, before.callbacks]);
  }

  eachCombination((_name, makeRealLoop) => {
    it("L51 a closed or never-opened descriptor: EBADF", async () => {
      const loop = makeRealLoop();
      const handler = sinon.spy();
      // A number well above those the loop itself takes when it starts.
      const closed = files.dup(files.pipe()[0], 900);
      files.drop(closed);
      await refuses(loop, () => loop.addHandler(closed, handler, IOLoop.READ), Error, "EBADF", String(closed));
      await refuses(loop, () => loop.addHandler(1_000_000, handler, IOLoop.READ), Error, "EBADF", "fd is 1000000", "open descriptor");
      await refuses(loop, () => loop.updateHandler(closed, IOLoop.READ), Error, "EBADF", String(closed));
      expect(handler.callCount).to.equal(0);
    });

    it("L50 a descriptor registered twice: EEXIST, and the first handler goes on", async () => {
      const [ready] = files.fullPipe();
      const loop = makeRealLoop();
      const first = sinon.spy(() => drain(ready));
      const second = sinon.spy();
      loop.addHandler(ready, first, IOLoop.READ);
      await refuses(loop, () => loop.addHandler(ready, second, IOLoop.READ), Error, "EEXIST", String(ready), "updateHandler()");
      loop.removeHandler(ready);
      expect(first.callCount).to.equal(1);
      expect(second.callCount).to.equal(0);
    });

    it("L57 a mask with bits that epoll does not define: RangeError", async () => {
      const [ready] = files.fullPipe();
      const loop = makeRealLoop();
      const handler = sinon.spy();
      await refuses(loop, () => loop.addHandler(ready, handler, 0x800000), RangeError, "events", "8388608", "IOLoop.READ");
      await refuses(loop, () => loop.addHandler(ready, handler, 1.5), RangeError, "events", "1.5");
      await refuses(loop, () => loop.addHandler(ready, handler, NaN), RangeError, "events", "NaN");
      await refuses(loop, () => loop.addHandler(ready, handler, "r" as unknown as number), TypeError, "events", "'r'");
      loop.addHandler(ready, () => drain(ready), IOLoop.READ);
      await refuses(loop, () => loop.updateHandler(ready, 0x800000), RangeError, "events", "8388608");
      loop.removeHandler(ready);
      expect(handler.callCount).to.equal(0);
    });
  });

  it("L51 what can be no descriptor: RangeError or TypeError", async () => {
    const loop = makeLoop();
    const add = (fd: unknown) => () => loop.addHandler(fd as number, () => undefined, IOLoop.READ);
    await refuses(loop, add(-1), RangeError, "fd", "-1", "descriptor");
    await refuses(loop, add(2.5), RangeError, "fd", "2.5");
    await refuses(loop, add(NaN), RangeError, "fd", "NaN");
    await refuses(loop, add(2 ** 40), RangeError, "fd", String(2 ** 40));
    await refuses(loop, add("7"), TypeError, "fd", "'7'", "fileno()");
    await refuses(loop, add(undefined), TypeError, "fd", "undefined");
    await refuses(loop, add({ fileno: () => "7" }), TypeError, "fileno()", "'7'");
  });

  it("L20 a handler or callback that is no function: TypeError", async () => {
    const [ready] = files.fullPipe();
    const loop = makeLoop();
    const none = "stop" as unknown as () => void;
    await refuses(loop, () => loop.addHandler(ready, none, IOLoop.READ), TypeError, "handler", "'stop'", "function");
    await refuses(loop, () => loop.addCallback(none), TypeError, "callback", "'stop'", "function");
    await refuses(loop, () => loop.callLater(1, none), TypeError, "callback", "'stop'");
    await refuses(loop, () => void loop.runInExecutor(undefined, none), TypeError, "func", "'stop'");
  });

  it("L22 NaN, a string or another wrong thing as a deadline: TypeError", async () => {
    const loop = makeLoop();
    const timeout = (deadline: unknown) => () => loop.addTimeout(deadline as number, () => undefined);
    await refuses(loop, timeout(NaN), TypeError, "deadline", "NaN", "seconds");
    await refuses(loop, timeout("soon"), TypeError, "deadline", "'soon'", "Duration");
    await refuses(loop, timeout({ second: 1 }), TypeError, "deadline", "second: 1");
    await refuses(loop, timeout({ seconds: "1" }), TypeError, "deadline.seconds", "'1'");
    await refuses(loop, () => loop.callLater(NaN, () => undefined), TypeError, "delay", "NaN");
    await refuses(loop, () => loop.callAt("now" as unknown as number, () => undefined), TypeError, "when", "'now'");
  });

  it("L51 a port out of range, an address that is no address: an error before any system call, and the socket stays usable", async () => {
    const loop = makeLoop();
    const socket = new Socket(AF_INET);
    try {
      await refuses(loop, () => socket.bind(["127.0.0.1", 65_536]), RangeError, "port", "65536");
      await refuses(loop, () => socket.connect(["127.0.0.1", -1]), RangeError, "port", "-1");
      await refuses(loop, () => socket.bind(["127.0.0.1", "http"] as never), TypeError, "port", "http");
      await refuses(loop, () => socket.bind(["127.0.0.256", 0]), Error, "127.0.0.256");
      await refuses(loop, () => socket.bind(5 as unknown as string), TypeError, "5");
      socket.bind(["127.0.0.1", 0]);
    } finally {
      socket.close();
    }
  });

  it("L78 L92 an unknown key in the options of runSync() or close(): TypeError", async () => {
    const loop = makeLoop();
    const func = sinon.spy();
    expect(() => loop.runSync(func, { timeOut: 1 } as object)).to.throw(TypeError, /timeOut.*runSync.*timeout/);
    expect(() => loop.close({ allfds: true } as object)).to.throw(TypeError, /allfds.*close.*allFds/);
    await runOnce(loop);
    expect(func.callCount).to.equal(0);
  });
});
