import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "chai";
import { CancelledError, Future } from "../../src/concurrent/index.js";
import { pipe, socketpair } from "../../src/platform/index.js";
import { ensureFuture, EventLoop, getEventLoop, openConnection, startServer } from "../../src/asyncio/index.js";
import { makeVirtualLoop } from "../ioloop/virtual-time.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { failureOf, onLoop, portOf, rounds, until } from "./support.js";

describe("EventLoop", () => {
  it("A73 getEventLoop gives the same face of the current loop", () => {
    const loop = makeLoop();
    const face = getEventLoop();
    expect(face).to.be.instanceOf(EventLoop);
    expect(getEventLoop()).to.equal(face);
    expect(face._ioLoop).to.equal(loop);
    expect(String(face)).to.equal("<EventLoop stopped>");
    const other = makeLoop();
    other.makeCurrent();
    expect(getEventLoop()).not.to.equal(face);
  });

  it(
    "A73 callSoon runs in order, on the next iteration, with its arguments; cancel() prevents it",
    onLoop(async (loop) => {
      const face = getEventLoop();
      const calls: unknown[] = [];
      face.callSoon((...args: unknown[]) => calls.push(args), 1, 2);
      const cancelled = face.callSoon(() => calls.push("cancelled"));
      face.callSoonThreadsafe(() => calls.push("last"));
      cancelled.cancel();
      expect(cancelled.cancelled()).to.equal(true);
      expect(calls).to.deep.equal([]);
      await rounds(loop, 1);
      expect(calls).to.deep.equal([[1, 2], "last"]);
      expect(() => face.callSoon(5 as never)).to.throw(TypeError);
    }),
  );

  it("A73 callLater and callAt at their time, and cancel() takes the timeout away", async () => {
    const { loop, clock } = makeVirtualLoop();
    const face = getEventLoop();
    const calls: [string, number][] = [];
    const start = face.time();
    expect(start).to.equal(clock.now);
    face.callLater(2, (name: string) => calls.push([name, face.time() - start]), "later");
    face.callAt(start + 1, () => calls.push(["at", face.time() - start]));
    const cancelled = face.callLater(1, () => calls.push(["cancelled", 0]));
    cancelled.cancel();
    cancelled.cancel();
    face.callLater(3, () => face.stop());
    await face.runForever();
    expect(calls).to.deep.equal([
      ["at", 1],
      ["later", 2],
    ]);
    expect(loop.statistics().timeouts).to.equal(0);
    expect(() => face.callLater(NaN, () => undefined)).to.throw(TypeError);
  });

  it("A73 runUntilComplete gives the result and stops the loop, or rejects with the failure", async () => {
    makeLoop();
    const face = getEventLoop();
    expect(await face.runUntilComplete(Promise.resolve(5))).to.equal(5);
    expect(await face.runUntilComplete(async () => "called")).to.equal("called");
    const future = face.createFuture<number>();
    face.callSoon(() => future.setResult(7));
    expect(await face.runUntilComplete(future)).to.equal(7);
    expect(face.isRunning()).to.equal(false);
    const error = new Error("broken");
    expect(await failureOf(face.runUntilComplete(Promise.reject(error)))).to.equal(error);
    const cancelled = face.createFuture();
    face.callSoon(() => cancelled.cancel());
    expect(await failureOf(face.runUntilComplete(cancelled))).to.be.instanceOf(CancelledError);
  });

  it("A73 stopped before it is complete is an Error", async () => {
    makeLoop();
    const face = getEventLoop();
    face.callSoon(() => face.stop());
    expect(await failureOf(face.runUntilComplete(new Future()))).to.be.an("error");
  });

  it("A73 runForever runs until stop(); a second run meanwhile is an Error", async () => {
    makeLoop();
    const face = getEventLoop();
    const running = face.runForever();
    expect(face.isRunning()).to.equal(true);
    expect(String(face)).to.equal("<EventLoop running>");
    expect((await failureOf(face.runForever())).message).to.include("running");
    expect((await failureOf(face.runUntilComplete(Promise.resolve()))).message).to.include("running");
    expect(() => face.close()).to.throw(Error, "running");
    face.stop();
    await running;
  });

  it("A73 a closed loop runs nothing", async () => {
    makeLoop();
    const face = getEventLoop();
    face.close();
    face.close();
    expect(face.isClosed()).to.equal(true);
    expect((await failureOf(face.runForever())).message).to.include("closed");
    // The failure of what will not be waited for is nobody's.
    expect((await failureOf(face.runUntilComplete(Promise.reject(new Error("unseen"))))).message).to.include("closed");
    expect(() => face.callSoon(() => undefined)).to.throw(Error, "closed");
    expect(() => face.callLater(1, () => undefined)).to.throw(Error, "closed");
  });

  it(
    "A73 ensureFuture and createTask: a Future as it is, an awaitable followed, a function called at once",
    onLoop(async (loop) => {
      const face = getEventLoop();
      const future = new Future<number>();
      expect(ensureFuture(future)).to.equal(future);
      expect(face.createTask(future)).to.equal(future);
      future.setResult(1);
      expect(await ensureFuture(Promise.resolve(2))).to.equal(2);
      let called = false;
      const task = face.createTask(async () => {
        called = true;
        return 3;
      });
      expect(called).to.equal(true);
      expect(task).to.be.instanceOf(Future);
      expect(await task).to.equal(3);
      const error = new Error("broken");
      expect(await failureOf(ensureFuture(Promise.reject(error), { loop }))).to.equal(error);
      const thrown = ensureFuture(() => {
        throw error;
      });
      expect(await failureOf(thrown)).to.equal(error);
      expect(() => ensureFuture(5 as never)).to.throw(TypeError);
      expect(() => ensureFuture(future, { lop: 1 } as never)).to.throw(TypeError);
    }),
  );

  describe("descriptors", () => {
    it(
      "A74 reader and writer share one handler; removing one keeps the other",
      onLoop(async (loop) => {
        const face = getEventLoop();
        const [one, other] = socketpair();
        const before = loop.statistics().handlers;
        const calls: string[] = [];
        face.addReader(one, (name: string) => calls.push(name), "read");
        face.addWriter(one.fileno(), () => calls.push("write"));
        expect(loop.statistics().handlers).to.equal(before + 1);
        await until(loop, () => calls.includes("write"));
        expect(calls).not.to.include("read");
        expect(face.removeWriter(one)).to.equal(true);
        expect(face.removeWriter(one)).to.equal(false);
        calls.length = 0;
        other.send("x");
        await until(loop, () => calls.length > 0);
        expect(new Set(calls)).to.deep.equal(new Set(["read"]));
        expect(face.removeReader(one.fileno())).to.equal(true);
        expect(loop.statistics().handlers).to.equal(before);
        expect(face.removeReader(one)).to.equal(false);
        expect(face.removeReader(99999)).to.equal(false);
        one.close();
        other.close();
      }),
    );

    it(
      "A74 a second addReader replaces the first; a hang-up tells both",
      onLoop(async (loop) => {
        const face = getEventLoop();
        const [one, other] = socketpair();
        const calls: string[] = [];
        face.addReader(one, () => calls.push("first"));
        face.addReader(one, () => {
          calls.push("second");
          one.recv(10);
        });
        other.send("x");
        await until(loop, () => calls.length > 0);
        expect(calls).to.deep.equal(["second"]);
        face.removeReader(one);
        const [read, write] = pipe();
        const told: string[] = [];
        face.addWriter(write, () => told.push("write"));
        await until(loop, () => told.length > 0);
        face.removeWriter(write);
        face.addReader(read, () => told.push("hang-up"));
        const { closeDescriptor } = await import("../../src/platform/index.js");
        closeDescriptor(write);
        await until(loop, () => told.includes("hang-up"));
        face.removeReader(read);
        closeDescriptor(read);
        one.close();
        other.close();
      }),
    );

    it(
      "A74 each callback has the context of its own call, and one that throws does not hurt the other",
      onLoop(async (loop) => {
        expectLog("application", "error", /Exception in callback[^]*broken/, "any");
        const face = getEventLoop();
        const storage = new AsyncLocalStorage<string>();
        const [one, other] = socketpair();
        const calls: unknown[] = [];
        storage.run("reader", () =>
          face.addReader(one, () => {
            calls.push(storage.getStore());
            face.removeReader(one);
            throw new Error("broken");
          }),
        );
        storage.run("writer", () =>
          face.addWriter(one, () => {
            calls.push(storage.getStore());
            face.removeWriter(one);
          }),
        );
        other.send("x");
        await until(loop, () => calls.length === 2);
        expect(new Set(calls)).to.deep.equal(new Set(["reader", "writer"]));
        storage.disable();
        one.close();
        other.close();
      }),
    );

    it(
      "A74 wrong arguments throw and register nothing",
      onLoop(async (loop) => {
        const face = getEventLoop();
        const before = loop.statistics().handlers;
        expect(() => face.addReader(1.5, () => undefined)).to.throw(RangeError);
        expect(() => face.addReader(99999, () => undefined)).to.throw(Error, /EBADF/);
        expect(() => face.addReader(1, 5 as never)).to.throw(TypeError);
        expect(loop.statistics().handlers).to.equal(before);
      }),
    );
  });

  describe("failures", () => {
    it(
      "A75 callExceptionHandler logs, or calls what was set",
      onLoop(async () => {
        const face = getEventLoop();
        expectLog("application", "error", /^It happened[^]*broken/);
        face.callExceptionHandler({ message: "It happened", exception: new Error("broken") });
        expectLog("application", "error", /^By default$/);
        const contexts: unknown[] = [];
        face.setExceptionHandler((loop, context) => {
          expect(loop).to.equal(face);
          contexts.push(context.message);
        });
        face.callExceptionHandler({ message: "handled" });
        expect(contexts).to.deep.equal(["handled"]);
        face.defaultExceptionHandler({ message: "By default" });
        face.setExceptionHandler(undefined);
        expectLog("application", "error", /^again$/);
        face.callExceptionHandler({ message: "again" });
        expect(() => face.setExceptionHandler(5 as never)).to.throw(TypeError);
        expect(() => face.callExceptionHandler({} as never)).to.throw(TypeError);
      }),
    );

    it(
      "A75 a handler that throws is logged, and so is what it was told",
      onLoop(async () => {
        const face = getEventLoop();
        expectLog("application", "error", /exception handler of an EventLoop failed/);
        expectLog("application", "error", /^lost otherwise$/);
        face.setExceptionHandler(() => {
          throw new Error("broken");
        });
        face.callExceptionHandler({ message: "lost otherwise" });
        face.setExceptionHandler(undefined);
      }),
    );

    it(
      "A62 A75 the handler hears of a failing client callback",
      onLoop(async () => {
        const face = getEventLoop();
        const heard: unknown[] = [];
        face.setExceptionHandler((_, context) => heard.push(context.message, (context.exception as Error).message));
        const server = await startServer(
          () => {
            throw new Error("broken");
          },
          "127.0.0.1",
          0,
        );
        const [reader, writer] = await openConnection("127.0.0.1", portOf(server), { loop: face });
        await reader.read();
        expect(heard).to.deep.equal(["Unhandled exception in client_connected_cb", "broken"]);
        writer.close();
        server.close();
        await server.waitClosed();
        face.setExceptionHandler(undefined);
      }),
    );
  });
});
