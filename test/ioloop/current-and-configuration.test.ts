/** The current loop, the singleton, and which class `new IOLoop()` makes (L97-L108). */
import { expect } from "chai";
import { EPollIOLoop, IOLoop, type IOLoopOptions, PollIOLoop, PosixPollIOLoop } from "../../src/ioloop/index.js";
import { runSource } from "../support/child.js";
import { eachCombination } from "../support/combinations.js";
import { openDescriptors } from "../support/descriptors.js";
import { FakePoller } from "../support/fake-poller.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";
import { Files, makeFakeLoop } from "./driving.js";
import { deferred, untilWaiting } from "./waiting.js";

/** Stops a loop and waits until it has left. */
async function end(loop: IOLoop, run: Promise<void>): Promise<void> {
  loop.stop();
  await run;
}

describe("IOLoop: the current loop", () => {
  const files = new Files();

  afterEach(() => files.close());

  it("L97 L98 the first loop becomes current, a second one does not", () => {
    expect(IOLoop.current(false)).to.equal(undefined);
    const first = makeLoop();
    expect(IOLoop.current(false)).to.equal(first);
    makeLoop();
    expect(IOLoop.current(false)).to.equal(first);
    expect(IOLoop.initialized()).to.equal(false);
  });

  it("L97 makeCurrent: true marks it if there is none, and is an Error if there is one, which leaves nothing behind", () => {
    const first = makeLoop({ makeCurrent: true });
    expect(IOLoop.current(false)).to.equal(first);
    const before = [...openDescriptors()];
    expect(() => new IOLoop({ makeCurrent: true })).to.throw(Error, /current/);
    expect([...openDescriptors()]).to.deep.equal(before);
    expect(IOLoop.current(false)).to.equal(first);
  });

  it("L97 makeCurrent: true counts a running loop as the current one", async () => {
    const loop = makeLoop({ makeCurrent: false });
    const run = loop.start();
    expect(() => new IOLoop({ makeCurrent: true })).to.throw(Error, /current/);
    await end(loop, run);
  });

  it("L97 makeCurrent: false never marks it", () => {
    makeLoop({ makeCurrent: false });
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("L97 makeCurrent of another type is a TypeError", () => {
    const before = [...openDescriptors()];
    expect(() => new IOLoop({ makeCurrent: "yes" as unknown as boolean })).to.throw(TypeError, /makeCurrent is 'yes'/);
    expect(() => new IOLoop({ timeFunc: 5 as unknown as () => number })).to.throw(TypeError, /timeFunc is 5/);
    expect(() => new IOLoop({ poller: "kqueue" as "poll" })).to.throw(RangeError, /poller is 'kqueue'/);
    expect(() => new IOLoop({ host: "libev" as "uv-poll" })).to.throw(RangeError, /host is 'libev'/);
    expect([...openDescriptors()]).to.deep.equal(before);
  });

  eachCombination((_name, makeRealLoop) => {
    it("L99 a loop made with makeCurrent: false is current while it runs and not afterwards", async () => {
      const loop = makeRealLoop({ makeCurrent: false });
      for (let round = 0; round < 3; round++) {
        const seen: unknown[] = [];
        loop.addCallback(() => {
          seen.push(IOLoop.current(false));
          loop.stop();
        });
        await loop.start();
        expect(seen).to.deep.equal([loop]);
        expect(IOLoop.current(false)).to.equal(undefined);
      }
    });

    it("L103 in a callback, timeout or handler it is the loop that runs it, then the one started last, then the mark", async () => {
      const mark = makeRealLoop();
      const first = makeRealLoop();
      const second = makeRealLoop();
      const [reader] = files.fullPipe();
      const seen: [string, IOLoop | undefined][] = [];
      const look = (where: string): void => void seen.push([where, IOLoop.current(false)]);
      look("before");
      const firstRun = first.start();
      const secondRun = second.start();
      look("both started");
      const { promise, resolve } = deferred();
      first.addCallback(async () => {
        look("callback");
        await nextRound();
        look("after an await");
        resolve();
      });
      first.callLater(0, () => look("timeout"));
      first.addHandler(
        reader,
        () => {
          look("handler");
          first.removeHandler(reader);
        },
        IOLoop.READ,
      );
      await promise;
      await untilWaiting(first);
      first.addCallback(resolve);
      await end(first, firstRun);
      look("first stopped");
      await end(second, secondRun);
      look("both stopped");
      expect(new Map(seen)).to.deep.equal(
        new Map([
          ["before", mark],
          ["both started", second],
          ["callback", first],
          ["after an await", second],
          ["timeout", first],
          ["handler", first],
          ["first stopped", second],
          ["both stopped", mark],
        ]),
      );
    });

    it("L104 the loop started last counts, also when the other stops first, and afterwards all is as before", async () => {
      const first = makeRealLoop({ makeCurrent: false });
      const second = makeRealLoop({ makeCurrent: false });
      const firstRun = first.start();
      expect(IOLoop.current(false)).to.equal(first);
      const secondRun = second.start();
      await untilWaiting(second);
      expect(IOLoop.current(false)).to.equal(second);
      await end(first, firstRun);
      expect(IOLoop.current(false)).to.equal(second);
      await end(second, secondRun);
      expect(IOLoop.current(false)).to.equal(undefined);
    });

    it("L104 the one started first is current again when the other has stopped", async () => {
      const first = makeRealLoop({ makeCurrent: false });
      const second = makeRealLoop({ makeCurrent: false });
      const firstRun = first.start();
      const secondRun = second.start();
      await end(second, secondRun);
      expect(IOLoop.current(false)).to.equal(first);
      await end(first, firstRun);
    });

    it("L105 starting another loop in a callback disturbs neither", async () => {
      const outer = makeRealLoop();
      const inner = makeRealLoop();
      const seen: [string, boolean][] = [];
      let innerRun: Promise<void> = Promise.resolve();
      outer.addCallback(() => {
        innerRun = inner.start();
        seen.push(["outer, after the start", IOLoop.current(false) === outer]);
      });
      inner.addCallback(() => seen.push(["inner", IOLoop.current(false) === inner]));
      inner.callLater(0.01, inner.stop);
      outer.callLater(0.005, () => seen.push(["outer, later", IOLoop.current(false) === outer]));
      outer.callLater(0.03, outer.stop);
      await outer.start();
      await innerRun;
      expect(seen.map(([where]) => where)).to.have.members(["outer, after the start", "inner", "outer, later"]);
      expect(seen.every(([, right]) => right)).to.equal(true);
    });
  });

  it("L103 an iteration run by hand inside a callback of another loop does not leave its mark", () => {
    const { loop: outer } = makeFakeLoop();
    const { loop: inner } = makeFakeLoop();
    const seen: unknown[] = [];
    inner.addCallback(() => seen.push(IOLoop.current(false)));
    outer.addCallback(() => {
      inner.runIteration();
      seen.push(IOLoop.current(false));
    });
    outer.runIteration();
    expect(seen).to.deep.equal([inner, outer]);
    expect(IOLoop.current(false)).to.equal(outer);
  });

  it("L103 an error does not leave it behind", () => {
    const { loop } = makeFakeLoop();
    IOLoop.clearCurrent();
    loop.handleCallbackException = (_callback, error) => {
      throw error;
    };
    loop.addCallback(() => {
      throw new Error("expected");
    });
    expect(() => loop.runIteration()).to.throw("expected");
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("L103 current() is no AsyncLocalStorage: an await in a running loop sees the loop started last", async () => {
    const first = makeLoop({ makeCurrent: false });
    const second = makeLoop({ makeCurrent: false });
    const firstRun = first.start();
    const { promise, resolve } = deferred();
    first.addCallback(async () => {
      await promise;
      expect(IOLoop.current(false)).to.equal(second);
      first.stop();
    });
    await untilWaiting(first);
    const secondRun = second.start();
    resolve();
    await firstRun;
    await end(second, secondRun);
  });

  it("L100 makeCurrent() replaces the mark, clearCurrent() removes it and may be called without one", () => {
    const first = makeLoop();
    const second = makeLoop();
    second.makeCurrent();
    expect(IOLoop.current(false)).to.equal(second);
    first.makeCurrent();
    expect(IOLoop.current(false)).to.equal(first);
    IOLoop.clearCurrent();
    expect(IOLoop.current(false)).to.equal(undefined);
    IOLoop.clearCurrent();
    expect(IOLoop.current(false)).to.equal(undefined);
  });

  it("L101 current({ instance: false }) creates nothing; current() falls back to instance()", () => {
    expect(IOLoop.current({ instance: false })).to.equal(undefined);
    expect(IOLoop.current(false)).to.equal(undefined);
    expect(IOLoop.initialized()).to.equal(false);
    const loop = IOLoop.current();
    expect(IOLoop.initialized()).to.equal(true);
    expect(IOLoop.instance()).to.equal(loop);
    expect(IOLoop.current({ instance: false })).to.equal(loop);
    expect(IOLoop.current({})).to.equal(loop);
    expect(IOLoop.current(true)).to.equal(loop);
    IOLoop.clearCurrent();
    expect(IOLoop.current({ instance: false })).to.equal(undefined);
    expect(IOLoop.current()).to.equal(loop);
    loop.close();
  });
});

describe("IOLoop: the singleton", () => {
  it("L102 instance() makes it on first use, marks it if there is no mark, and returns the same afterwards", () => {
    expect(IOLoop.initialized()).to.equal(false);
    const loop = IOLoop.instance();
    expect(IOLoop.initialized()).to.equal(true);
    expect(IOLoop.current(false)).to.equal(loop);
    expect(IOLoop.instance()).to.equal(loop);
    loop.close();
  });

  it("L102 instance() leaves a mark that is there", () => {
    const marked = makeLoop();
    const loop = IOLoop.instance();
    expect(loop).to.not.equal(marked);
    expect(IOLoop.current(false)).to.equal(marked);
    loop.close();
  });

  it("L102 clearInstance() forgets it without closing it", () => {
    const loop = IOLoop.instance();
    IOLoop.clearInstance();
    expect(IOLoop.initialized()).to.equal(false);
    expect(loop.statistics().closed).to.equal(false);
    const other = IOLoop.instance();
    expect(other).to.not.equal(loop);
    loop.close();
    expect(IOLoop.instance()).to.equal(other);
    other.close();
    IOLoop.clearInstance();
  });

  it("L102 install() makes a loop the singleton without marking it, and is an Error if there is one", () => {
    const loop = makeLoop({ makeCurrent: false });
    const other = makeLoop({ makeCurrent: false });
    loop.install();
    expect(IOLoop.instance()).to.equal(loop);
    expect(IOLoop.current(false)).to.equal(undefined);
    expect(() => other.install()).to.throw(Error, /singleton exists/);
    expect(() => loop.install()).to.throw(Error, /singleton exists/);
    expect(IOLoop.instance()).to.equal(loop);
    loop.close();
  });
});

describe("IOLoop: configuration", () => {
  let saved: ReturnType<typeof IOLoop._saveConfiguration>;

  beforeEach(() => {
    saved = IOLoop._saveConfiguration();
  });

  afterEach(() => IOLoop._restoreConfiguration(saved));

  /** Makes a loop as a user does, looks at it, and closes it. */
  function made<T>(make: () => IOLoop, look: (loop: IOLoop) => T): T {
    const loop = make();
    try {
      return look(loop);
    } finally {
      loop.close();
    }
  }

  class OwnLoop extends PollIOLoop {
    declare given: object;

    constructor(options: IOLoopOptions = {}) {
      super({ impl: new FakePoller(), ...options });
    }

    protected override initialize(options: IOLoopOptions & { impl: FakePoller }): void {
      super.initialize(options);
      const { impl: _impl, ...given } = options;
      this.given = given;
    }
  }

  it("L106 new IOLoop() makes the platform's class by default", function () {
    const { IOLOOP_POLLER: forced } = process.env;
    if (forced !== undefined && forced !== "") this.skip(); // Another class is what the environment asked for.
    expect(IOLoop.configurableBase()).to.equal(IOLoop);
    expect(IOLoop.configurableDefault()).to.equal(EPollIOLoop);
    expect(IOLoop.configuredClass()).to.equal(EPollIOLoop);
    made(
      () => new IOLoop(),
      (loop) => {
        expect(loop.constructor).to.equal(EPollIOLoop);
        expect(loop).to.be.instanceOf(EPollIOLoop).and.instanceOf(PollIOLoop).and.instanceOf(IOLoop);
      },
    );
  });

  it("L106 the environment variable IOLOOP_POLLER names another", () => {
    const before = process.env["IOLOOP_POLLER"];
    try {
      process.env["IOLOOP_POLLER"] = "poll";
      expect(IOLoop.configurableDefault()).to.equal(PosixPollIOLoop);
      expect(IOLoop.configuredClass()).to.equal(PosixPollIOLoop);
      expect(
        made(
          () => new IOLoop(),
          (loop) => loop.constructor,
        ),
      ).to.equal(PosixPollIOLoop);
    } finally {
      if (before === undefined) delete process.env["IOLOOP_POLLER"];
      else process.env["IOLOOP_POLLER"] = before;
    }
  });

  it("L106 configure() changes the class and gives default options, which explicit ones override", () => {
    const slow = (): number => 1;
    const fast = (): number => 2;
    IOLoop.configure(OwnLoop, { timeFunc: slow, makeCurrent: false });
    expect(IOLoop.configuredClass()).to.equal(OwnLoop);
    made(
      () => new IOLoop(),
      (loop) => {
        expect(loop).to.be.instanceOf(OwnLoop);
        expect(loop.time()).to.equal(1);
        expect(IOLoop.current(false)).to.equal(undefined);
        expect((loop as OwnLoop).given).to.deep.equal({ timeFunc: slow, makeCurrent: false });
      },
    );
    made(
      () => new IOLoop({ timeFunc: fast }),
      (loop) => expect(loop.time()).to.equal(2),
    );
  });

  it("L106 the default options apply through new IOLoop() only, never to new C()", () => {
    IOLoop.configure(OwnLoop, { timeFunc: () => 1 });
    made(
      () => new OwnLoop(),
      (loop) => expect((loop as OwnLoop).given).to.deep.equal({}),
    );
    made(
      () => new EPollIOLoop(),
      (loop) => expect(loop.time()).to.be.greaterThan(1),
    );
  });

  it("L106 configure(undefined, options) restores the default class, with these options", () => {
    IOLoop.configure(OwnLoop);
    IOLoop.configure(undefined, { timeFunc: () => 1 });
    expect(IOLoop.configuredClass()).to.equal(IOLoop.configurableDefault());
    made(
      () => new IOLoop(),
      (loop) => expect(loop.time()).to.equal(1),
    );
    IOLoop.configure(undefined);
    made(
      () => new IOLoop(),
      (loop) => expect(loop.time()).to.be.greaterThan(1),
    );
  });

  it("L106 existing loops are unaffected, instance() and current() make the configured class", () => {
    made(
      () => new IOLoop(),
      (loop) => {
        IOLoop.configure(OwnLoop, { timeFunc: () => 1 });
        expect(loop).to.not.be.instanceOf(OwnLoop);
        expect(loop.time()).to.be.greaterThan(1);
      },
    );
    made(
      () => IOLoop.current(),
      (loop) => expect(loop).to.be.instanceOf(OwnLoop),
    );
  });

  it("L106 options given to configure() are copied", () => {
    const options = { timeFunc: () => 1 };
    IOLoop.configure(OwnLoop, options);
    options.timeFunc = () => 2;
    made(
      () => new IOLoop(),
      (loop) => expect(loop.time()).to.equal(1),
    );
  });

  it("L106 a configuration can be saved and restored", () => {
    IOLoop.configure(OwnLoop, { timeFunc: () => 1 });
    const own = IOLoop._saveConfiguration();
    IOLoop.configure("PosixPollIOLoop");
    IOLoop._restoreConfiguration(own);
    made(
      () => new IOLoop(),
      (loop) => {
        expect(loop).to.be.instanceOf(OwnLoop);
        expect(loop.time()).to.equal(1);
      },
    );
  });

  for (const [what, wrong] of [
    ["a class of something else", Map],
    ["IOLoop itself, which would make itself for ever", IOLoop],
    ["a function without prototype", () => undefined],
    ["an object", {}],
    ["null", null],
  ] as const) {
    it(`L107 refuses ${what}: RangeError, and the configuration stays`, () => {
      IOLoop.configure(OwnLoop);
      expect(() => IOLoop.configure(wrong as unknown as typeof OwnLoop)).to.throw(RangeError, /^impl is .*IOLoop/);
      expect(IOLoop.configuredClass()).to.equal(OwnLoop);
    });
  }

  it("L107 takes the name of an exported implementation, and refuses others", () => {
    IOLoop.configure("EPollIOLoop");
    expect(IOLoop.configuredClass()).to.equal(EPollIOLoop);
    IOLoop.configure("PosixPollIOLoop");
    expect(IOLoop.configuredClass()).to.equal(PosixPollIOLoop);
    for (const name of ["KQueueIOLoop", "", "toString"]) {
      expect(() => IOLoop.configure(name)).to.throw(RangeError, /^impl is .*EPollIOLoop/);
    }
    expect(IOLoop.configuredClass()).to.equal(PosixPollIOLoop);
  });

  it("L108 a platform without a poller: an Error that names it", () => {
    const before = [...openDescriptors()];
    const platform = Object.getOwnPropertyDescriptor(process, "platform") as PropertyDescriptor;
    Object.defineProperty(process, "platform", { ...platform, value: "sunos" });
    try {
      expect(() => new IOLoop()).to.throw(Error, /sunos.*Linux/);
      expect(() => IOLoop.current()).to.throw(Error, /sunos/);
    } finally {
      Object.defineProperty(process, "platform", platform);
    }
    expect(IOLoop.initialized()).to.equal(false);
    expect(IOLoop.current(false)).to.equal(undefined);
    expect([...openDescriptors()]).to.deep.equal(before);
  });

  it("L108 the library can be imported there, and its parts say the same", async () => {
    const child = await runSource(`
      Object.defineProperty(process, "platform", { value: "sunos" });
      const { EPollIOLoop, IOLoop, PosixPollIOLoop } = await import("../src/ioloop/index.js");
      for (const make of [() => new IOLoop(), () => new EPollIOLoop(), () => new PosixPollIOLoop(), () => IOLoop.configuredClass()]) {
        try {
          make();
          console.log("made");
        } catch (error) {
          console.log((error as Error).message);
        }
      }
    `);
    expect(child).to.include({ stderr: "", code: 0 });
    const lines = child.stdout.trimEnd().split("\n");
    expect(lines).to.have.length(4);
    for (const line of lines) expect(line).to.match(/sunos.*Linux/i);
  }).timeout(20_000);
});
