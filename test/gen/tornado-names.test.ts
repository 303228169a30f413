/** Locks, queues and gen under Tornado's names (primitives.md P156). */
import { expect } from "chai";

import * as library from "../../src/index.js";
import * as tornado from "../../src/tornado.js";

describe("ioloop/tornado", () => {
  it("P156 exports the same classes under Tornado's names, which type-check and work", async () => {
    const same = [
      "Lock",
      "Semaphore",
      "BoundedSemaphore",
      "Condition",
      "Event",
      "Queue",
      "PriorityQueue",
      "LifoQueue",
      "WaitIterator",
    ] as const;
    for (const name of same) expect(tornado[name], name).to.equal(library[name]);
    for (const name of ["QueueEmpty", "QueueFull", "BadYieldError", "Return", "TimeoutError"] as const)
      expect(tornado[name]).to.equal(library[name]);

    const q = new tornado.Queue<number>(1);
    q.put_nowait(1);
    expect(q.get_nowait()).to.equal(1);
    q.task_done();
    expect(q.join().done()).to.equal(true);

    const c = new tornado.Condition();
    const woken = c.wait();
    c.notify_all();
    expect(await woken).to.equal(true);

    const event = new tornado.Event();
    event.set();
    expect(event.is_set()).to.equal(true);

    const it = new tornado.WaitIterator<number>(Promise.resolve(5));
    expect(await it.next()).to.equal(5);
    expect(it.current_index).to.equal(0);
    expect(it.current_future).to.be.instanceOf(Promise);

    expect(tornado.with_timeout).to.equal(library.withTimeout);
    expect(tornado.maybe_future).to.equal(library.maybeFuture);
    expect(tornado.convert_yielded).to.equal(library.convertYielded);
    expect(tornado.is_coroutine_function).to.equal(library.isCoroutineFunction);
  });
});
