import { expect } from "chai";
import { TimeoutError } from "../../src/concurrent/index.js";
import { multi, sleep, withTimeout } from "../../src/gen/index.js";
import { IOLoop, PeriodicCallback } from "../../src/ioloop/index.js";
import { IOStream } from "../../src/iostream/index.js";
import { socketpair } from "../../src/platform/index.js";
import { Subprocess } from "../../src/process/index.js";
import { VirtualTimeIOLoop, type VirtualTimeOptions } from "../../src/testing/index.js";

async function rejection(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not reject");
}

describe("VirtualTimeIOLoop", () => {
  const loops: VirtualTimeIOLoop[] = [];

  function makeVirtual(options: VirtualTimeOptions = {}): VirtualTimeIOLoop {
    const loop = new VirtualTimeIOLoop(options);
    loops.push(loop);
    return loop;
  }

  afterEach(() => {
    for (const loop of loops.splice(0)) loop.close();
    IOLoop.clearCurrent();
  });

  it("N107 runs an hour of a periodic callback in no time, at exactly the due times, alike in every run", async () => {
    const runs: string[][] = [];
    const began = performance.now();
    for (let run = 0; run < 2; run++) {
      const loop = makeVirtual();
      const order: string[] = [];
      const times: number[] = [];
      const every = new PeriodicCallback(() => times.push(loop.time()), 1000, { ioLoop: loop });
      every.start();
      // Others at the same times and between them.
      const other = new PeriodicCallback(() => order.push(`other ${loop.time()}`), 1500, { ioLoop: loop });
      other.start();
      loop.callAt(1800, () => order.push(`half ${loop.time()}`));
      await loop.advance(3600);
      every.stop();
      other.stop();
      expect(times).to.deep.equal(Array.from({ length: 3600 }, (_, index) => index + 1));
      expect(loop.time()).to.equal(3600);
      runs.push(order);
    }
    // Well under a second each on an idle machine; an hour it is in no case.
    expect(performance.now() - began).to.be.below(6000);
    expect(runs[0]).to.have.length(2401);
    expect(runs[1]).to.deep.equal(runs[0]);
  });

  it("N107 jumps while it runs freely as well, from the time it was given", async () => {
    const loop = makeVirtual({ startTime: 1_000_000 });
    expect(loop.time()).to.equal(1_000_000);
    const result = await loop.runSync(async () => {
      await multi([sleep(86_400), sleep(5)]);
      return loop.time();
    });
    expect(result).to.equal(1_086_400);
  });

  it("N107 keeps the order of deadlines, callbacks and promise jobs", async () => {
    const loop = makeVirtual();
    const order: string[] = [];
    loop.callAt(2, () => {
      order.push("2");
      loop.addCallback(() => order.push("callback at 2"));
      void Promise.resolve().then(() => {
        order.push("job at 2");
        loop.callLater(0.5, () => order.push("2.5"));
      });
    });
    loop.callAt(3, () => order.push("3"));
    loop.callAt(2, () => order.push("also 2"));
    await loop.advance(10);
    expect(order).to.deep.equal(["2", "also 2", "job at 2", "callback at 2", "2.5", "3"]);
    expect(loop.time()).to.equal(10);
  });

  it("N108 ends advance() exactly so much later, with all that was due in it and followed from it", async () => {
    const loop = makeVirtual();
    const calls: number[] = [];
    const every = new PeriodicCallback(() => calls.push(loop.time()), 1000, { ioLoop: loop });
    every.start();
    await loop.advance(0.5);
    expect(calls).to.deep.equal([]);
    await loop.advance(2.5);
    expect(calls).to.deep.equal([1, 2, 3]);
    expect(loop.time()).to.equal(3);
    every.stop();
    // A chain of no delay, begun at the very end, belongs to it.
    const chain: number[] = [];
    loop.callLater(1, () => loop.addCallback(() => loop.callLater(0, () => chain.push(loop.time()))));
    await loop.advance(1);
    expect(chain).to.deep.equal([4]);
    await loop.advance(0);
    expect(loop.time()).to.equal(4);
  });

  it("N108 serves ready descriptors before the clock moves", async () => {
    const loop = makeVirtual();
    await loop.runSync(async () => {
      const [ours, theirs] = socketpair();
      using stream = new IOStream(ours);
      using peer = new IOStream(theirs);
      const read = withTimeout({ seconds: 10 }, stream.readBytes(200_000));
      // More than fits into the socket at once, so that both take turns.
      await peer.write(Buffer.alloc(200_000));
      expect((await read).length).to.equal(200_000);
      expect(loop.time()).to.equal(0);
    });
  });

  it("N108 advances while a read is outstanding, served or not", async () => {
    const loop = makeVirtual();
    const [ours, theirs] = socketpair();
    const stream = new IOStream(ours);
    let received = "";
    const read = stream.readUntil("\n").then((line) => (received = `${line.toString().trim()} at ${loop.time()}`));
    await loop.advance(5);
    expect(loop.time()).to.equal(5);
    loop.callLater(2, () => theirs.send("line\n"));
    await loop.advance(5);
    await read;
    expect(received).to.equal("line at 7");
    expect(loop.time()).to.equal(10);
    stream.close();
    theirs.close();
  });

  it("N108 waits in real time for what comes from outside when there is no timeout", async () => {
    const loop = makeVirtual();
    const output = await loop.runSync(async () => {
      const child = new Subprocess("sleep 0.05; echo hello", { shell: true, stdout: Subprocess.STREAM });
      const text = (await child.stdout!.readUntilClose()).toString();
      await child.waitForExit();
      return text;
    });
    expect(output).to.equal("hello\n");
    expect(loop.time()).to.equal(0);
  });

  it("N108 wakes from such a wait for callbacks and timeouts of other code", async () => {
    const loop = makeVirtual();
    const order: string[] = [];
    const timer = setTimeout(() => {
      loop.addCallback(() => {
        order.push("callback");
        loop.callLater(100, () => {
          order.push(`timeout at ${loop.time()}`);
          loop.stop();
        });
      });
    }, 20);
    await loop.start();
    clearTimeout(timer);
    expect(order).to.deep.equal(["callback", "timeout at 100"]);
  });

  it("N108 runs until nothing is left", async () => {
    const loop = makeVirtual();
    const [ours, theirs] = socketpair();
    const stream = new IOStream(ours);
    const order: string[] = [];
    // Waits for ever, and is not waited for.
    void stream.readBytes(100, { partial: true }).then((bytes) => order.push(`read ${bytes.toString()}`));
    loop.callLater(30, () => {
      order.push("timeout");
      theirs.send("data");
    });
    await loop.runUntilIdle();
    expect(order).to.deep.equal(["timeout", "read data"]);
    expect(loop.time()).to.equal(30);
    await loop.runUntilIdle();
    expect(loop.time()).to.equal(30);
    stream.close();
    theirs.close();
  });

  it("N108 fails at the limit, naming what is pending", async () => {
    const loop = makeVirtual();
    function heartbeat(): void {
      loop.callLater(60, heartbeat);
    }
    heartbeat();
    loop.callAt(500, function later() {
      throw new Error("not reached");
    });
    const removed = loop.callAt(400, () => undefined);
    loop.removeTimeout(removed);
    const error = await rejection(loop.runUntilIdle({ limit: 100 }));
    expect(error).to.be.instanceOf(TimeoutError);
    expect(error.message).to.equal("The loop was not idle after 100 s of virtual time: still pending heartbeat at 120, later at 500");
    expect(loop.time()).to.equal(100);
    // Idle within the limit is no failure.
    const other = makeVirtual({ makeCurrent: false });
    other.callLater(5, () => undefined);
    await other.runUntilIdle({ limit: 5 });
    expect(other.time()).to.equal(5);
  });

  it("N108 waits inside of a running loop, and refuses what cannot be", async () => {
    const loop = makeVirtual();
    await loop.runSync(async () => {
      await loop.advance(7);
      expect(loop.time()).to.equal(7);
      expect((await rejection(loop.runUntilIdle())).message).to.match(/already running/);
    });
    expect(await rejection(loop.advance(-1))).to.be.instanceOf(RangeError);
    expect(await rejection(loop.advance(Infinity))).to.be.instanceOf(RangeError);
    expect(await rejection(loop.advance(NaN))).to.be.instanceOf(TypeError);
    expect(() => makeVirtual({ starttime: 1 } as object)).to.throw(TypeError);
    expect(await rejection(loop.runUntilIdle({ limits: 1 } as object))).to.be.instanceOf(TypeError);
    loop.callLater(1, loop.stop);
    expect((await rejection(loop.advance(5))).message).to.match(/^The loop was stopped at 8, before its run was over/);
  });
});
