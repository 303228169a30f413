import { expect } from "chai";
import { IOLoop, type PollIOLoop } from "../../src/ioloop/index.js";
import { CancelledError } from "../../src/concurrent/index.js";
import { type Address, errno, Socket } from "../../src/platform/index.js";
import { ACCEPT_RETRY_DELAY, addAcceptHandler, bindSockets } from "../../src/net/index.js";
import { injectFault } from "../support/faults.js";
import { expectLog, logRecords } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";
import { makeVirtualLoop } from "../ioloop/virtual-time.js";
import { client, onLoop, portOf, until } from "./loop.js";

/** A listening socket, what it has accepted, and clients of it; all closed by `dispose`. */
class Listener implements Disposable {
  readonly socket: Socket;
  readonly accepted: Socket[] = [];
  readonly addresses: Address[] = [];
  readonly clients: Socket[] = [];
  readonly port: number;

  constructor(backlog = 128) {
    this.socket = bindSockets(0, "127.0.0.1", { backlog })[0]!;
    this.port = portOf(this.socket);
  }

  readonly take = (connection: Socket, address: Address): void => {
    this.accepted.push(connection);
    this.addresses.push(address);
  };

  call(count = 1): void {
    for (let i = 0; i < count; i++) this.clients.push(client(this.port));
  }

  [Symbol.dispose](): void {
    for (const socket of [...this.clients, ...this.accepted, this.socket]) socket.close();
  }
}

const general = (level: string): string[] =>
  logRecords()
    .filter((record) => record.logger === "general" && record.level === level)
    .map((record) => record.message);

/** A loop whose time passes only when nothing else can happen, running. */
function startVirtual(): { loop: PollIOLoop; clock: { now: number }; stop: () => Promise<void> } {
  const { loop, clock } = makeVirtualLoop();
  const running = loop.start();
  return {
    loop,
    clock,
    stop: async () => {
      loop.stop();
      await running;
    },
  };
}

describe("addAcceptHandler", () => {
  it("N45 gives each connection and its address", async () => {
    using listener = new Listener();
    await onLoop(async (loop) => {
      const remove = addAcceptHandler(listener.socket, listener.take);
      listener.call(2);
      await until(loop, () => listener.accepted.length === 2);
      remove();
    });
    expect(listener.addresses).to.have.deep.members(listener.clients.map((socket) => socket.getsockname()));
    expect(listener.accepted.every((socket) => socket instanceof Socket)).to.equal(true);
  });

  it("N45 serves on the loop that was current at the call", async () => {
    using listener = new Listener();
    const loop = makeLoop();
    loop.makeCurrent();
    const remove = addAcceptHandler(listener.socket, listener.take);
    IOLoop.clearCurrent();
    const other = makeLoop({ makeCurrent: false });
    other.makeCurrent();
    expect(loop.statistics().handlers).to.equal(1);
    expect(other.statistics().handlers).to.equal(0);
    remove();
    expect(loop.statistics().handlers).to.equal(0);
  });

  it("N45 refuses a socket that has a handler, what is no socket or no function, and a closed socket", () => {
    makeLoop();
    using listener = new Listener();
    const remove = addAcceptHandler(listener.socket, listener.take);
    expect(() => addAcceptHandler(listener.socket, listener.take))
      .to.throw(/registered already/)
      .with.property("code", "EEXIST");
    remove();
    expect(() => addAcceptHandler({ fileno: () => 1, accept: () => undefined } as unknown as Socket, listener.take)).to.throw(
      TypeError,
      /^sock is/,
    );
    expect(() => addAcceptHandler(listener.socket, 5 as never)).to.throw(TypeError, /^callback is 5/);
    listener.socket.close();
    expect(() => addAcceptHandler(listener.socket, listener.take))
      .to.throw()
      .with.property("code", "EBADF");
  });

  it("N46 accepts at most 128 in one event, then the loop has its turn", async function () {
    this.timeout(20_000);
    using listener = new Listener(512);
    await onLoop(async (loop) => {
      listener.call(300);
      let acceptedAtTurn = 0;
      const remove = addAcceptHandler(listener.socket, (connection, address) => {
        listener.take(connection, address);
        if (listener.accepted.length === 1) loop.addCallback(() => (acceptedAtTurn = listener.accepted.length));
      });
      await until(loop, () => listener.accepted.length === 300);
      expect(acceptedAtTurn).to.equal(128);
      remove();
    });
  });

  it("N47 ends the batch when the remover is called inside a callback, and may be called twice", async () => {
    using listener = new Listener();
    await onLoop(async (loop) => {
      listener.call(5);
      const remove = addAcceptHandler(listener.socket, (connection, address) => {
        listener.take(connection, address);
        remove();
      });
      await until(loop, () => listener.accepted.length > 0);
      expect(listener.accepted).to.have.length(1);
      remove();
      expect(listener.socket.closed).to.equal(false);
      expect(loop.statistics().handlers).to.equal(0);
    });
  });

  it("N48 skips a connection that fails and goes on with the next", async () => {
    const codes = [
      "ECONNABORTED",
      "EINTR",
      "EPERM",
      "EPROTO",
      "ENOPROTOOPT",
      "EOPNOTSUPP",
      "ENETDOWN",
      "ENETUNREACH",
      "ENONET",
      "EHOSTDOWN",
      "EHOSTUNREACH",
    ];
    for (const code of codes) {
      using listener = new Listener();
      await onLoop(async (loop) => {
        listener.call(2);
        using fault = injectFault("accept4", { errno: code, at: 2 });
        const remove = addAcceptHandler(listener.socket, listener.take);
        await until(loop, () => listener.accepted.length === 2);
        // One event: the failing call did not end the batch, and the last answered that it would block.
        expect(fault.calls, code).to.equal(4);
        remove();
      });
    }
    expect(general("warn")).to.deep.equal([]);
  });

  for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]) {
    it(`N49 warns of ${code} once, rests, serves what there is, and resumes`, async () => {
      using listener = new Listener();
      const { loop, clock, stop } = startVirtual();
      const warnings = expectLog("general", "warn", new RegExp(`^Accepting connections fails with ${code}`), 2);
      const remove = addAcceptHandler(listener.socket, listener.take);
      listener.call(2);
      // The first connection is accepted; then three attempts fail, one second apart.
      const fault = injectFault("accept4", { errno: code, at: 2, times: 3 });
      const started = clock.now;
      await until(loop, () => fault.injected === 1);
      expect(listener.accepted).to.have.length(1);
      let ticks = 0;
      const timer = loop.callLater(0.5, () => ticks++);
      await until(loop, () => listener.accepted.length === 2);
      expect(clock.now - started).to.be.within(3 * ACCEPT_RETRY_DELAY, 3 * ACCEPT_RETRY_DELAY + 0.5);
      expect(fault.injected).to.equal(3);
      expect(ticks).to.equal(1);
      loop.removeTimeout(timer);
      fault.restore();
      expect(general("warn")).to.have.length(1);
      // The episode is over with the first success: another shortage is another warning.
      using again = injectFault("accept4", { errno: code });
      listener.call();
      await until(loop, () => listener.accepted.length === 3);
      expect(again.injected).to.equal(1);
      remove();
      await stop();
      expect(general("warn")).to.have.length(2);
      expect(warnings).to.have.length(0); // Filled in after the test.
    });
  }

  it("N50 does not spin during the pause: no more turns than timeouts", async () => {
    using listener = new Listener();
    const { loop, stop } = startVirtual();
    expectLog("general", "warn", /EMFILE/);
    using _fault = injectFault("accept4", { errno: "EMFILE", times: Infinity });
    const remove = addAcceptHandler(listener.socket, listener.take);
    listener.call();
    await new Promise<void>((resolve) => loop.callLater(0.5, resolve));
    const before = loop.statistics().iterations;
    await new Promise<void>((resolve) => loop.callLater(10, resolve));
    // Each retry is a timeout and the event that follows it.
    expect(loop.statistics().iterations - before).to.be.within(10, 45);
    remove();
    await stop();
  });

  it("N50 takes the retry back with the handler", async () => {
    using listener = new Listener();
    const { loop, stop } = startVirtual();
    expectLog("general", "warn", /EMFILE/);
    using fault = injectFault("accept4", { errno: "EMFILE", times: Infinity });
    const remove = addAcceptHandler(listener.socket, listener.take);
    listener.call();
    await until(loop, () => fault.injected === 1);
    expect(loop.statistics().timeouts).to.equal(1);
    remove();
    expect(loop.statistics()).to.include({ timeouts: 0, handlers: 0 });
    await stop();
  });

  it("N50 accepts what waited within about a second when real descriptors are free again", async function () {
    this.timeout(20_000);
    using listener = new Listener();
    await onLoop(async (loop) => {
      expectLog("general", "warn", /EMFILE/);
      const remove = addAcceptHandler(listener.socket, listener.take);
      let exhausted = true;
      using _fault = injectFault("accept4", { errno: "EMFILE", times: Infinity, when: () => exhausted });
      listener.call(3);
      await until(loop, () => general("warn").length === 1);
      const freed = performance.now();
      exhausted = false;
      const cpu = process.cpuUsage();
      await until(loop, () => listener.accepted.length === 3);
      expect(performance.now() - freed).to.be.below(5000);
      // `until` itself goes round once a millisecond; a spinning loop would take all of the second.
      expect(process.cpuUsage(cpu).user / 1e6).to.be.below(0.9);
      remove();
    });
  });

  for (const code of ["EBADF", "EINVAL"]) {
    it(`N51 logs ${code} once and takes itself off`, async () => {
      using listener = new Listener();
      await onLoop(async (loop) => {
        expectLog("general", "error", new RegExp(`the listening socket failed[^]*${code}`));
        using fault = injectFault("accept4", { errno: errno(code), times: Infinity });
        const remove = addAcceptHandler(listener.socket, listener.take);
        listener.call(2);
        await until(loop, () => fault.injected > 0);
        expect(loop.statistics().handlers).to.equal(0);
        remove();
      });
    });
  }

  it("N51 ends quietly enough when a callback closes the listening socket", async () => {
    using listener = new Listener();
    await onLoop(async (loop) => {
      expectLog("general", "error", /the listening socket failed[^]*EBADF/);
      addAcceptHandler(listener.socket, (connection, address) => {
        listener.take(connection, address);
        listener.socket.close();
      });
      listener.call(3);
      await until(loop, () => listener.accepted.length > 0);
      expect(listener.accepted).to.have.length(1);
      expect(loop.statistics().handlers).to.equal(0);
    });
  });

  for (const [how, fail] of [
    [
      "throws",
      () => {
        throw new Error("boom");
      },
    ],
    ["rejects", () => Promise.reject(new Error("boom"))],
  ] as const) {
    it(`N52 logs a callback that ${how}, closes that connection and goes on`, async () => {
      using listener = new Listener();
      await onLoop(async (loop) => {
        expectLog("application", "error", /^Exception in accept callback[^]*boom/);
        listener.call(3);
        const remove = addAcceptHandler(listener.socket, (connection, address) => {
          listener.take(connection, address);
          return listener.accepted.length === 1 ? fail() : undefined;
        });
        await until(loop, () => listener.accepted.length === 3);
        await nextRound();
        expect(listener.accepted.map((socket) => socket.closed)).to.deep.equal([true, false, false]);
        remove();
      });
    });
  }

  it("N52 closes the connection of a cancelled callback without a word", async () => {
    using listener = new Listener();
    await onLoop(async (loop) => {
      listener.call();
      const remove = addAcceptHandler(listener.socket, (connection, address) => {
        listener.take(connection, address);
        return Promise.reject(new CancelledError());
      });
      await until(loop, () => listener.accepted.length === 1);
      await nextRound();
      expect(listener.accepted[0]!.closed).to.equal(true);
      remove();
    });
  });
});
