/** That the loop and the rest of Node leave each other their turns (H4-H9 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { Future } from "../../src/concurrent/index.js";
import { IOLoop } from "../../src/ioloop/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop as makeAnyLoop } from "../support/loop.js";
import { nextRound, realDelay, realMilliseconds, settle } from "../support/real-timers.js";
import { AsyncPoller } from "./async-poller.js";
import { drain, Files, put } from "./driving.js";
import { AT_ONCE, deferred, duringWait, millisecondsUntil, nodeRound, quickest, untilWaiting } from "./waiting.js";

/** A callback that adds itself again for as long as the loop runs. */
function keepBusy(loop: PollIOLoop): { runs: number; stop: () => void } {
  const busy = { runs: 0, stop: () => void (going = false) };
  let going = true;
  const again = (): void => {
    busy.runs++;
    if (going) loop.addCallback(again);
  };
  loop.addCallback(again);
  return busy;
}

/** Keeps a setImmediate armed, as a program does that never rests. */
function neverRest(): { rounds: number; stop: () => void } {
  let going = true;
  const unrest = { rounds: 0, stop: () => void (going = false) };
  const again = (): void => {
    unrest.rounds++;
    if (going) setImmediate(again);
  };
  again();
  return unrest;
}

function fairness(makeLoop: () => PollIOLoop): void {
  let files: Files;

  beforeEach(() => {
    files = new Files();
  });

  afterEach(() => {
    files.close();
  });

  it("H4 lets Node's timers, network and files go on while a callback adds itself again for ever", async () => {
    const loop = makeLoop();
    const run = loop.start();
    const busy = keepBusy(loop);
    const server = createServer((socket) => {
      socket.end("answer");
    }).listen(0, "127.0.0.1");
    const listening = once(server, "listening");
    try {
      expect(await quickest(AT_ONCE, () => millisecondsUntil(realDelay(10))), "a timer of 10 ms").to.be.below(AT_ONCE);
      expect(await readFile(new URL(import.meta.url), "utf8")).to.contain("lets Node's timers");
      await listening;
      const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
      const chunks: Buffer[] = [];
      client.on("data", (chunk: Buffer) => chunks.push(chunk));
      await once(client, "close");
      expect(Buffer.concat(chunks).toString()).to.equal("answer");
      const { runs } = busy;
      expect(await settle(() => busy.runs > runs), "the callback still runs").to.equal(true);
    } finally {
      busy.stop();
      const closed = once(server, "close");
      server.close();
      loop.stop();
      await run;
      await closed;
      loop.close();
    }
  });

  it("H4 lets Node make a full round between two dispatches, and between two runs of callbacks and timeouts", async () => {
    const loop = makeLoop();
    const [reader] = files.fullPipe();
    const dispatches: number[] = [];
    const runs: number[] = [];
    let iteration = -1;
    const ran = (): void => {
      const { iterations } = loop.statistics();
      if (iterations !== iteration) runs.push(nodeRound());
      iteration = iterations;
    };
    const again = (): void => {
      ran();
      loop.addCallback(again);
    };
    const later = (): void => {
      ran();
      loop.callLater(0, later);
    };
    loop.addCallback(again);
    loop.callLater(0, later);
    loop.addHandler(
      reader,
      () => {
        dispatches.push(nodeRound());
        if (dispatches.length < 30) return;
        loop.removeHandler(reader);
        loop.stop();
      },
      IOLoop.READ,
    );
    await loop.start();
    loop.close();
    expect(dispatches.length).to.equal(30);
    expect(new Set(dispatches).size, "each dispatch in a round of its own").to.equal(dispatches.length);
    expect(runs.length).to.be.at.least(30);
    expect(new Set(runs).size, "each run in a round of its own").to.equal(runs.length);
  });

  it("H4 lets Node make a full round between two dispatches when nothing else is to be done", async () => {
    const loop = makeLoop();
    const [reader] = files.fullPipe();
    const dispatches: number[] = [];
    // A timeout that comes due at some point between two readings of the clock must not bring a second dispatch into the turn.
    let clock = 1000;
    loop.timeFunc = () => (clock += 0.0004);
    const again = (): void => {
      loop.callLater(0.001, again);
    };
    again();
    loop.addHandler(
      reader,
      () => {
        dispatches.push(nodeRound());
        if (dispatches.length < 50) return;
        loop.removeHandler(reader);
        loop.stop();
      },
      IOLoop.READ,
    );
    await loop.start();
    loop.close();
    expect(new Set(dispatches).size).to.equal(50);
  });

  it("H5 gets its turns while a setImmediate is armed again for ever", async () => {
    const loop = makeLoop();
    const [reader, writer] = files.pipe();
    await duringWait(loop, async () => {
      const unrest = neverRest();
      try {
        let handled = deferred();
        loop.addHandler(
          reader,
          () => {
            drain(reader);
            handled.resolve();
          },
          IOLoop.READ,
        );
        const handling = async (): Promise<number> => {
          handled = deferred();
          await nextRound();
          put(writer);
          return millisecondsUntil(handled.promise);
        };
        expect(await quickest(AT_ONCE, handling), "handler").to.be.below(AT_ONCE);
        const called = deferred();
        const before = nodeRound();
        loop.addCallback(called.resolve);
        await called.promise;
        expect(nodeRound() - before, "rounds until a callback").to.be.at.most(3);
        const timeout = (): Promise<number> => {
          const due = deferred();
          loop.callLater(0.005, due.resolve);
          return millisecondsUntil(due.promise);
        };
        expect(await quickest(AT_ONCE, timeout), "timeout of 5 ms").to.be.below(AT_ONCE);
        expect(unrest.rounds).to.be.above(10);
      } finally {
        unrest.stop();
        loop.removeHandler(reader);
      }
    });
  });

  describe("H6 during a wait of an hour", () => {
    /** What a call from outside makes the loop do at once; `effect` resolves when it has. */
    const outside: Record<string, (loop: PollIOLoop, effect: () => void) => (() => void) | undefined> = {
      addCallback: (loop, effect) => void loop.addCallback(effect),
      addCallbackFromSignal: (loop, effect) => void loop.addCallbackFromSignal(effect),
      spawnCallback: (loop, effect) => void loop.spawnCallback(effect),
      callAt: (loop, effect) => void loop.callAt(loop.time() + 0.001, effect),
      callLater: (loop, effect) => void loop.callLater(0.001, effect),
      addTimeout: (loop, effect) => void loop.addTimeout({ milliseconds: 1 }, effect),
      "callAt with a time in the past": (loop, effect) => void loop.callAt(0, effect),
      addHandler: (loop, effect) => {
        const [reader] = files.fullPipe();
        loop.addHandler(reader, effect, IOLoop.READ);
        return () => loop.removeHandler(reader);
      },
      "addFuture of a done Future": (loop, effect) => {
        const future = new Future<number>();
        future.setResult(1);
        loop.addFuture(future, effect);
        return undefined;
      },
    };

    for (const [name, call] of Object.entries(outside)) {
      it(`H6 ${name} takes effect at once, and nothing that is not due runs`, async () => {
        const loop = makeLoop();
        let early = false;
        const far = loop.callLater(3600, () => (early = true));
        await duringWait(loop, async () => {
          const attempt = async (): Promise<number> => {
            await untilWaiting(loop);
            await realDelay(5);
            const { promise, resolve } = deferred();
            const took = millisecondsUntil(promise);
            const undo: (() => void) | undefined = call(loop, () => {
              undo?.();
              resolve();
            });
            return took;
          };
          expect(await quickest(AT_ONCE, attempt)).to.be.below(AT_ONCE);
        });
        expect(early).to.equal(false);
        loop.removeTimeout(far);
        loop.close();
      });
    }

    it("H6 updateHandler takes effect at once, also in one turn with others before it", async () => {
      const loop = makeLoop();
      const [reader] = files.fullPipe();
      let ran = deferred();
      let runs = 0;
      loop.addHandler(
        reader,
        () => {
          loop.updateHandler(reader, IOLoop.NONE);
          runs++;
          ran.resolve();
        },
        IOLoop.NONE,
      );
      await duringWait(loop, async () => {
        const attempt = async (): Promise<number> => {
          ran = deferred();
          const before = runs;
          await untilWaiting(loop);
          await realDelay(5);
          loop.updateHandler(reader, IOLoop.READ);
          loop.updateHandler(reader, IOLoop.NONE);
          await realDelay(20);
          expect(runs, "off again before the turn ended").to.equal(before);
          loop.updateHandler(reader, IOLoop.READ);
          return millisecondsUntil(ran.promise);
        };
        expect(await quickest(AT_ONCE, attempt)).to.be.below(AT_ONCE);
      });
      loop.removeHandler(reader);
    });

    it("H6 stop() takes effect at once", async () => {
      const loop = makeLoop();
      const attempt = async (): Promise<number> => {
        const run = loop.start();
        await untilWaiting(loop);
        await realDelay(5);
        loop.stop();
        return millisecondsUntil(run);
      };
      expect(await quickest(AT_ONCE, attempt)).to.be.below(AT_ONCE);
    });

    it("H6 what is ready is dispatched before the callback that ended the wait runs", async () => {
      const loop = makeLoop();
      const [reader, writer] = files.pipe();
      const order: string[] = [];
      const { promise, resolve } = deferred();
      loop.addHandler(
        reader,
        () => {
          order.push("handler");
          loop.removeHandler(reader);
        },
        IOLoop.READ,
      );
      await duringWait(loop, async () => {
        loop.addCallback(() => {
          order.push("callback");
          resolve();
        });
        put(writer);
        await promise;
      });
      expect(order).to.deep.equal(["handler", "callback"]);
    });

    it("H6 a later deadline does not end the wait", async () => {
      const loop = makeLoop();
      const handles = [loop.callLater(1000, () => undefined)];
      await duringWait(loop, async () => {
        const { iterations } = loop.statistics();
        for (let each = 0; each < 100; each++) handles.push(loop.callLater(2000 + each, () => undefined));
        await realDelay(30);
        expect(loop.statistics().iterations - iterations).to.be.at.most(1);
      });
      for (const handle of handles) loop.removeTimeout(handle);
    });
  });

  it("H7 leaves the thread to Node while it waits", async () => {
    const loop = makeLoop();
    await duringWait(loop, async () => {
      const { iterations } = loop.statistics();
      let ticks = 0;
      const ticker = setInterval(() => ticks++, 10);
      expect(await settle(() => ticks >= 8)).to.equal(true);
      clearInterval(ticker);
      expect(loop.statistics().iterations - iterations, "waits that ended").to.be.at.most(1);
    });
  });

  it("H8 promise reactions of a handler run before the callbacks and timeouts that it adds", async () => {
    const loop = makeLoop();
    const [reader] = files.fullPipe();
    const order: string[] = [];
    loop.addHandler(
      reader,
      () => {
        loop.removeHandler(reader);
        order.push("handler");
        const { promise, resolve } = deferred();
        void promise
          .then(() => order.push("reaction"))
          .then(async () => {
            await null;
            await null;
            order.push("and what follows it");
          });
        resolve();
        loop.callAt(0, () => {
          order.push("timeout");
          loop.stop();
        });
        loop.addCallback(() => order.push("callback"));
      },
      IOLoop.READ,
    );
    await loop.start();
    expect(order).to.deep.equal(["handler", "reaction", "and what follows it", "callback", "timeout"]);
  });

  it("H8 promise reactions of a callback and of a timeout run before the next iteration's", async () => {
    const loop = makeLoop();
    const order: string[] = [];
    const reactAfter = (name: string): void => {
      order.push(name);
      void Promise.resolve()
        .then(() => null)
        .then(() => order.push(`reaction of the ${name}`));
    };
    loop.addCallback(() => {
      reactAfter("callback");
      loop.addCallback(() => order.push("next callback"));
    });
    loop.callAt(0, () => {
      reactAfter("timeout");
      loop.callAt(0, () => {
        order.push("next timeout");
        loop.stop();
      });
    });
    await loop.start();
    expect(order.slice(0, 2)).to.deep.equal(["callback", "timeout"]);
    expect(order.slice(2, 4)).to.have.members(["reaction of the callback", "reaction of the timeout"]);
    expect(order.slice(4)).to.deep.equal(["next callback", "next timeout"]);
  });

  it("H8 what the reactions of a handler schedule runs at once, though the loop waits by then", async () => {
    const loop = makeLoop();
    const [reader] = files.fullPipe();
    const attempt = async (): Promise<number> => {
      const { promise, resolve } = deferred();
      loop.addHandler(
        reader,
        () => {
          loop.removeHandler(reader);
          void Promise.resolve().then(() => loop.addCallback(resolve));
        },
        IOLoop.READ,
      );
      const run = loop.start();
      const took = await millisecondsUntil(promise);
      loop.stop();
      await run;
      return took;
    };
    expect(await quickest(AT_ONCE, attempt)).to.be.below(AT_ONCE);
  });

  it("H9 does not wait for an async callback, timeout or handler", async () => {
    const loop = makeLoop();
    const [reader] = files.fullPipe();
    const order: string[] = [];
    const slow = deferred();
    let ended = 0;
    const wait = async (name: string): Promise<void> => {
      order.push(name);
      await slow.promise;
      if (++ended === 3) loop.stop();
    };
    loop.addCallback(() => wait("callback"));
    loop.callAt(0, () => wait("timeout"));
    loop.addHandler(
      reader,
      () => {
        loop.removeHandler(reader);
        return wait("handler");
      },
      IOLoop.READ,
    );
    loop.callLater(0.01, () => {
      order.push("others");
      slow.resolve();
    });
    await loop.start();
    expect(order).to.deep.equal(["callback", "timeout", "handler", "others"]);
  });

  it("H9 no failure of an async function surfaces in the process: each is logged once", async () => {
    const loop = makeLoop();
    const [reader] = files.fullPipe();
    expectLog("application", "error", /Exception in callback.*\nError: late failure/, 5);
    const fail = async (): Promise<void> => {
      await null;
      throw new Error("late failure");
    };
    loop.addCallback(fail);
    loop.spawnCallback(fail);
    loop.addCallbackFromSignal(() => Promise.reject(new Error("late failure")));
    loop.callAt(0, fail);
    loop.addHandler(
      reader,
      () => {
        loop.removeHandler(reader);
        return fail();
      },
      IOLoop.READ,
    );
    loop.callLater(0.02, loop.stop);
    await loop.start();
  });

  it("H9 calls an async handler again while it awaits, unless it changes its mask first", async () => {
    const loop = makeLoop();
    const [careless] = files.fullPipe();
    const [careful] = files.fullPipe();
    const calls = { careless: 0, careful: 0 };
    const over = deferred();
    loop.addHandler(
      careless,
      async () => {
        calls.careless++;
        await over.promise;
      },
      IOLoop.READ,
    );
    loop.addHandler(
      careful,
      async () => {
        calls.careful++;
        loop.updateHandler(careful, IOLoop.NONE);
        await over.promise;
      },
      IOLoop.READ,
    );
    const run = loop.start();
    expect(await settle(() => calls.careless >= 5)).to.equal(true);
    expect(calls.careful).to.equal(1);
    loop.removeHandler(careless);
    loop.removeHandler(careful);
    over.resolve();
    loop.stop();
    await run;
  });
}

describe("fairness", () => {
  eachCombination((_, makeLoop) => fairness(makeLoop));
  describe("around a poller of one's own that answers by a promise", () => {
    fairness(() => makeAnyLoop({ impl: new AsyncPoller() }));
  });

  it("H4 holds for callbacks also when the clock stands still", async () => {
    const loop = makeAnyLoop({ timeFunc: () => 1000 });
    const rounds: number[] = [];
    const again = (): void => {
      rounds.push(nodeRound());
      if (rounds.length < 20) loop.callAt(1000, again);
      else loop.stop();
    };
    const began = realMilliseconds();
    loop.callAt(1000, again);
    await loop.start();
    expect(new Set(rounds).size).to.equal(20);
    // Nothing waits: twenty waits of a second would be twenty seconds.
    expect(realMilliseconds() - began).to.be.below(5000);
  });
});
