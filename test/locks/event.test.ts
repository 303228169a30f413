/** Event (primitives.md 3.6). */
import { expect } from "chai";

import { TimeoutError } from "../../src/concurrent/index.js";
import { seconds } from "../../src/ioloop/index.js";
import { Event } from "../../src/locks/index.js";
import { useManualLoop } from "../gen/manual-loop.js";
import { nextRound } from "../support/real-timers.js";

describe("Event", () => {
  const fixture = useManualLoop();

  it("P78 is initially clear, and wait() is done at once when it is set", () => {
    const event = new Event();
    expect(event.isSet()).to.equal(false);
    const pending = event.wait();
    expect(pending.done()).to.equal(false);
    event.set();
    expect(event.isSet()).to.equal(true);
    expect(pending.result()).to.equal(true);
    expect(event.wait().result()).to.equal(true);
  });

  it("P79 set() followed by clear() wakes everyone, and clear() drops nobody", () => {
    const event = new Event();
    const [first, second] = [event.wait(), event.wait()];
    event.clear();
    event.set();
    event.clear();
    expect([first.result(), second.result()]).to.deep.equal([true, true]);
    expect(event.wait().done()).to.equal(false);
  });

  it("P80 set() on a set event and clear() on a clear one do nothing", () => {
    const event = new Event();
    event.clear();
    expect(event.isSet()).to.equal(false);
    event.set();
    event.set();
    expect(event.isSet()).to.equal(true);
    expect(String(event)).to.equal("<Event set>");
  });

  it("P81 set() settles all waiters before it returns, in order of arrival", async () => {
    const event = new Event();
    const order: number[] = [];
    const waits = [0, 1, 2, 3].map((i) => {
      const future = event.wait();
      void future.then(() => order.push(i));
      return future;
    });
    event.set();
    expect(waits.every((each) => each.done())).to.equal(true);
    await nextRound();
    expect(order).to.deep.equal([0, 1, 2, 3]);
  });

  it("P82 a deadline fails the wait, or resolves false on request, and the event goes on", async () => {
    const event = new Event();
    const throwing = event.wait(seconds(0.01));
    const quiet = event.wait(seconds(0.01), { onTimeout: "false" });
    const explicit = event.wait({ timeout: seconds(0.01), onTimeout: "throw" });
    await fixture.manual.advance(0.02);
    expect(throwing.exception()).to.be.instanceOf(TimeoutError);
    expect(quiet.result()).to.equal(false);
    expect(explicit.exception()).to.be.instanceOf(TimeoutError);
    expect(String(event)).to.equal("<Event clear>");
    const next = event.wait(seconds(1));
    event.set();
    expect(next.result()).to.equal(true);
  });

  it("P83 String() contains set or clear, never both", () => {
    const event = new Event();
    expect(String(event)).to.contain("clear").and.not.contain("set");
    void event.wait();
    expect(String(event)).to.contain("clear").and.not.contain("set");
    event.set();
    expect(String(event)).to.contain("set").and.not.contain("clear");
  });
});
