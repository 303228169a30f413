/** The loop beside the rest of Node: signals, child processes, network (H10, H16, H20 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { IOLoop } from "../../src/ioloop/index.js";
import { eachCombination } from "../support/combinations.js";
import { openDescriptors } from "../support/descriptors.js";
import { settle } from "../support/real-timers.js";
import { drain, Files, put } from "./driving.js";
import { AT_ONCE, deferred, duringWait, millisecondsUntil, quickest, untilWaiting } from "./waiting.js";

/** Flags of an open descriptor, as the kernel shows them (proc(5), octal). */
function flagsOf(fd: number): number {
  const line = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
  return Number.parseInt(line?.[1] ?? "", 8);
}

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

function listenerCounts(): Record<string, number> {
  return Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
}

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function closing(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  await closed;
}

describe("beside Node", function () {
  this.timeout(20_000);

  eachCombination((_, makeLoop) => {
    let files: Files;

    beforeEach(() => {
      files = new Files();
    });

    afterEach(() => {
      files.close();
    });

    it("H10 a signal's listener wakes the loop, and the callback runs as one of the loop, not inside the listener", async () => {
      const loop = makeLoop({ makeCurrent: false });
      const order: string[] = [];
      const currents: (IOLoop | undefined)[] = [];
      let called = deferred();
      const listener = (): void => {
        loop.addCallbackFromSignal(() => {
          order.push("callback");
          currents.push(IOLoop.current(false));
          called.resolve();
        });
        order.push("listener ends");
      };
      process.on("SIGUSR2", listener);
      try {
        await duringWait(loop, async () => {
          const attempt = async (): Promise<number> => {
            await untilWaiting(loop);
            called = deferred();
            process.kill(process.pid, "SIGUSR2");
            return millisecondsUntil(called.promise);
          };
          expect(await quickest(AT_ONCE, attempt)).to.be.below(AT_ONCE);
        });
      } finally {
        process.off("SIGUSR2", listener);
      }
      expect(order).to.deep.equal(currents.flatMap(() => ["listener ends", "callback"]));
      expect(new Set(currents)).to.deep.equal(new Set([loop]));
    });

    it("H10 installs no listener of its own", async () => {
      const before = listenerCounts();
      const loop = makeLoop();
      loop.createWakeHandle(() => undefined);
      expect(listenerCounts()).to.deep.equal(before);
      await duringWait(loop, () => {
        expect(listenerCounts()).to.deep.equal(before);
      });
      loop.close();
      expect(listenerCounts()).to.deep.equal(before);
    });

    it("H16 its own descriptors are close-on-exec, the ones that are read and written non-blocking, and no child gets them", async () => {
      const before = openDescriptors();
      const loop = makeLoop();
      await duringWait(loop, async () => {
        const own = [...openDescriptors()].filter(([fd]) => !before.has(fd));
        expect(own).to.not.be.empty;
        for (const [fd, what] of own) {
          expect(flagsOf(fd) & O_CLOEXEC, what).to.equal(O_CLOEXEC);
          // What an epoll descriptor answers never blocks; its flags say nothing.
          if (!what.includes("eventpoll")) expect(flagsOf(fd) & O_NONBLOCK, what).to.equal(O_NONBLOCK);
        }
        const { stdout } = await promisify(execFile)("ls", ["-l", "/proc/self/fd"]);
        expect(stdout).to.match(/ 0 -> /);
        expect(stdout).to.not.match(/anon_inode/);
      });
    });

    it("H20 leaves net, http, timers and streams as they are, busy as it may be", async () => {
      const loop = makeLoop();
      const [reader, writer] = files.pipe();
      let handled = 0;
      loop.addHandler(
        reader,
        () => {
          handled++;
          drain(reader);
          loop.addCallback(() => put(writer));
        },
        IOLoop.READ,
      );
      put(writer);
      const run = loop.start();
      const http = createHttpServer((request, response) => {
        void pipeline(request, response);
      });
      const echo = createServer((socket) => socket.pipe(socket));
      try {
        const [httpPort, echoPort] = await Promise.all([listening(http), listening(echo)]);
        expect(await settle(() => handled > 0), "the loop is busy").to.equal(true);
        const body = Buffer.alloc(300_000, "streamed ");
        const [answered, echoed] = await Promise.all([
          new Promise<number>((resolve, reject) => {
            const request = httpRequest({ port: httpPort, host: "127.0.0.1", method: "POST", agent: false }, (response) => {
              let length = 0;
              response.on("data", (chunk: Buffer) => (length += chunk.length)).on("end", () => resolve(length));
            });
            request.on("error", reject);
            Readable.from([body]).pipe(request);
          }),
          new Promise<number>((resolve, reject) => {
            const client = connect(echoPort, "127.0.0.1");
            let length = 0;
            client.on("error", reject).on("data", (chunk: Buffer) => {
              length += chunk.length;
              if (length === body.length) client.end();
            });
            client.on("close", () => resolve(length));
            client.write(body);
          }),
        ]);
        expect([answered, echoed]).to.deep.equal([body.length, body.length]);
        // How often it came to run meanwhile is the machine's affair: the thread pool is Node's too.
        const soFar = handled;
        expect(await settle(() => handled > soFar + 5), "and goes on").to.equal(true);
      } finally {
        loop.removeHandler(reader);
        loop.stop();
        await run;
        loop.close();
        await Promise.all([closing(http), closing(echo)]);
      }
    });

    it("H20 takes a descriptor that Node reads too", async () => {
      const loop = makeLoop();
      const server = createServer();
      const port = await listening(server);
      const accepted = once(server, "connection") as Promise<[Socket]>;
      const client = connect(port, "127.0.0.1");
      const [socket] = await accepted;
      let fromNode = "";
      socket.on("data", (chunk: Buffer) => (fromNode += chunk.toString()));
      const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
      let events = 0;
      loop.addHandler(fd, (_fd, mask) => (events |= mask), IOLoop.WRITE);
      await duringWait(loop, async () => {
        client.write("to Node");
        expect(await settle(() => fromNode === "to Node" && events !== 0)).to.equal(true);
      });
      loop.removeHandler(fd);
      expect(events & IOLoop.WRITE).to.equal(IOLoop.WRITE);
      client.destroy();
      socket.destroy();
      await closing(server);
    });
  });
});
