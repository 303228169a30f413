import { expect } from "chai";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { TimeoutError } from "../../src/concurrent/index.js";
import { sleep } from "../../src/gen/index.js";
import { IOLoop } from "../../src/ioloop/index.js";
import { pipe } from "../../src/platform/index.js";
import { AsyncTestCase, genTest, getAsyncTestTimeout, VirtualTimeIOLoop } from "../../src/testing/index.js";
import { openDescriptors } from "../support/descriptors.js";

interface Context {
  timeout(milliseconds: number): void;
}

type Body = (this: Context) => Promise<void>;

/** What `mocha()` of a class registers, without running it. */
function registered(
  Class: typeof AsyncTestCase,
  title?: string,
): { titles: string[]; tests: Map<string, Body>; run: (name: string) => Promise<void>; limits: number[] } {
  const real = { describe: globalThis.describe, it: globalThis.it };
  const titles: string[] = [];
  const tests = new Map<string, Body>();
  const limits: number[] = [];
  Object.assign(globalThis, {
    describe: (name: string, body: () => void) => {
      titles.push(name);
      body();
    },
    it: (name: string, body: Body) => tests.set(name, body),
  });
  try {
    Class.mocha(title);
  } finally {
    Object.assign(globalThis, real);
  }
  const run = async (name: string): Promise<void> => {
    await tests.get(name)!.call({ timeout: (milliseconds) => limits.push(milliseconds) });
  };
  return { titles, tests, run, limits };
}

async function rejection(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not reject");
}

/** The loops of a suite's tests, for a look afterwards. */
const loops: IOLoop[] = [];

class Registered extends AsyncTestCase {
  override setUp(): void {
    void super.setUp();
    loops.push(this.ioLoop);
  }

  async testWaits(): Promise<void> {
    expect(IOLoop.current()).to.equal(this.ioLoop);
    this.ioLoop.callLater(0.001, () => this.stop("done"));
    expect(await this.wait()).to.equal("done");
  }

  testNothing(): void {
    expect(IOLoop.current(false)).to.equal(this.ioLoop);
  }

  testField = genTest(async (test: Registered) => {
    await sleep(0.001);
    expect(IOLoop.current()).to.equal(test.ioLoop);
  });
}

// A real registration: N98 as its users see it.
Registered.mocha("N98 AsyncTestCase.mocha");

describe("AsyncTestCase", () => {
  it("N98 gives each test a new current loop, closed and forgotten afterwards", async () => {
    loops.length = 0;
    const { titles, tests, run, limits } = registered(Registered);
    expect(titles).to.deep.equal(["Registered"]);
    expect([...tests.keys()]).to.deep.equal(["testWaits", "testNothing", "testField"]);
    for (const name of tests.keys()) await run(name);
    expect(new Set(loops).size).to.equal(3);
    expect(loops.every((loop) => loop.statistics().closed)).to.equal(true);
    expect(IOLoop.current(false)).to.equal(undefined);
    // N99: Mocha's own limit is off.
    expect(limits).to.deep.equal([0, 0, 0]);
  });

  it("N98 runs cleanups last-in first-out, then closes the loop with all its descriptors", async () => {
    const order: string[] = [];
    const before = openDescriptors().size;
    class Cleaning extends AsyncTestCase {
      override async tearDown(): Promise<void> {
        order.push("own");
        await super.tearDown();
        order.push("over");
      }

      testIt(): void {
        this.addCleanup(() => order.push("first"));
        this.addCleanup(async () => {
          await null;
          order.push(`second, loop ${this.ioLoop.statistics().closed ? "closed" : "open"}`);
        });
        const [read, write] = pipe();
        this.ioLoop.addHandler(read, () => undefined, IOLoop.READ);
        this.ioLoop.addHandler(write, () => undefined, IOLoop.NONE);
      }
    }
    await registered(Cleaning).run("testIt");
    expect(order).to.deep.equal(["own", "second, loop open", "first", "over"]);
    expect(openDescriptors().size).to.equal(before);
  });

  it("N98 runs setUp and tearDown of subclasses once, and cleans up after a failure too", async () => {
    const calls: string[] = [];
    class Base extends AsyncTestCase {
      override async setUp(): Promise<void> {
        await super.setUp();
        calls.push("set up");
      }

      override async tearDown(): Promise<void> {
        calls.push("tear down");
        await super.tearDown();
      }
    }
    class Failing extends Base {
      testIt(): void {
        this.addCleanup(() => {
          calls.push("clean up");
          throw new Error("in cleanup");
        });
        this.addCleanup(() => {
          calls.push("clean up");
        });
        // Left running: it has to leave before it can be closed.
        void this.ioLoop.start();
      }
    }
    expect((await rejection(registered(Failing).run("testIt"))).message).to.equal("in cleanup");
    expect(calls).to.deep.equal(["set up", "tear down", "clean up", "clean up"]);
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("N98 leaves no current loop, whatever the test has made current", async () => {
    using other = new IOLoop({ makeCurrent: false });
    class Switching extends AsyncTestCase {
      testIt(): void {
        other.makeCurrent();
      }
    }
    await registered(Switching).run("testIt");
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("N98 says where it belongs when it is not in Mocha", () => {
    const real = globalThis.describe;
    Object.assign(globalThis, { describe: undefined });
    try {
      expect(() => Registered.mocha()).to.throw(/mocha\(\) outside of Mocha/);
    } finally {
      Object.assign(globalThis, { describe: real });
    }
  });

  /** Runs a body as the test of a case of its own. */
  async function asTest(body: (test: AsyncTestCase) => unknown): Promise<void> {
    class Case extends AsyncTestCase {
      testIt(): unknown {
        return body(this);
      }
    }
    await registered(Case).run("testIt");
  }

  it("N100 answers with what stop() was given, before or during the wait", async () => {
    await asTest(async (test) => {
      test.stop("early");
      expect(await test.wait()).to.equal("early");
      test.ioLoop.addCallback(() => test.stop(7));
      expect(await test.wait()).to.equal(7);
      test.ioLoop.addCallback(() => test.stop());
      expect(await test.wait()).to.equal(undefined);
    });
  });

  it("N100 waits through stops until the condition holds, also when stop() came first", async () => {
    await asTest(async (test) => {
      let count = 0;
      const step = (): void => {
        count++;
        test.stop(count);
        if (count < 4) test.ioLoop.callLater(0.001, step);
      };
      test.ioLoop.callLater(0.001, step);
      test.stop("too early");
      expect(await test.wait({ condition: () => count >= 3 })).to.equal(3);
      expect(await test.wait({ condition: () => count >= 4 })).to.equal(4);
    });
  });

  it("N100 fails after its timeout, which does not hurt a later wait", async () => {
    await asTest(async (test) => {
      const error = await rejection(test.wait({ timeout: 0.01 }));
      expect(error).to.be.instanceOf(TimeoutError);
      expect(error.message).to.equal("Async operation timed out after 0.01 seconds");
      expect(await rejection(test.wait({ timeout: 0.01, condition: () => false }))).to.be.instanceOf(TimeoutError);
      test.ioLoop.callLater(0.001, () => test.stop("in time"));
      expect(await test.wait({ timeout: 0.02 })).to.equal("in time");
      // Past the deadline of the wait before.
      test.ioLoop.callLater(0.04, () => test.stop("later"));
      expect(await test.wait({ timeout: 2 })).to.equal("later");
    });
  });

  it("N100 refuses to wait inside of a running loop, and unknown options", async () => {
    await asTest(
      genTest(async (test: AsyncTestCase) => {
        expect((await rejection(test.wait())).message).to.match(/already running/);
      }),
    ).catch((error: unknown) => {
      throw error;
    });
    await asTest(async (test) => {
      expect(await rejection(test.wait({ timeOut: 1 } as object))).to.be.instanceOf(TypeError);
    });
  });

  it("N101 fails a test that returns what is no awaitable", async () => {
    for (const [value, shown] of [
      [42, "42"],
      [null, "null"],
      ["text", "'text'"],
    ] as const) {
      expect((await rejection(asTest(() => value))).message).to.equal(`Return value from test method ignored: ${shown}`);
    }
    expect((await rejection(asTest(genTest(() => 42)))).message).to.equal("Return value from test method ignored: 42");
    await asTest(() => ({ then: (done: () => void) => done() }));
  });

  it("N105 fails a test that leaves a descriptor open, and names it", async () => {
    const opened: number[] = [];
    class Leaky extends AsyncTestCase {
      static override checkDescriptors = true;

      testLeak(): void {
        opened.push(openSync("/dev/null", "r"));
      }

      testClean(): void {
        closeSync(openSync("/dev/null", "r"));
      }
    }
    const { run } = registered(Leaky);
    await run("testClean");
    const error = await rejection(run("testLeak"));
    closeSync(opened[0]!);
    expect(error.message).to.equal(`The test left descriptors open: ${opened[0]}`);
    Leaky.checkDescriptors = false;
    await run("testLeak");
    closeSync(opened[1]!);
  });
});

describe("genTest", () => {
  const variable = process.env["ASYNC_TEST_TIMEOUT"];

  afterEach(() => {
    if (variable === undefined) delete process.env["ASYNC_TEST_TIMEOUT"];
    else process.env["ASYNC_TEST_TIMEOUT"] = variable;
  });

  it(
    "N99 makes a function for it(), with a loop of its own",
    genTest(async (test: AsyncTestCase) => {
      expect(IOLoop.current()).to.equal(test.ioLoop);
      await sleep(0.001);
    }),
  );

  it("N99 takes sync functions, passes arguments on, and rejects with what is thrown", async () => {
    const seen: unknown[] = [];
    const wrapped = genTest((test: AsyncTestCase, ...args: unknown[]) => void seen.push(test instanceof AsyncTestCase, ...args));
    expect(wrapped.length).to.equal(0);
    await wrapped.call(undefined, 1, "two");
    expect(seen).to.deep.equal([true, 1, "two"]);
    const thrown = new Error("thrown");
    for (const fn of [
      () => {
        throw thrown;
      },
      () => Promise.reject(thrown),
    ]) {
      expect(await rejection(genTest(fn).call(undefined))).to.equal(thrown);
    }
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("N99 wraps the method of a test case, which it gets as this and first", async () => {
    const seen: unknown[] = [];
    class Case extends AsyncTestCase {
      testIt = genTest(function (this: Case, test: Case, ...args: unknown[]) {
        seen.push(this === test, this.ioLoop === IOLoop.current(), ...args);
      });
    }
    await registered(Case).run("testIt");
    expect(seen).to.deep.equal([true, true]);
  });

  it("N99 switches Mocha's limit off", async () => {
    const limits: number[] = [];
    await genTest(() => undefined).call({ timeout: (milliseconds: number) => limits.push(milliseconds) });
    expect(limits).to.deep.equal([0]);
  });

  it("N99 fails after its timeout, in either form", async () => {
    const forever = (): Promise<never> => new Promise(() => undefined);
    for (const wrapped of [genTest(forever, { timeout: 0.01 }), genTest({ timeout: 0.01 })(forever)]) {
      const error = await rejection(wrapped.call(undefined));
      expect(error).to.be.instanceOf(TimeoutError);
      expect(error.message).to.include("0.01 seconds");
    }
  });

  it("N99 takes the timeout from the variable, unless it is unreadable or one is given", async () => {
    delete process.env["ASYNC_TEST_TIMEOUT"];
    expect(getAsyncTestTimeout()).to.equal(5);
    for (const unreadable of ["soon", "", "-1", "NaN"]) {
      process.env["ASYNC_TEST_TIMEOUT"] = unreadable;
      expect(getAsyncTestTimeout(), unreadable).to.equal(5);
    }
    process.env["ASYNC_TEST_TIMEOUT"] = "0.01";
    expect(getAsyncTestTimeout()).to.equal(0.01);
    const slow = (): Promise<void> => sleep(0.05) as unknown as Promise<void>;
    expect(await rejection(genTest(slow).call(undefined))).to.be.instanceOf(TimeoutError);
    await genTest(slow, { timeout: 2 }).call(undefined);
    // An explicit one also beats a longer one of the variable.
    process.env["ASYNC_TEST_TIMEOUT"] = "10";
    expect(await rejection(genTest(slow, { timeout: 0.01 }).call(undefined))).to.be.instanceOf(TimeoutError);
  });

  it("N99 refuses wrong options", () => {
    expect(() => genTest({ timeOut: 1 } as object)).to.throw(TypeError);
    expect(() => genTest(() => undefined, { timeout: "1" as never })).to.throw(TypeError);
    expect(() => genTest(() => undefined, { timeout: NaN })).to.throw(TypeError);
  });

  it("N99 N107 measures a test on virtual time in real time", async () => {
    class Virtual extends AsyncTestCase {
      override getNewIoloop(): IOLoop {
        return new VirtualTimeIOLoop({ makeCurrent: false });
      }

      testHour = genTest(async () => {
        await sleep(3600);
      });

      testHang = genTest(async () => once(new EventTarget(), "never"), { timeout: 0.05 });

      async testWait(): Promise<void> {
        this.ioLoop.callLater(3600, () => this.stop("late"));
        expect(await this.wait()).to.equal("late");
      }
    }
    const { run } = registered(Virtual);
    await run("testHour");
    await run("testWait");
    expect(await rejection(run("testHang"))).to.be.instanceOf(TimeoutError);
  });
});
