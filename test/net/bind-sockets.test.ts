import { expect } from "chai";
import { chmodSync, existsSync, lstatSync, mkdtempSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AI_NUMERICHOST,
  hasIpv6,
  type InetAddress,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_REUSEADDR,
  SO_REUSEPORT,
  Socket,
  SOL_SOCKET,
  type SystemCalls,
} from "../../src/platform/index.js";
import { bindSockets, bindUnixSocket, DEFAULT_BACKLOG } from "../../src/net/index.js";
import { countCalls, injectFault, replaceCall } from "../support/faults.js";
import { openDescriptors } from "../support/descriptors.js";
import { client, portOf } from "./loop.js";

/** The error that `act` throws. */
function errorOf(act: () => unknown): NodeJS.ErrnoException & { address?: string; port?: number } {
  try {
    act();
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error("It did not throw");
}

function closeAll(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.close();
}

function expectThrowsWithoutLeak(act: () => unknown): NodeJS.ErrnoException & { address?: string; port?: number } {
  const before = openDescriptors().size;
  const error = errorOf(act);
  expect(openDescriptors().size).to.equal(before);
  return error;
}

/** Which address family a `struct sockaddr` is of. */
const familyOfSockaddr = (bytes: Uint8Array): number => (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);

const toInet6: (fd: number, address: Uint8Array) => boolean = (_fd, address) => familyOfSockaddr(address) === AF_INET6;

describe("bindSockets", () => {
  it("N33 gives a listening socket for each family, IPv4 first, all on one port", () => {
    const sockets = bindSockets(0);
    expect(sockets.map((socket) => socket.family)).to.deep.equal(hasIpv6 ? [AF_INET, AF_INET6] : [AF_INET]);
    expect(new Set(sockets.map(portOf)).size).to.equal(1);
    expect(portOf(sockets[0]!)).to.be.greaterThan(0);
    for (const socket of sockets) expect(socket.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)).to.equal(1);
    closeAll(sockets);
  });

  it("N34 takes no address and an empty one for every interface, a literal for one socket", () => {
    for (const address of [undefined, ""]) {
      const sockets = bindSockets(0, address);
      expect(sockets.map((socket) => (socket.getsockname() as InetAddress)[0])).to.deep.equal(hasIpv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"]);
      closeAll(sockets);
    }
    const [only, ...others] = bindSockets(0, "127.0.0.1");
    expect(others).to.deep.equal([]);
    expect((only!.getsockname() as InetAddress)[0]).to.equal("127.0.0.1");
    only!.close();
  });

  it("N34 binds each address of a name once, ordered by family", () => {
    const sockets = bindSockets(0, "localhost");
    const addresses = sockets.map((socket) => (socket.getsockname() as InetAddress)[0]);
    expect(new Set(addresses).size).to.equal(addresses.length);
    expect(addresses[0]).to.equal("127.0.0.1");
    const families = sockets.map((socket) => socket.family);
    expect(families).to.deep.equal(families.toSorted((a, b) => a - b));
    closeAll(sockets);
  });

  it("N34 binds an address once that the name has several times", () => {
    // Without a socket type getaddrinfo answers once for each type.
    using _fault = replaceCall("getaddrinfo", (real) => (host, port, hints, result) => {
      const words = new Int32Array((hints as Uint8Array).slice().buffer);
      words[2] = 0;
      return real(host, port, new Uint8Array(words.buffer), result);
    });
    const sockets = bindSockets(0, "127.0.0.1");
    expect(sockets).to.have.length(1);
    closeAll(sockets);
  });

  it("N34 takes the address from the options as well, but not from both", () => {
    const sockets = bindSockets(0, { address: "127.0.0.1" });
    expect(sockets).to.have.length(1);
    closeAll(sockets);
    expect(errorOf(() => bindSockets(0, "127.0.0.1", { address: "127.0.0.1" }))).to.be.instanceOf(TypeError);
  });

  it("N35 sets SO_REUSEADDR on all, and IPV6_V6ONLY so that both wildcards fit on one port", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    const sockets = bindSockets(0);
    for (const socket of sockets) expect(socket.getsockopt(SOL_SOCKET, SO_REUSEADDR)).to.equal(1);
    expect(sockets[1]!.getsockopt(IPPROTO_IPV6, IPV6_V6ONLY)).to.equal(1);
    closeAll(sockets);
  });

  it("N36 restricts the family", () => {
    const sockets = bindSockets(0, { family: AF_INET });
    expect(sockets.map((socket) => socket.family)).to.deep.equal([AF_INET]);
    closeAll(sockets);
  });

  it("N36 replaces the flags", () => {
    const sockets = bindSockets(0, { family: AF_INET, flags: 0 });
    expect((sockets[0]!.getsockname() as InetAddress)[0]).to.equal("127.0.0.1");
    closeAll(sockets);
    expect(expectThrowsWithoutLeak(() => bindSockets(0, "localhost", { flags: AI_NUMERICHOST })).code).to.equal("ENOTFOUND");
  });

  it("N36 listens with a backlog of 128, or the one given", () => {
    const backlogs: number[] = [];
    using _fault = replaceCall("listen", (real) => (fd, backlog) => {
      backlogs.push(backlog);
      return real(fd, backlog);
    });
    closeAll(bindSockets(0, "127.0.0.1"));
    closeAll(bindSockets(0, "127.0.0.1", { backlog: 7 }));
    expect(backlogs).to.deep.equal([DEFAULT_BACKLOG, 7]);
    expect(DEFAULT_BACKLOG).to.equal(128);
  });

  it("N37 skips a family that the kernel lacks", () => {
    using _fault = injectFault("socket", {
      errno: "EAFNOSUPPORT",
      times: Infinity,
      when: (family: number) => family === AF_INET6,
    });
    const sockets = bindSockets(0);
    expect(sockets.map((socket) => socket.family)).to.deep.equal([AF_INET]);
    closeAll(sockets);
  });

  it("N37 swallows EADDRNOTAVAIL of ::1 for localhost alone", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    using _fault = injectFault("bind", { errno: "EADDRNOTAVAIL", times: Infinity, when: toInet6 });
    const sockets = bindSockets(0, "localhost");
    expect(sockets.map((socket) => socket.family)).to.deep.equal([AF_INET]);
    closeAll(sockets);
    const error = expectThrowsWithoutLeak(() => bindSockets(0, "::1"));
    expect(error).to.include({ code: "EADDRNOTAVAIL", address: "::1" });
    expect(expectThrowsWithoutLeak(() => bindSockets(0)).code).to.equal("EADDRNOTAVAIL");
    // Another name for the same two addresses.
    using _lookup = replaceCall("getaddrinfo", (real) => (_host, port, hints, result) => real(null, port, hints, result));
    expect(expectThrowsWithoutLeak(() => bindSockets(0, "other.example", { flags: 0 }))).to.include({
      code: "EADDRNOTAVAIL",
      address: "::1",
    });
    closeAll(bindSockets(0, "localhost", { flags: 0 }));
  });

  it("N37 throws EADDRNOTAVAIL when nothing at all was bound", () => {
    using _fault = injectFault("socket", { errno: "EAFNOSUPPORT", times: Infinity });
    expect(expectThrowsWithoutLeak(() => bindSockets(0))).to.include({ code: "EADDRNOTAVAIL", syscall: "bind" });
  });

  for (const call of ["bind", "listen", "setsockopt"] as const) {
    it(`N38 closes every socket when ${call} fails for the last`, function () {
      if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
      const perSocket: Record<typeof call, number> = { bind: 2, listen: 2, setsockopt: 3 };
      using fault = injectFault(call, { errno: "EACCES", at: perSocket[call] });
      const error = expectThrowsWithoutLeak(() => bindSockets(0));
      expect(fault.injected).to.equal(1);
      expect(error).to.include({ code: "EACCES", syscall: call });
      if (call !== "setsockopt") {
        expect(error.address).to.equal("::");
        expect(error.port).to.be.greaterThan(0);
      }
    });
  }

  it("N39 chooses another port when the second family's is taken, at most five times", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    {
      using fault = injectFault("bind", { errno: "EADDRINUSE", times: 4, when: toInet6 });
      const sockets = bindSockets(0);
      expect(fault.injected).to.equal(4);
      expect(sockets).to.have.length(2);
      expect(portOf(sockets[0]!)).to.equal(portOf(sockets[1]!));
      closeAll(sockets);
    }
    using fault = injectFault("bind", { errno: "EADDRINUSE", times: Infinity, when: toInet6 });
    expect(expectThrowsWithoutLeak(() => bindSockets(0)).code).to.equal("EADDRINUSE");
    expect(fault.injected).to.equal(5);
  });

  it("N39 does not look for another port in place of one that was asked for", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    const [free] = bindSockets(0, { family: AF_INET });
    const port = portOf(free!);
    free!.close();
    using fault = injectFault("bind", { errno: "EADDRINUSE", times: Infinity, when: toInet6 });
    expect(expectThrowsWithoutLeak(() => bindSockets(port)).code).to.equal("EADDRINUSE");
    expect(fault.injected).to.equal(1);
  });

  it("N40 refuses bad ports before any system call", () => {
    using calls = countCalls("socket");
    for (const port of [-1, 65536, 1.5, NaN])
      expect(
        errorOf(() => bindSockets(port)),
        String(port),
      ).to.be.instanceOf(RangeError);
    for (const port of ["80", undefined, null]) {
      expect(
        errorOf(() => bindSockets(port as unknown as number)),
        String(port),
      ).to.be.instanceOf(TypeError);
    }
    expect(calls.calls).to.equal(0);
  });

  it("N40 tells of an unknown name and of a port in use", () => {
    expect(expectThrowsWithoutLeak(() => bindSockets(0, "no-such-host.invalid")).code).to.equal("ENOTFOUND");
    const sockets = bindSockets(0, "127.0.0.1");
    const port = portOf(sockets[0]!);
    expect(expectThrowsWithoutLeak(() => bindSockets(port, "127.0.0.1"))).to.include({
      code: "EADDRINUSE",
      syscall: "bind",
      address: "127.0.0.1",
      port,
    });
    closeAll(sockets);
  });

  it("N40 refuses other wrong arguments by name", () => {
    expect(errorOf(() => bindSockets(0, 5 as unknown as string)).message).to.equal("address is 5: pass a string");
    expect(errorOf(() => bindSockets(0, { reuseport: true } as object)).message).to.match(/^Unknown option 'reuseport' of bindSockets\(\)/);
    expect(errorOf(() => bindSockets(0, { backlog: -1 }))).to.be.instanceOf(RangeError);
    expect(errorOf(() => bindSockets(0, { reusePort: 1 as unknown as boolean }))).to.be.instanceOf(TypeError);
  });

  it("N41 shares a port between sockets that all set SO_REUSEPORT", () => {
    const options = { address: "127.0.0.1", reusePort: true };
    const first = bindSockets(0, options);
    const port = portOf(first[0]!);
    const second = bindSockets(port, options);
    expect(first[0]!.getsockopt(SOL_SOCKET, SO_REUSEPORT)).to.equal(1);
    // The kernel spreads connections over both by a hash of the addresses: of 64 the one without any would be a wonder.
    const clients = Array.from({ length: 64 }, () => client(port));
    const counts = [first, second].map(([socket]) => {
      let count = 0;
      for (let accepted = socket!.accept(); accepted !== undefined; accepted = socket!.accept(), count++) accepted[0].close();
      return count;
    });
    expect(counts[0]! + counts[1]!).to.equal(64);
    expect(Math.min(...counts)).to.be.greaterThan(0);
    closeAll([...clients, ...first, ...second]);
  });

  it("N41 refuses the second socket when only one of them sets it", () => {
    const first = bindSockets(0, "127.0.0.1");
    const port = portOf(first[0]!);
    expect(errorOf(() => bindSockets(port, "127.0.0.1", { reusePort: true })).code).to.equal("EADDRINUSE");
    closeAll(first);
  });

  it("N41 is a RangeError on a platform without it", () => {
    const platform = Object.getOwnPropertyDescriptor(process, "platform")!;
    Object.defineProperty(process, "platform", { ...platform, value: "win32" });
    try {
      expect(errorOf(() => bindSockets(0, { reusePort: true }))).to.be.instanceOf(RangeError);
    } finally {
      Object.defineProperty(process, "platform", platform);
    }
  });
});

describe("bindUnixSocket", () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ioloop-"));
    path = join(folder, "socket");
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("N42 makes a listening socket whose file has mode 0600, or the one given", () => {
    for (const [socket, mode] of [
      [bindUnixSocket(path), 0o600],
      [bindUnixSocket(`${path}2`, 0o660), 0o660],
      [bindUnixSocket(`${path}3`, { mode: 0o666, backlog: 5 }), 0o666],
    ] as const) {
      expect(socket.family).to.equal(AF_UNIX);
      expect(socket.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)).to.equal(1);
      expect(statSync(socket.getsockname() as string).mode & 0o7777).to.equal(mode);
      socket.close();
    }
  });

  it("N42 sets the mode between bind and listen", () => {
    let mode = 0;
    const listen = (real: SystemCalls["listen"]): SystemCalls["listen"] => {
      return (fd, backlog) => {
        mode = statSync(path).mode & 0o7777;
        return real(fd, backlog);
      };
    };
    using _fault = replaceCall("listen", listen);
    bindUnixSocket(path, 0o640).close();
    expect(mode).to.equal(0o640);
  });

  it("N43 replaces a socket that is there, in use or left behind", () => {
    const first = bindUnixSocket(path);
    const second = bindUnixSocket(path);
    using caller = new Socket(AF_UNIX);
    caller.connect(path);
    const [accepted] = second.accept()!;
    expect(first.accept()).to.equal(undefined);
    for (const socket of [accepted, first, second]) socket.close();
    bindUnixSocket(path).close();
    expect(lstatSync(path).isSocket()).to.equal(true);
  });

  it("N43 leaves any other file alone, a link to a socket too", () => {
    writeFileSync(path, "precious");
    const error = errorOf(() => bindUnixSocket(path));
    expect(error).to.be.instanceOf(RangeError);
    expect(error.message).to.include(path);
    const socket = bindUnixSocket(`${path}2`);
    symlinkSync(`${path}2`, `${path}3`);
    expect(errorOf(() => bindUnixSocket(`${path}3`))).to.be.instanceOf(RangeError);
    expect(readlinkSync(`${path}3`)).to.equal(`${path}2`);
    socket.close();
  });

  it("N43 names the path in a folder that is missing", () => {
    const missing = join(folder, "missing", "socket");
    expect(expectThrowsWithoutLeak(() => bindUnixSocket(missing))).to.include({ code: "ENOENT", path: missing });
  });

  it("N44 makes no file for an abstract name, and touches none", () => {
    const name = `\0ioloop-${process.pid}`;
    const socket = bindUnixSocket(name);
    expect(socket.getsockname()).to.equal(name);
    using caller = new Socket(AF_UNIX);
    caller.connect(name);
    const [accepted] = socket.accept()!;
    accepted.close();
    socket.close();
  });

  it("N44 removes the new file when something fails after bind, and leaves it when the socket closes", () => {
    {
      using _fault = injectFault("listen", { errno: "EINVAL" });
      expect(expectThrowsWithoutLeak(() => bindUnixSocket(path)).code).to.equal("EINVAL");
      expect(existsSync(path)).to.equal(false);
    }
    bindUnixSocket(path).close();
    expect(existsSync(path)).to.equal(true);
  });

  it("N44 keeps the socket file of somebody else when the path cannot be bound", () => {
    const long = join(folder, "x".repeat(110));
    expect(errorOf(() => bindUnixSocket(long)).code).to.equal("ENAMETOOLONG");
    const socket = bindUnixSocket(path);
    expect(errorOf(() => bindUnixSocket(path, -1))).to.be.instanceOf(RangeError);
    expect(existsSync(path)).to.equal(true);
    chmodSync(path, 0o600);
    expect(errorOf(() => bindUnixSocket(""))).to.be.instanceOf(RangeError);
    expect(errorOf(() => bindUnixSocket(5 as unknown as string))).to.be.instanceOf(TypeError);
    socket.close();
  });
});
