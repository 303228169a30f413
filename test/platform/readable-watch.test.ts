import { closeSync, openSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "chai";
import {
  closeDescriptor,
  ffiCallbacks,
  pipe,
  readDescriptor,
  type ReadableWatch,
  watchReadable,
  writeDescriptor,
} from "../../src/platform/index.js";
import { runSource, typescriptLoader } from "../support/child.js";
import { expectError, expectSystemError } from "./expectations.js";

const X = Buffer.from("x");

/** Turns of Node's loop until `done`, at most 200; each polls the descriptors that are watched. */
async function turns(done: () => boolean): Promise<boolean> {
  for (let i = 0; i < 200 && !done(); i++) await nextTurn();
  return done();
}

for (const kind of ["koffi", "raw"] as const) {
  describe(`A watch of a readable descriptor (${kind})`, () => {
    let read = -1;
    let write = -1;
    let watch: ReadableWatch | undefined;
    let calls = 0;
    const drain = (): void => {
      calls++;
      readDescriptor(read, Buffer.alloc(100));
    };

    beforeEach(() => {
      [read, write] = pipe();
      calls = 0;
    });
    afterEach(async () => {
      watch?.close();
      watch = undefined;
      for (const fd of [read, write]) if (fd >= 0) closeDescriptor(fd);
      await turns(() => ffiCallbacks() === 0);
    });

    it("is stopped at first, and calls back once it is started and readable", async () => {
      watch = watchReadable(read, drain, kind);
      expect(watch.kind).to.equal(kind);
      writeDescriptor(write, X);
      await turns(() => calls > 0);
      expect(calls).to.equal(0);
      watch.start();
      expect(await turns(() => calls > 0)).to.equal(true);
      expect(calls).to.equal(1);
      writeDescriptor(write, X);
      expect(await turns(() => calls > 1)).to.equal(true);
    });

    it("calls back in every round while the descriptor stays readable", async () => {
      watch = watchReadable(read, () => calls++, kind);
      watch.start();
      writeDescriptor(write, X);
      expect(await turns(() => calls > 5)).to.equal(true);
      drain();
      calls = 0;
      await turns(() => calls > 0);
      expect(calls).to.equal(0);
    });

    it("is silent after stop and goes on after start, each as often as one likes", async () => {
      watch = watchReadable(read, drain, kind);
      watch.start();
      watch.start();
      watch.stop();
      watch.stop();
      writeDescriptor(write, X);
      await turns(() => calls > 0);
      expect(calls).to.equal(0);
      watch.start();
      expect(await turns(() => calls > 0)).to.equal(true);
    });

    it("every method is harmless after close, and close is idempotent", async () => {
      watch = watchReadable(read, drain, kind);
      watch.start();
      writeDescriptor(write, X);
      watch.close();
      for (const method of ["close", "stop", "start", "ref", "unref", "stop", "close"] as const) watch[method]();
      await turns(() => calls > 0);
      expect(calls).to.equal(0);
      expect(ffiCallbacks()).to.equal(0);
    });

    it("may be closed in its own callback, and the descriptor with it", async () => {
      watch = watchReadable(
        read,
        () => {
          drain();
          watch?.close();
          closeDescriptor(read);
          read = -1;
        },
        kind,
      );
      watch.start();
      writeDescriptor(write, X);
      expect(await turns(() => calls > 0)).to.equal(true);
      expect(await turns(() => ffiCallbacks() === 0)).to.equal(true);
      expect(calls).to.equal(1);
    });

    it("its descriptor can be watched again after close", async () => {
      watchReadable(read, drain, kind).close();
      watch = watchReadable(read, drain, kind);
      watch.start();
      writeDescriptor(write, X);
      expect(await turns(() => calls > 0)).to.equal(true);
    });

    it("is refused for what cannot be watched, and leaves nothing behind", () => {
      watch = watchReadable(read, drain, kind);
      expectSystemError(() => watchReadable(read, drain, kind), { code: "EEXIST" });
      expectSystemError(() => watchReadable(99_999, drain, kind), { code: "EBADF" });
      const file = openSync("/dev/null", "r");
      expectSystemError(() => watchReadable(file, drain, kind), { code: "EPERM" });
      closeSync(file);
      expectError(() => watchReadable(-1, drain, kind), RangeError);
      expectError(() => watchReadable("0" as never, drain, kind), TypeError);
    });

    it("keeps the process alive while it is started, unless unref was called", async function () {
      this.timeout(30_000);
      const program = (after: string, milliseconds: number): string => `
        import { pipe, watchReadable, writeDescriptor } from "../src/platform/index.js";
        const [read, write] = pipe();
        const watch = watchReadable(read, () => { console.log("ready"); watch.close(); }, ${JSON.stringify(kind)});
        ${after}
        setTimeout(() => writeDescriptor(write, Buffer.from("x")), ${milliseconds}).unref();
      `;
      const [started, unreffed, stopped, reffed, fresh] = await Promise.all([
        // Node runs its unreferenced timer as long as something else keeps the loop alive. Ten minutes later means never, on a busy machine too.
        runSource(program("watch.start();", 50)),
        runSource(program("watch.start(); watch.unref();", 600_000)),
        runSource(program("watch.start(); watch.stop();", 600_000)),
        runSource(program("watch.unref(); watch.start(); watch.ref();", 50)),
        runSource(program("", 600_000)),
      ]);
      expect([started, unreffed, stopped, reffed, fresh].map((each) => [each.stdout.trim(), each.code])).to.deep.equal([
        ["ready", 0],
        ["", 0],
        ["", 0],
        ["ready", 0],
        ["", 0],
      ]);
    });

    it("opened and closed a thousand times it leaves nothing", async () => {
      for (let i = 0; i < 1000; i++) {
        const each = watchReadable(read, drain, kind);
        each.start();
        each.close();
        if (i % 50 === 0) await nextTurn();
      }
      expect(await turns(() => ffiCallbacks() === 0)).to.equal(true);
    });
  });
}

describe("The choice of the poll handle", () => {
  const program = `
    import { pipe, watchReadable } from "../src/platform/index.js";
    const watch = watchReadable(pipe()[0], () => undefined);
    console.log(watch.kind);
    watch.close();
  `;
  const choice = async (value: string | undefined): Promise<string> => {
    const { stdout, stderr } = await runSource(program, { env: { IOLOOP_POLL_HANDLE: value } });
    return stdout.trim() || (/RangeError: .*/.exec(stderr)?.[0] ?? stderr);
  };

  it("is libuv's own by default, and what IOLOOP_POLL_HANDLE says", async function () {
    this.timeout(30_000);
    const chosen = await Promise.all([choice(undefined), choice("koffi"), choice("raw"), choice("uv")]);
    expect(chosen.slice(0, 3)).to.deep.equal(["raw", "koffi", "raw"]);
    expect(chosen[3]).to.match(/RangeError: .*"uv".*koffi or raw/);
  });

  it("a worker has koffi's, on its own loop, and no raw one", async function () {
    this.timeout(30_000);
    const { stdout, stderr, code } = await runSource(`
      import { isMainThread, Worker } from "node:worker_threads";
      import { closeDescriptor, pipe, watchReadable, writeDescriptor } from "../src/platform/index.js";
      if (isMainThread) {
        // A worker of Node 20 does not take the loader of TypeScript over from its parent.
        const start = 'import(${JSON.stringify(typescriptLoader)}).then(() => import(' + JSON.stringify(import.meta.url) + '))';
        new Worker(start, { eval: true, execArgv: [] }).on("exit", (status) => console.log("exit", status));
      } else {
        const [read, write] = pipe();
        try {
          watchReadable(read, () => undefined, "raw");
        } catch (error) {
          console.log(/main thread only/.exec(String(error))?.[0] ?? error);
        }
        const watch = watchReadable(read, () => { console.log("ready"); watch.close(); closeDescriptor(read); closeDescriptor(write); }, "koffi");
        watch.start();
        writeDescriptor(write, Buffer.from("x"));
      }
    `);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    expect(stdout.trim().split("\n")).to.deep.equal(["main thread only", "ready", "exit 0"]);
  });
});
