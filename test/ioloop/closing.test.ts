/** Closing a loop (L91-L96). */
import { expect } from "chai";
import sinon from "sinon";
import { DummyExecutor, Future } from "../../src/concurrent/index.js";
import { IOLoop, type Selectable } from "../../src/ioloop/index.js";
import { ffiCallbacks, isOpen, systemError } from "../../src/platform/index.js";
import { eachCombination } from "../support/combinations.js";
import { openDescriptors } from "../support/descriptors.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { nextRound, settle } from "../support/real-timers.js";
import { Files, makeFakeLoop, Owner } from "./driving.js";
import { untilWaiting } from "./waiting.js";

describe("IOLoop: close", () => {
  const files = new Files();

  afterEach(() => files.close());

  eachCombination((_name, makeLoop) => {
    for (const ran of [false, true]) {
      it(`L91 frees what a loop owns that ${ran ? "has run" : "was never started"}`, async () => {
        const before = [...openDescriptors()];
        const watches = ffiCallbacks();
        const loop = makeLoop();
        if (ran) {
          loop.addCallback(loop.stop);
          await loop.start();
        }
        expect(openDescriptors().size).to.be.greaterThan(before.length);
        loop.close();
        expect([...openDescriptors()]).to.deep.equal(before);
        expect(await settle(() => ffiCallbacks() === watches)).to.equal(true);
      });
    }

    it("L92 closes no registered descriptor by itself", () => {
      const loop = makeLoop();
      const [reader, writer] = files.pipe();
      const owner = new Owner(writer);
      loop.addHandler(reader, () => undefined, IOLoop.READ);
      loop.addHandler(owner, () => undefined, IOLoop.WRITE);
      loop.close();
      expect([isOpen(reader), isOpen(writer), owner.closed]).to.deep.equal([true, true, 0]);
    });

    for (const options of [true, { allFds: true }] as const) {
      it(`L92 close(${JSON.stringify(options)}) closes every number and calls every object's close() once`, () => {
        const loop = makeLoop();
        const [reader, writer] = files.pipe();
        const copy = files.dup(reader);
        const owner = new Owner(writer);
        loop.addHandler(copy, () => undefined, IOLoop.READ);
        loop.addHandler(owner, () => undefined, IOLoop.WRITE);
        loop.close(options);
        const open = isOpen(copy);
        if (!open) files.forget(copy);
        expect(open).to.equal(false);
        expect(owner.closed).to.equal(1);
        loop.close(options);
        expect(owner.closed).to.equal(1);
      });
    }

    it("L95 on a running loop throws and closes nothing", async () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      const handler = sinon.spy(() => loop.removeHandler(reader));
      const run = loop.start();
      expect(() => loop.close(true)).to.throw(Error, /running/);
      await untilWaiting(loop);
      expect(() => loop.close(true)).to.throw(Error, /running/);
      loop.addCallback(() => {
        expect(() => loop.close(true)).to.throw(Error, /running/);
        loop.stop();
        // Asked to stop, but not yet through.
        expect(() => loop.close(true)).to.throw(Error, /running/);
      });
      await run;
      loop.addHandler(reader, handler, IOLoop.READ);
      const again = loop.start();
      loop.callLater(0.01, loop.stop);
      await again;
      expect(handler.callCount).to.equal(1);
      expect(isOpen(reader)).to.equal(true);
      loop.close();
    });

    it("L95 after stop() from outside throws until start() has resolved", async () => {
      const loop = makeLoop();
      const run = loop.start();
      await untilWaiting(loop);
      loop.stop();
      expect(() => loop.close()).to.throw(Error, /running/);
      await run;
      loop.close();
      expect(loop.statistics().closed).to.equal(true);
    });
  });

  it("L92 closes an object without close() by its number", () => {
    const { loop } = makeFakeLoop();
    const [reader] = files.pipe();
    loop.addHandler({ fileno: () => reader }, () => undefined, IOLoop.READ);
    loop.close(true);
    const open = isOpen(reader);
    if (!open) files.forget(reader);
    expect(open).to.equal(false);
  });

  it("L92 ignores system errors, logs any other error, and closes the rest all the same", () => {
    const { loop } = makeFakeLoop();
    const [reader, writer] = files.pipe();
    const gone = files.dup(reader);
    const failing = (fd: number, error: Error): Selectable => ({
      fileno: () => fd,
      close() {
        throw error;
      },
    });
    const owner = new Owner(writer);
    loop.addHandler(gone, () => undefined, IOLoop.READ);
    loop.addHandler(failing(1001, systemError(5, "close")), () => undefined, IOLoop.READ);
    loop.addHandler(failing(1002, new Error("not from the system")), () => undefined, IOLoop.READ);
    loop.addHandler(owner, () => undefined, IOLoop.WRITE);
    files.drop(gone);
    expectLog("application", "error", /not from the system/);
    loop.close(true);
    expect(owner.closed).to.equal(1);
    expect(logRecords().filter((each) => each.level === "error")).to.have.length(1);
  });

  it("L93 drops pending callbacks and timeouts", async () => {
    const { loop } = makeFakeLoop();
    const ran = sinon.spy();
    loop.addCallback(ran);
    loop.spawnCallback(ran);
    loop.callAt(0, ran);
    loop.close();
    await nextRound();
    await nextRound();
    expect(ran.callCount).to.equal(0);
    expect(loop.statistics()).to.include({ callbacks: 0, timeouts: 0, handlers: 0 });
  });

  it("L94 on a closed loop the addCallback family, stop, the remove methods and close do nothing", async () => {
    const { loop, fake } = makeFakeLoop();
    const closePoller = sinon.spy(fake, "close");
    const ran = sinon.spy();
    const timeout = loop.callAt(1010, ran);
    const owner = new Owner(1001);
    loop.addHandler(owner, ran, IOLoop.READ);
    loop.close();
    loop.addCallback(ran);
    loop.addCallbackFromSignal(ran);
    loop.spawnCallback(ran);
    loop.stop();
    loop.removeTimeout(timeout);
    loop.removeHandler(owner);
    loop.removeHandler(7);
    loop.close();
    loop.close(true);
    loop[Symbol.dispose]();
    const done = new Future<number>();
    done.setResult(1);
    loop.addFuture(done, ran);
    await nextRound();
    expect(ran.callCount).to.equal(0);
    expect(owner.closed).to.equal(0);
    expect(closePoller.callCount).to.equal(1);
  });

  it("L94 on a closed loop start, the timeout methods, addHandler, updateHandler and runInExecutor throw, runSync rejects", async () => {
    const { loop } = makeFakeLoop();
    const submit = sinon.spy(DummyExecutor.prototype, "submit");
    const [reader] = files.pipe();
    const callback = (): undefined => undefined;
    loop.close();
    for (const [method, call] of [
      ["start", () => loop.start()],
      ["callAt", () => loop.callAt(0, callback)],
      ["callLater|callAt", () => loop.callLater(0, callback)],
      ["addTimeout|callAt", () => loop.addTimeout({ seconds: 1 }, callback)],
      ["addHandler", () => loop.addHandler(reader, callback, IOLoop.READ)],
      ["updateHandler", () => loop.updateHandler(reader, IOLoop.READ)],
      ["runInExecutor", () => loop.runInExecutor(new DummyExecutor(), callback)],
      ["createWakeHandle", () => loop.createWakeHandle(callback)],
      ["runIteration", () => loop.runIteration()],
      ["makeCurrent", () => loop.makeCurrent()],
      ["install", () => loop.install()],
    ] as const) {
      expect(call, method).to.throw(Error, new RegExp(`(${method})\\(\\) on a closed IOLoop`));
    }
    const [outcome] = await Promise.allSettled([loop.runSync(callback)]);
    expect(outcome)
      .to.have.nested.property("reason.message")
      .that.matches(/closed/);
    expect(submit.callCount).to.equal(0);
  });

  it("L95 in an iteration run by hand throws, too", () => {
    const { loop, fake } = makeFakeLoop();
    const refused = sinon.spy((call: () => void) => expect(call).to.throw(Error, /running/));
    loop.addCallback(refused, () => loop.close());
    loop.addCallback(refused, () => loop.runIteration());
    loop.runIteration();
    expect(refused.callCount).to.equal(2);
    expect(refused.exceptions).to.deep.equal([undefined, undefined]);
    expect(fake.closed).to.equal(false);
    loop.close();
    expect(fake.closed).to.equal(true);
  });

  it("L96 clears the mark and the singleton if they are this loop", () => {
    const { loop } = makeFakeLoop();
    loop.install();
    loop.makeCurrent();
    expect(IOLoop.current(false)).to.equal(loop);
    loop.close();
    expect(IOLoop.current(false)).to.equal(undefined);
    expect(IOLoop.initialized()).to.equal(false);
    const fresh = IOLoop.instance();
    expect(fresh).to.not.equal(loop);
    expect(IOLoop.current()).to.equal(fresh);
    fresh.close();
  });

  it("L96 leaves them alone if they are another", () => {
    const { loop } = makeFakeLoop();
    const { loop: other } = makeFakeLoop();
    loop.install();
    loop.makeCurrent();
    other.close();
    expect(IOLoop.current(false)).to.equal(loop);
    expect(IOLoop.instance()).to.equal(loop);
    loop.close();
  });
});
