/** 2.J: connect. Over TCP and unix sockets; pipes do not connect. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { IOStream, StreamClosedError } from "../../src/iostream/index.js";
import { type Address, AF_INET6, AF_UNIX, Socket, socketpair } from "../../src/platform/index.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, listenTcp, type StreamTest, thrown } from "./kinds.js";

/** A listening socket of the kind at hand, its address, and an address nobody listens on. */
class Site implements Disposable {
  readonly family: number;
  readonly address: Address;
  readonly nowhere: Address;
  readonly listener: Socket;
  readonly #folder = mkdtempSync(join(tmpdir(), "ioloop-"));

  constructor(kind: string) {
    if (kind === "tcp") {
      const [listener, port] = listenTcp();
      const [unused, closedPort] = listenTcp();
      unused.close();
      this.family = listener.family;
      this.listener = listener;
      this.address = ["127.0.0.1", port];
      this.nowhere = ["127.0.0.1", closedPort];
    } else {
      this.family = AF_UNIX;
      this.listener = new Socket(AF_UNIX);
      this.address = join(this.#folder, "socket");
      this.nowhere = join(this.#folder, "nothing");
      this.listener.bind(this.address);
      this.listener.listen();
    }
  }

  stream({ loop, track }: StreamTest): IOStream {
    return track(new IOStream(new Socket(this.family), { ioLoop: loop }));
  }

  async accept({ loop, track, until }: StreamTest): Promise<IOStream> {
    let accepted = this.listener.accept();
    await until(() => (accepted ??= this.listener.accept()) !== undefined);
    return track(new IOStream((accepted as [Socket, Address])[0], { ioLoop: loop }));
  }

  [Symbol.dispose](): void {
    this.listener.close();
    rmSync(this.#folder, { recursive: true });
  }
}

describe("connect", () => {
  eachStream(
    (it, { name }) => {
      it("S98 gives the stream itself, or calls back without arguments", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        expect(await stream.connect(site.address)).to.equal(stream);
        const other = site.stream(test);
        const args = await new Promise<unknown[]>((resolve) => {
          other.connect(site.address, (...given: unknown[]) => {
            resolve(given);
          });
        });
        expect(args).to.deep.equal([]);
        const third = site.stream(test);
        expect(await third.connect(site.address, { serverHostname: "unused" })).to.equal(third);
      });

      it("S86 S99 what is written meanwhile goes out after it, and completes after it", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const seen: string[] = [];
        const connecting = stream.connect(site.address);
        const empty = stream.write("");
        const write = stream.write("early");
        expect([connecting.done(), empty.done(), write.done(), stream.writing()]).to.deep.equal([false, false, false, true]);
        void connecting.then(() => seen.push("connected"), undefined);
        void write.then(() => seen.push("written"), undefined);
        await Promise.all([empty, write]);
        expect(seen[0]).to.equal("connected");
        const peer = await site.accept(test);
        expect(String(await peer.readBytes(5))).to.equal("early");
      });

      it("S99 the same with callbacks", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const seen: string[] = [];
        stream.connect(site.address, () => seen.push("connected"));
        stream.write("early", () => seen.push("written"));
        await test.until(() => seen.length === 2);
        expect(seen).to.deep.equal(["connected", "written"]);
      });

      it("S100 a read meanwhile waits, without touching the descriptor", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        let calls = 0;
        const readFromFd = stream.readFromFd.bind(stream);
        stream.readFromFd = (buf) => {
          calls++;
          return readFromFd(buf);
        };
        const connecting = stream.connect(site.address);
        const read = stream.readBytes(2);
        expect(calls).to.equal(0);
        await connecting;
        const peer = await site.accept(test);
        await peer.write("ok");
        expect(String(await read)).to.equal("ok");
      });

      it("S101 S102 refused: quiet, with the system error; writes fail first, then the connection, then the close callback", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const seen: string[] = [];
        stream.setCloseCallback(() => seen.push("closed"));
        // A unix socket is refused within the call: the stream is closed when it returns.
        const connecting = stream.connect(site.nowhere);
        if (name === "tcp") {
          stream.write("queued").then(undefined, (error: unknown) => seen.push(`write ${(error as Error).name}`));
        }
        connecting.then(undefined, (error: unknown) => seen.push(`connect ${(error as Error).name}`));
        const error = (await failure(connecting)) as StreamClosedError;
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.realError).to.equal(stream.error);
        const expected =
          name === "tcp"
            ? { code: "ECONNREFUSED", syscall: "connect", address: "127.0.0.1", port: site.nowhere[1] }
            : { code: "ENOENT", syscall: "connect", path: site.nowhere };
        expect(stream.error).to.include(expected);
        expect(stream.closed()).to.equal(true);
        await test.until(() => seen.includes("closed"));
        const rest = ["connect StreamClosedError", "closed"];
        expect(seen).to.deep.equal(name === "tcp" ? ["write StreamClosedError", ...rest] : rest);
      });

      it("S103 refused, with a callback: never called, and a warning instead", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const seen: string[] = [];
        stream.setCloseCallback(() => seen.push("closed"));
        stream.connect(site.nowhere, () => seen.push("connected"));
        await test.until(() => seen.includes("closed"));
        await test.turns();
        expect(seen).to.deep.equal(["closed"]);
        expect(stream.error).to.have.property("syscall", "connect");
        expectLog("general", "warn", /Connect error on fd/);
      });

      for (const code of ["ENETUNREACH", "EINVAL", "EACCES", "EAGAIN"]) {
        it(`S104 ${code} at once is not thrown`, async (test) => {
          using site = new Site(name);
          const stream = site.stream(test);
          using fault = injectFault("connect", { errno: code });
          const connecting = stream.connect(site.address);
          expect(fault.injected).to.equal(1);
          expect(((await failure(connecting)) as StreamClosedError).realError).to.include({ code, syscall: "connect" });
          expect(stream.closed()).to.equal(true);
        });
      }

      it("S106 S112 close() meanwhile fails it, with no error behind", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const connecting = stream.connect(site.address);
        stream.close();
        const error = (await failure(connecting)) as StreamClosedError;
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.realError).to.equal(undefined);
      });

      it("S107 throws on a closed, connecting or connected stream, which is unharmed", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const connecting = stream.connect(site.address);
        expect(() => stream.connect(site.address)).to.throw(Error, "Already connecting");
        await connecting;
        expect(() => stream.connect(site.address)).to.throw(Error, "Already connected");
        await stream.write("fine");
        const peer = await site.accept(test);
        expect(String(await peer.readBytes(4))).to.equal("fine");
        expect(() => peer.connect(site.address)).to.throw(Error, "Already connected");
        stream.close();
        expect(thrown(() => stream.connect(site.address))).to.be.instanceOf(StreamClosedError);
      });

      it("S107 throws for wrong arguments and changes nothing", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const wrong: unknown[] =
          name === "tcp"
            ? ["/path", ["127.0.0.1"], ["127.0.0.1", 70000], ["localhost", -1], ["localhost", "80"], [5, 80], undefined]
            : [["127.0.0.1", 80], 5, "a\0b"];
        for (const address of wrong) {
          const error = thrown(() => stream.connect(address as Address));
          expect(error instanceof TypeError || error instanceof RangeError, String(error)).to.equal(true);
        }
        expect(() => stream.connect(site.address, "callback" as never)).to.throw(TypeError, "callback of connect");
        expect(() => stream.connect(site.address, { hostname: "x" } as never)).to.throw(TypeError, "'hostname'");
        await stream.connect(site.address);
      });

      it("S200 cancelling its Future does not stop it", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        const connecting = stream.connect(site.address);
        connecting.cancel();
        await stream.write("still");
        const peer = await site.accept(test);
        expect(String(await peer.readBytes(5))).to.equal("still");
      });

      it("S126 a close callback set before leaves the stream open and unwatched", async (test) => {
        using site = new Site(name);
        const stream = site.stream(test);
        let closed = 0;
        stream.setCloseCallback(() => closed++);
        await test.turns(5);
        expect([stream.closed(), stream._state]).to.deep.equal([false, undefined]);
        await stream.connect(site.address);
        const peer = await site.accept(test);
        peer.close();
        await test.until(() => closed === 1);
      });
    },
    { kinds: ["tcp", "unix"] },
  );

  eachStream(
    (it) => {
      it("S105 resolves a host name without blocking", async (test) => {
        using site = new Site("tcp");
        const stream = site.stream(test);
        const connecting = stream.connect(["localhost", site.address[1] as number]);
        expect(stream._state).to.equal(undefined);
        const write = stream.write("early");
        const read = stream.readBytes(2);
        await connecting;
        await write;
        const peer = await site.accept(test);
        expect(String(await peer.readBytes(5))).to.equal("early");
        await peer.write("ok");
        expect(String(await read)).to.equal("ok");
      });

      it("S105 a name that nobody has: as other failures", async (test) => {
        using site = new Site("tcp");
        const stream = site.stream(test);
        let closed = 0;
        stream.setCloseCallback(() => closed++);
        const error = (await failure(stream.connect(["does-not-exist.invalid", 80]))) as StreamClosedError;
        expect(error).to.be.instanceOf(StreamClosedError);
        expect(error.realError)
          .to.have.property("code")
          .that.matches(/^(ENOTFOUND|EAI_)/);
        await test.until(() => closed === 1);
      });

      it("S105 close() while resolving: no attempt follows", async (test) => {
        using site = new Site("tcp");
        const stream = site.stream(test);
        const connecting = stream.connect(["localhost", site.address[1] as number]);
        stream.close();
        expect(await failure(connecting)).to.have.property("realError", undefined);
        await test.turns(3);
        expect(site.listener.accept()).to.equal(undefined);
      });

      it("S98 S145 over IPv6, where the machine has it", async function (test) {
        const listener = new Socket(AF_INET6);
        try {
          listener.bind(["::1", 0]);
        } catch {
          // No IPv6 here.
          listener.close();
          return;
        }
        listener.listen();
        const stream = test.track(new IOStream(new Socket(AF_INET6), { ioLoop: test.loop }));
        await stream.connect(["::1", (listener.getsockname() as [string, number])[1]]);
        stream.setNodelay(true);
        listener.close();
      });
    },
    { kinds: ["tcp"] },
  );

  eachStream(
    (it) => {
      it("S107 a socket that was connected before is connected", ({ loop, track }) => {
        const [a, b] = socketpair();
        const stream = track(new IOStream(a, { ioLoop: loop }));
        expect(() => stream.connect("/x")).to.throw(Error, "Already connected");
        b.close();
      });
    },
    { kinds: ["unix"] },
  );
});
