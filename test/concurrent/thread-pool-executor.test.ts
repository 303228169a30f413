import { availableParallelism } from "node:os";
import { expect } from "chai";
import { ThreadPoolExecutor } from "../../src/concurrent/index.js";
import type { Future, ThreadPoolExecutorOptions } from "../../src/concurrent/index.js";
import { runSource } from "../support/child.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { settle } from "../support/real-timers.js";
import { collectWhatIsDropped } from "./collect-garbage.js";

/** What the error of a failed call looks like here. */
async function failureOf(future: PromiseLike<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await future;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error("the call was expected to fail");
}

/** Says that it is there and waits, blocking its thread, until the other one has said so too. */
function meet(meeting: Int32Array, me: number): number {
  Atomics.store(meeting, me, 1);
  Atomics.notify(meeting, me);
  if (Atomics.wait(meeting, 1 - me, 0, 8000) === "timed-out") throw new Error("nobody came");
  return me;
}

function makeMeeting(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8));
}

describe("ThreadPoolExecutor", function () {
  // A thread that loads TypeScript takes some 250 ms to start.
  this.timeout(20_000);

  let pool: ThreadPoolExecutor;

  beforeEach(() => {
    pool = new ThreadPoolExecutor({ maxWorkers: 2 });
  });

  afterEach(async () => {
    await pool.shutdown();
  });

  after(() => collectWhatIsDropped());

  it("L88 has at most 5 threads for each available CPU by default, or as many as it is told", () => {
    expect(new ThreadPoolExecutor().maxWorkers).to.equal(5 * availableParallelism());
    expect(new ThreadPoolExecutor({ maxWorkers: undefined }).maxWorkers).to.equal(5 * availableParallelism());
    expect(pool.maxWorkers).to.equal(2);
  });

  it("L88 refuses wrong options", () => {
    for (const maxWorkers of [0, -1, 1.5, NaN, Infinity]) {
      expect(() => new ThreadPoolExecutor({ maxWorkers }), String(maxWorkers)).to.throw(RangeError, String(maxWorkers));
    }
    expect(() => new ThreadPoolExecutor({ maxWorkers: "2" } as unknown as ThreadPoolExecutorOptions)).to.throw(TypeError, "'2'");
    expect(() => new ThreadPoolExecutor({ workers: 2 } as ThreadPoolExecutorOptions)).to.throw(TypeError, "'workers'");
    expect(() => new ThreadPoolExecutor(2 as never)).to.throw(TypeError, "2");
  });

  it("L89 two blocking functions run at the same time, on a cold pool and on a warm one", async () => {
    for (let round = 0; round < 2; round++) {
      const meeting = makeMeeting();
      const both: Future<number>[] = [pool.submit(meet, meeting, 0), pool.submit(meet, meeting, 1)];
      expect(await Promise.all(both)).to.deep.equal([0, 1]);
    }
  });

  it("L89 the calling thread goes on while a function blocks", async () => {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const future = pool.submit((f: Int32Array) => Atomics.wait(f, 0, 0, 8000), flag);
    await settle(() => Atomics.notify(flag, 0) > 0, 5000);
    expect(await future).to.equal("ok");
  });

  it("L87 calls run in the order of submitting when there is one thread", async () => {
    const single = new ThreadPoolExecutor({ maxWorkers: 1 });
    try {
      const counter = new Int32Array(new SharedArrayBuffer(4));
      const calls = Array.from({ length: 20 }, () => single.submit((c: Int32Array) => Atomics.add(c, 0, 1), counter));
      expect(await Promise.all(calls)).to.deep.equal(calls.map((_, index) => index));
    } finally {
      await single.shutdown();
    }
  });

  it("L87 a function's value comes back, awaited if it is a promise", async () => {
    expect(await pool.submit((a: number, b: string) => ({ a, b: [b] }), 1, "two")).to.deep.equal({ a: 1, b: ["two"] });
    expect(await pool.submit((): unknown => undefined)).to.equal(undefined);
    const later: Future<number> = pool.submit(async (x: number) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return x + 1;
    }, 1);
    expect(await later).to.equal(2);
    expect(Buffer.from(await pool.submit((bytes: Uint8Array) => bytes.reverse(), new Uint8Array([1, 2, 3])))).to.deep.equal(
      Buffer.from([3, 2, 1]),
    );
  });

  it("L88 a function may import, hold named functions and be a method", async () => {
    const digest = await pool.submit(async (text: string) => {
      const { createHash } = await import("node:crypto");
      const named = (): string => createHash("sha256").update(text).digest("hex");
      return named();
    }, "text");
    expect(digest).to.have.lengthOf(64);
    const object = {
      plain(x: number): number {
        return x * 2;
      },
      async later(x: number): Promise<number> {
        return await Promise.resolve(x * 3);
      },
    };
    const { plain, later } = object;
    expect(await Promise.all([pool.submit(plain, 1), pool.submit(later, 1)])).to.deep.equal([2, 3]);
  });

  it("L88 variables around the function do not travel", async () => {
    const around = 5;
    const error = await failureOf(pool.submit(() => around + 1));
    expect(error).to.be.instanceOf(ReferenceError);
    expect(error.message).to.contain("around");
  });

  it("L88 a function that cannot travel is a TypeError at submit", () => {
    class Class {
      get accessor(): number {
        return Date.now();
      }
    }
    const accessor = Object.getOwnPropertyDescriptor(Class.prototype, "accessor")?.get;
    for (const [fn, why] of [
      [Math.max, "native"],
      [meet.bind(undefined), "bound"],
      [Class, "class"],
      [accessor, "accessor"],
    ] as const) {
      expect(() => pool.submit(fn as () => unknown), why).to.throw(TypeError, why);
    }
    expect(() => pool.submit(5 as never)).to.throw(TypeError, "5");
  });

  it("L88 an argument that cannot travel is a TypeError at submit, and arguments are those of that moment", async () => {
    expect(() =>
      pool.submit(
        (f: unknown) => f,
        () => 1,
      ),
    ).to.throw(TypeError, "argument");
    const argument = { value: "at the call" };
    const future = pool.submit((x: typeof argument) => x.value, argument);
    argument.value = "later";
    expect(await future).to.equal("at the call");
  });

  it("L88 a result that cannot travel fails the call and leaves the thread alive", async () => {
    const error = await failureOf(pool.submit(() => () => 1));
    expect(error.name).to.equal("DataCloneError");
    expect(await pool.submit(() => "alive")).to.equal("alive");
  });

  it("L87 an error keeps class, name, message, stack, code, cause and other properties", async () => {
    const error = await failureOf(
      pool.submit(() => {
        throw Object.assign(new RangeError("too far", { cause: new TypeError("the cause") }), {
          code: "EFAR",
          errno: -5,
          path: "/x",
          name: "FarError",
        });
      }),
    );
    expect(error).to.be.instanceOf(RangeError).and.include({ name: "FarError", message: "too far", code: "EFAR", errno: -5, path: "/x" });
    expect(error.stack).to.contain("too far").and.contain("submitted-function");
    expect(error.cause).to.be.instanceOf(TypeError).and.have.property("message", "the cause");
  });

  it("L87 a system error, an error of an own class and what is no Error come through", async () => {
    const missing = await failureOf(
      pool.submit(async () => {
        const { readFile } = await import("node:fs/promises");
        return await readFile("/no/such/file", "utf8");
      }),
    );
    expect(missing).to.include({ code: "ENOENT", syscall: "open", path: "/no/such/file" });
    const own = await failureOf(
      pool.submit(() => {
        class OwnError extends Error {
          override name = "OwnError";
        }
        throw new OwnError("mine");
      }),
    );
    expect(own).to.be.instanceOf(Error).and.include({ name: "OwnError", message: "mine" });
    const text: unknown = await failureOf(
      pool.submit(() => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what other code may do
        throw "text";
      }),
    );
    expect(text).to.equal("text");
  });

  it("L87 an error whose cause is itself comes through", async () => {
    const error = await failureOf(
      pool.submit(() => {
        const circular = new Error("circular");
        circular.cause = circular;
        throw circular;
      }),
    );
    expect(error.message).to.equal("circular");
  });

  it("L87 a function that ends its thread fails its call, and the pool goes on", async () => {
    const error = await failureOf(pool.submit(() => process.exit(3)));
    expect(error.message).to.contain("3");
    expect(await pool.submit(() => "alive")).to.equal("alive");
  });

  it("L88 what a function left behind and fails later is logged and does not take the process down", async () => {
    expectLog("general", "error", /thread[^]*left behind/);
    await pool.submit(() => {
      setTimeout(() => {
        throw new Error("left behind");
      }, 1);
    });
    await settle(() => logRecords().length > 0, 5000);
    expect(await pool.submit(() => "alive")).to.equal("alive");
  });

  it("P48 cancelling the Future does not stop the call, and its late end disturbs nothing", async () => {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const future = pool.submit((f: Int32Array) => Atomics.store(f, 0, 1), flag);
    expect(future.cancel()).to.equal(true);
    await pool.shutdown();
    expect(flag[0]).to.equal(1);
    expect(future.cancelled()).to.equal(true);
  });

  it("L90 shutdown lets what was submitted end, waits for the threads and takes no more work", async () => {
    const calls = Array.from({ length: 5 }, (_, index) => pool.submit((x: number) => x, index));
    const ended = pool.shutdown();
    expect(() => pool.submit(() => 1)).to.throw(Error, "shut down");
    expect(ended.done()).to.equal(false);
    await ended;
    expect(calls.map((call) => call.result())).to.deep.equal([0, 1, 2, 3, 4]);
    // Again, and without waiting: harmless.
    await pool.shutdown();
    expect(pool.shutdown(false).done()).to.equal(true);
  });

  it("L90 shutdown without waiting is done at once, and the threads still end", async () => {
    const call = pool.submit(() => "done");
    expect(pool.shutdown(false).done()).to.equal(true);
    expect(await call).to.equal("done");
    // That nothing is left is what the root hook looks for.
  });

  it("L90 shutdown of a pool that never had a thread is done at once", () => {
    expect(new ThreadPoolExecutor().shutdown().done()).to.equal(true);
  });

  it("L90 no thread or listener is left after five pools", async () => {
    const listeners = process.eventNames().map((name) => [name, process.listenerCount(name)]);
    for (let i = 0; i < 5; i++) {
      const each = new ThreadPoolExecutor({ maxWorkers: 1 });
      // Shut down while the thread is starting.
      void each.submit(() => 1);
      await each.shutdown();
    }
    expect(process.eventNames().map((name) => [name, process.listenerCount(name)])).to.deep.equal(listeners);
    expect(process.getActiveResourcesInfo().filter((type) => type === "MessagePort" || type === "Worker")).to.deep.equal([]);
  });

  it("L88 a pool at rest does not keep the process alive, and one at work does", async () => {
    const child = await runSource(`
      import { ThreadPoolExecutor } from "../src/concurrent/index.js";
      const pool = new ThreadPoolExecutor({ maxWorkers: 2 });
      process.on("exit", () => console.log("exit"));
      await pool.submit(() => 1);
      pool.submit(async () => { await new Promise((r) => setTimeout(r, 300)); return "worked"; }).then(console.log);
    `);
    expect(child).to.include({ code: 0, stdout: "worked\nexit\n", stderr: "" });
    // The idle time after which threads go is ten seconds.
    expect(child.seconds).to.be.below(8);
  });

  it("L88 awaiting shutdown as the last thing of a program works", async () => {
    const child = await runSource(`
      import { ThreadPoolExecutor } from "../src/concurrent/index.js";
      const pool = new ThreadPoolExecutor({ maxWorkers: 1 });
      await pool.submit(() => 1);
      await pool.shutdown();
      console.log("ended");
    `);
    expect(child).to.include({ code: 0, stdout: "ended\n", stderr: "" });
  });

  it("L88 importing does not load the thread pool library", async () => {
    const child = await runSource(`
      import { createRequire } from "node:module";
      import { ThreadPoolExecutor } from "../src/concurrent/index.js";
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes("piscina"));
      const pool = new ThreadPoolExecutor();
      console.log(loaded());
      await pool.submit(() => 1);
      console.log(loaded());
    `);
    expect(child).to.include({ code: 0, stdout: "false\ntrue\n" });
  });
});
