/**
 * `npm run bench:loop`: the loop against what Node has for the same work.
 *
 * Ratios above 1 mean that the loop is faster. Timeouts are compared by the CPU they take, for most of the time of either is waiting, and so is
 * the batch of callbacks, most of which is the collector's work, in threads of its own too; the rest by the clock. The suite (`npm run bench`)
 * has the batch and the million timeouts as well, beside asyncio and others, each in a process of its own.
 */
import { createServer, createConnection, type Socket as NodeSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rmSync } from "node:fs";
import { IOLoop, socketpair, type Socket } from "ioloop";
import { compare, cpuMilliseconds, printComparisons, type Variant, wallMilliseconds } from "./measure.js";

const MILLION = 1_000_000;
const CHAIN = 200_000;
const TIMEOUTS_WITHIN_MS = 1000;
const EVENTS = 100_000;
const rounds = Number(process.env["ROUNDS"] ?? 5);

const loop = new IOLoop();

/** A million callbacks added at once, then run. */
const callbackBatch: Variant = {
  name: "addCallback",
  run: () =>
    cpuMilliseconds(async () => {
      let left = MILLION;
      const callback = (): void => {
        if (--left === 0) loop.stop();
      };
      for (let added = 0; added < MILLION; added++) loop.addCallback(callback);
      await loop.start();
    }),
};

const immediateBatch: Variant = {
  name: "setImmediate",
  run: () =>
    cpuMilliseconds(
      () =>
        new Promise((resolve) => {
          let left = MILLION;
          const callback = (): void => {
            if (--left === 0) resolve();
          };
          for (let added = 0; added < MILLION; added++) setImmediate(callback);
        }),
    ),
};

/** A callback that adds itself again: an iteration, and a round of Node's loop, for each. */
const callbackChain: Variant = {
  name: "addCallback",
  run: () =>
    wallMilliseconds(async () => {
      let left = CHAIN;
      const callback = (): void => {
        if (--left === 0) loop.stop();
        else loop.addCallback(callback);
      };
      loop.addCallback(callback);
      await loop.start();
    }),
};

const immediateChain: Variant = {
  name: "setImmediate",
  run: () =>
    wallMilliseconds(
      () =>
        new Promise((resolve) => {
          let left = CHAIN;
          const callback = (): void => {
            if (--left === 0) resolve();
            else setImmediate(callback);
          };
          callback();
        }),
    ),
};

/** The same delays for both: a fixed generator, so that rounds repeat. */
function* delays(): Generator<number> {
  let state = 12345;
  for (let made = 0; made < MILLION; made++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield 1 + (state % TIMEOUTS_WITHIN_MS);
  }
}

/** A million timeouts with varied deadlines, every other one cancelled, the rest run. */
const ourTimeouts: Variant = {
  name: "callLater",
  run: () =>
    cpuMilliseconds(async () => {
      let left = MILLION / 2;
      const callback = (): void => {
        if (--left === 0) loop.stop();
      };
      const handles = [];
      for (const delay of delays()) handles.push(loop.callLater(delay / 1000, callback));
      for (const [index, handle] of handles.entries()) if (index % 2 === 0) loop.removeTimeout(handle);
      await loop.start();
    }),
};

const nodeTimeouts: Variant = {
  name: "setTimeout",
  run: () =>
    cpuMilliseconds(
      () =>
        new Promise((resolve) => {
          let left = MILLION / 2;
          const callback = (): void => {
            if (--left === 0) resolve();
          };
          const handles = [];
          for (const delay of delays()) handles.push(setTimeout(callback, delay));
          for (const [index, handle] of handles.entries()) if (index % 2 === 0) clearTimeout(handle);
        }),
    ),
};

/** A thousand timeouts that add themselves again, each with a delay of its own: what a loop has in a server at work. */
const PERIODIC = 1000;
const PERIODIC_RUNS = 200_000;
const PERIODIC_LONGEST_MS = 20;

function periodic(
  name: string,
  add: (callback: () => void, milliseconds: number) => void,
  run: (begin: (end: () => void) => void) => Promise<void>,
): Variant {
  return {
    name,
    run: () =>
      cpuMilliseconds(() =>
        run((end) => {
          let left = PERIODIC_RUNS;
          let waiting = PERIODIC;
          for (let each = 0; each < PERIODIC; each++) {
            const delay = 1 + (each % PERIODIC_LONGEST_MS);
            const callback = (): void => {
              if (--left > 0) add(callback, delay);
              else if (--waiting === 0) end();
            };
            add(callback, delay);
          }
        }),
      ),
  };
}

const ourPeriodic = periodic(
  "callLater",
  (callback, milliseconds) => void loop.callLater(milliseconds / 1000, callback),
  (begin) => {
    begin(() => loop.stop());
    return loop.start();
  },
);

const nodePeriodic = periodic(
  "setTimeout",
  (callback, milliseconds) => void setTimeout(callback, milliseconds),
  (begin) => new Promise(begin),
);

/** One byte to and fro on each of `count` pairs of unix sockets: an event is a readiness, the read, and the write that causes the next. */
function readiness(count: number): Variant {
  return {
    name: "addHandler",
    run: async () => {
      const pairs = Array.from({ length: count }, () => socketpair());
      const byte = Buffer.from("x");
      const target = Buffer.alloc(16);
      let left = EVENTS;
      const others = new Map<Socket, Socket>();
      const ready = (sock: Socket): void => {
        sock.recvInto(target);
        if (--left === 0) loop.stop();
        else others.get(sock)?.send(byte);
      };
      for (const [ours, theirs] of pairs) {
        others.set(ours, theirs);
        loop.addHandler(ours, ready, IOLoop.READ);
      }
      const time = await wallMilliseconds(async () => {
        for (const [, theirs] of pairs) theirs.send(byte);
        await loop.start();
      });
      for (const [ours, theirs] of pairs) {
        loop.removeHandler(ours);
        ours.close();
        theirs.close();
      }
      return time;
    },
  };
}

function nodeEvents(count: number): Variant {
  return {
    name: "net",
    run: async () => {
      const path = join(tmpdir(), `ioloop-bench-${process.pid}.sock`);
      rmSync(path, { force: true });
      const accepted: NodeSocket[] = [];
      const server = createServer((socket) => accepted.push(socket)).listen(path);
      const clients: NodeSocket[] = [];
      for (let made = 0; made < count; made++) {
        const client = createConnection(path);
        await new Promise((resolve) => client.once("connect", resolve));
        clients.push(client);
      }
      while (accepted.length < count) await new Promise((resolve) => setImmediate(resolve));
      const byte = Buffer.from("x");
      let left = EVENTS;
      const time = await wallMilliseconds(
        () =>
          new Promise((resolve) => {
            for (const [index, socket] of accepted.entries()) {
              const client = clients[index] as NodeSocket;
              socket.on("data", () => {
                if (--left === 0) resolve();
                else if (left > 0) client.write(byte);
              });
              client.write(byte);
            }
          }),
      );
      for (const socket of [...accepted, ...clients]) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      return time;
    },
  };
}

const comparisons = [
  await compare("a million callbacks, added then run (CPU)", MILLION, callbackBatch, immediateBatch, rounds),
  await compare("a callback that adds itself again", CHAIN, callbackChain, immediateChain, rounds),
  await compare("a million timeouts, half cancelled (CPU)", MILLION, ourTimeouts, nodeTimeouts, Math.min(rounds, 3)),
  await compare("1,000 timeouts that add themselves again (CPU)", PERIODIC_RUNS, ourPeriodic, nodePeriodic, rounds),
  await compare("one byte on 1 descriptor", EVENTS, readiness(1), nodeEvents(1), rounds),
  await compare("one byte on 100 descriptors", EVENTS, readiness(100), nodeEvents(100), rounds),
];
console.log(`Node ${process.version}, ${rounds} rounds; ratio above 1: the loop is faster`);
printComparisons(comparisons);
loop.close();
