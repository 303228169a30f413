import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { expect } from "chai";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  FD_CLOEXEC,
  F_GETFD,
  hasIpv6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  isOpen,
  O_CLOEXEC,
  O_NONBLOCK,
  openDescriptors,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  Socket,
  socket,
  socketpair,
  SOL_SOCKET,
  sys,
  TCP_NODELAY,
} from "../../src/platform/index.js";
import { countCalls, injectFault } from "../support/faults.js";
import { expectError, expectSystemError, identity, ready, systemCallsOf, thrown } from "./expectations.js";
import { Fixtures, portOf } from "./fixtures.js";

/** The flags the kernel has for a descriptor, as open(2) has them. */
function kernelFlags(fd: number): number {
  return Number.parseInt(/^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? "", 8);
}

const BOTH = O_NONBLOCK | O_CLOEXEC;

describe("Socket: opening, options, closing", () => {
  const fixtures = new Fixtures();
  afterEach(() => {
    fixtures.close();
  });

  it("N1 is an IPv4 stream by default, non-blocking and close-on-exec in the kernel", () => {
    const sock = fixtures.socket();
    expect(sock).to.include({ family: 2, type: 1, proto: 0, closed: false });
    expect(sock.fileno()).to.be.at.least(0);
    expect(kernelFlags(sock.fileno()) & BOTH).to.equal(BOTH);
  });

  it("N1 is made by socket() as well, and type loses the NONBLOCK and CLOEXEC bits", () => {
    const sock = fixtures.keep(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC));
    expect(sock).to.include({ family: AF_UNIX, type: SOCK_DGRAM, proto: 0 });
  });

  it("N1 sets both flags in the creating call, of a pair and of an accepted connection too", () => {
    expect(systemCallsOf(() => fixtures.socket())).to.deep.equal(["socket"]);
    const [a, b] = fixtures.pair();
    expect(kernelFlags(a.fileno()) & kernelFlags(b.fileno()) & BOTH).to.equal(BOTH);
  });

  it("N2 adopts a descriptor: asks the kernel what it is and switches both flags on", () => {
    const fd = sys.socket(AF_UNIX, SOCK_DGRAM, 0);
    expect(kernelFlags(fd) & BOTH).to.equal(0);
    const sock = fixtures.keep(new Socket(AF_INET, SOCK_STREAM, 0, { fileno: fd }));
    expect(sock).to.include({ family: AF_UNIX, type: SOCK_DGRAM, proto: 0 });
    expect(sock.fileno()).to.equal(fd);
    expect(kernelFlags(fd) & BOTH).to.equal(BOTH);
  });

  it("N2 reads the protocol from the kernel", () => {
    const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
    expect(fixtures.keep(new Socket(undefined, undefined, undefined, { fileno: fd })).proto).to.equal(IPPROTO_UDP);
  });

  it("N2 refuses a number that is not open and a file, and does not close it", () => {
    expectSystemError(() => new Socket(AF_INET, SOCK_STREAM, 0, { fileno: 99_999 }), { code: "EBADF" });
    const fd = openSync("/dev/null", "r");
    expectSystemError(() => new Socket(AF_INET, SOCK_STREAM, 0, { fileno: fd }), { code: "ENOTSOCK" });
    expect(isOpen(fd)).to.equal(true);
    closeSync(fd);
  });

  it("N2 checks the options before any system call", () => {
    const calls = systemCallsOf(() => {
      const make = (options: unknown) => () => new Socket(2, 1, 0, options as never);
      expectError(make({ fileno: -1 }), RangeError, /descriptor -1/);
      expectError(make({ fileno: 1.5 }), RangeError, /1\.5/);
      expectError(make({ fileno: "3" }), TypeError, /"3"/);
      expectError(make({ fd: 3 }), TypeError, /"fd"/);
      expectError(make(3), TypeError, /options 3/);
    });
    expect(calls).to.deep.equal([]);
  });

  it("N3 an unknown family is EAFNOSUPPORT, an unknown type EINVAL, both of syscall socket", () => {
    const error = expectSystemError(() => new Socket(77), { code: "EAFNOSUPPORT", syscall: "socket" });
    expect(error).to.include({ errno: -97, message: "socket EAFNOSUPPORT" });
    expectSystemError(() => new Socket(AF_INET, 99), { code: "EINVAL", syscall: "socket", errno: -22 });
    expectError(() => new Socket("inet" as never), TypeError, /family "inet"/);
    expectError(() => new Socket(AF_INET, 1.5), RangeError, /type 1\.5/);
  });

  it("N24 setsockopt takes numbers, booleans as 1 and 0, and bytes as they are", () => {
    const sock = fixtures.socket();
    sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, true);
    expect(sock.getsockopt(SOL_SOCKET, SO_REUSEADDR)).to.equal(1);
    sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, false);
    expect(sock.getsockopt(SOL_SOCKET, SO_REUSEADDR)).to.equal(0);
    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    expect(sock.getsockopt(IPPROTO_TCP, TCP_NODELAY)).to.equal(1);
    const linger = Buffer.from([1, 0, 0, 0, 7, 0, 0, 0]);
    sock.setsockopt(SOL_SOCKET, SO_LINGER, linger);
    expect(sock.getsockopt(SOL_SOCKET, SO_LINGER, 8)).to.deep.equal(linger);
    expect(sock.getsockopt(SOL_SOCKET, SO_TYPE, 64)).to.deep.equal(Buffer.from([1, 0, 0, 0]));
  });

  it("N24 a buffer size reads back doubled", () => {
    const sock = fixtures.socket();
    sock.setsockopt(SOL_SOCKET, SO_SNDBUF, 10_000);
    sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 12_000);
    expect([sock.getsockopt(SOL_SOCKET, SO_SNDBUF), sock.getsockopt(SOL_SOCKET, SO_RCVBUF)]).to.deep.equal([20_000, 24_000]);
  });

  it("N24 an unknown option is ENOPROTOOPT, a value of another type a TypeError", () => {
    const sock = fixtures.socket();
    expectSystemError(() => sock.setsockopt(SOL_SOCKET, 9999, 1), { code: "ENOPROTOOPT", syscall: "setsockopt" });
    expectSystemError(() => sock.getsockopt(SOL_SOCKET, 9999), { code: "ENOPROTOOPT", syscall: "getsockopt" });
    for (const value of ["1", undefined, null, [1], 1n]) {
      expectError(() => sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, value as never), TypeError, /option value/);
    }
    expectError(() => sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 0.5), RangeError, /0\.5/);
    expectError(() => sock.getsockopt(SOL_SOCKET, SO_LINGER, 0), RangeError, /length 0/);
  });

  it("N26 close twice is silent; then fileno() is -1 and closed is true", () => {
    const sock = fixtures.socket();
    const fd = sock.fileno();
    const own = identity(fd);
    sock.close();
    sock.close();
    expect(sock.fileno()).to.equal(-1);
    expect(sock.closed).to.equal(true);
    // The number itself may be in use again: Node's threads open files at any time.
    expect(identity(fd)).to.not.equal(own);
  });

  it("N26 every other method of a closed socket throws EBADF without a system call", () => {
    const sock = fixtures.socket();
    sock.close();
    const calls: Record<string, () => unknown> = {
      bind: () => sock.bind(["127.0.0.1", 0]),
      listen: () => sock.listen(),
      accept: () => sock.accept(),
      connect: () => sock.connect(["127.0.0.1", 1]),
      connectEx: () => sock.connectEx(["127.0.0.1", 1]),
      send: () => sock.send("x"),
      sendmsg: () => sock.sendmsg(["x"]),
      writev: () => sock.writev(["x"]),
      sendto: () => sock.sendto("x", ["127.0.0.1", 1]),
      recv: () => sock.recv(1),
      recvInto: () => sock.recvInto(Buffer.alloc(1)),
      recvfrom: () => sock.recvfrom(1),
      recvfromInto: () => sock.recvfromInto(Buffer.alloc(1)),
      shutdown: () => sock.shutdown(2),
      getsockopt: () => sock.getsockopt(SOL_SOCKET, SO_TYPE),
      setsockopt: () => sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1),
      getsockname: () => sock.getsockname(),
      getpeername: () => sock.getpeername(),
      setblocking: () => sock.setblocking(false),
      settimeout: () => sock.settimeout(0),
      gettimeout: () => sock.gettimeout(),
      getblocking: () => sock.getblocking(),
      getInheritable: () => sock.getInheritable(),
      setInheritable: () => sock.setInheritable(false),
      dup: () => sock.dup(),
    };
    const others = ["constructor", "closed", "fileno", "close", "detach", "_open"];
    // Where ioloop/tornado has been loaded, the same methods are there under their other names too.
    expect(Object.keys(calls).sort()).to.deep.equal(
      Object.getOwnPropertyNames(Socket.prototype)
        .filter((name) => !others.includes(name) && !/[a-z]_[a-z]/.test(name))
        .sort(),
    );
    const made = systemCallsOf(() => {
      for (const call of Object.values(calls)) expectSystemError(call, { code: "EBADF", errno: -9 });
      expectSystemError(() => sock.send(""), { code: "EBADF", syscall: "send" });
      expectSystemError(() => sock.recv(0), { code: "EBADF", syscall: "recv" });
    });
    expect(made).to.deep.equal([]);
  });

  it("N26 a stale socket never reaches the one that has its number now", () => {
    // One round does it, unless a thread of Node's takes the number first.
    const attempt = (): [Socket, Socket, Socket] | undefined => {
      const [stale] = fixtures.pair();
      const number = stale.fileno();
      stale.close();
      const [a, b] = fixtures.pair();
      if (a.fileno() === number) return [stale, a, b];
      return b.fileno() === number ? [stale, b, a] : undefined;
    };
    let found = attempt();
    for (let i = 0; i < 20 && found === undefined; i++) found = attempt();
    if (found === undefined) throw new Error("No number was used again");
    const [stale, reused, peer] = found;
    const own = identity(reused.fileno());
    expectSystemError(() => stale.send("for somebody else"), { code: "EBADF" });
    stale.close();
    expect(identity(reused.fileno())).to.equal(own);
    expect(peer.recv(100)).to.equal(undefined);
  });

  it("N27 detach gives the number away, open; a second one answers -1", () => {
    const sock = fixtures.socket();
    const fd = sock.fileno();
    expect(sock.detach()).to.equal(fd);
    expect(sock.detach()).to.equal(-1);
    expect(sock.closed).to.equal(true);
    expect(isOpen(fd)).to.equal(true);
    fixtures.keep(new Socket(0, 0, 0, { fileno: fd }));
  });

  it("N27 dup makes an independent close-on-exec socket on the same connection", () => {
    const [a, b] = fixtures.pair();
    const copy = fixtures.keep(a.dup());
    expect(copy).to.include({ family: a.family, type: a.type, proto: a.proto });
    expect(copy.fileno()).to.not.equal(a.fileno());
    expect(kernelFlags(copy.fileno()) & BOTH).to.equal(BOTH);
    a.close();
    copy.send("through the copy");
    expect(b.recv(100)?.toString()).to.equal("through the copy");
  });

  it("N27 leaving a using block closes", () => {
    let fd: number;
    let own: string | undefined;
    {
      using sock = new Socket();
      fd = sock.fileno();
      own = identity(fd);
      expect(own).to.match(/^socket:/);
    }
    expect(identity(fd)).to.not.equal(own);
  });

  it("N28 blocking mode and time-outs cannot be had, and the error says to use the loop", () => {
    const sock = fixtures.socket();
    sock.setblocking(false);
    sock.settimeout(0);
    expect(sock.gettimeout()).to.equal(0);
    expect(sock.getblocking()).to.equal(false);
    expectError(() => sock.setblocking(true), RangeError, /use the loop/);
    for (const seconds of [1, 0.5, -1, Number.NaN, undefined]) expectError(() => sock.settimeout(seconds), RangeError, /use the loop/);
    expectError(() => sock.settimeout("1" as never), TypeError);
    expect(kernelFlags(sock.fileno()) & O_NONBLOCK).to.equal(O_NONBLOCK);
  });

  it("N30 EINTR is retried inside every call", () => {
    const listener = fixtures.listener();
    const [a, b] = fixtures.pair();
    const [udp, other] = [fixtures.bound(), fixtures.bound()];
    const client = fixtures.socket();
    const receiver = Buffer.alloc(10);
    const steps: [keyof typeof sys, () => unknown, unknown?][] = [
      ["socket", () => fixtures.socket().family, AF_INET],
      ["socketpair", () => fixtures.pair().length, 2],
      ["bind", () => fixtures.socket().bind(["127.0.0.1", 0])],
      ["listen", () => fixtures.bound(AF_INET, SOCK_STREAM).listen()],
      ["connect", () => client.connect(listener.getsockname()), false],
      ["connect", () => fixtures.socket().connectEx(listener.getsockname()), 115],
      ["accept4", () => (ready(listener), fixtures.accepted(listener).family), AF_INET],
      ["send", () => a.send("abc"), 3],
      ["recv", () => b.recv(10)?.toString(), "abc"],
      ["sendmsg", () => a.sendmsg(["d", "e"]), 2],
      ["recv", () => b.recvInto(receiver), 2],
      ["sendto", () => udp.sendto("xyz", other.getsockname()), 3],
      ["recvfrom", () => (ready(other), other.recvfrom(10)?.[0].toString()), "xyz"],
      ["sendto", () => udp.sendto("uvw", other.getsockname()), 3],
      ["recvfrom", () => (ready(other), other.recvfromInto(receiver)?.[0]), 3],
      ["getsockopt", () => a.getsockopt(SOL_SOCKET, SO_TYPE), SOCK_STREAM],
      ["setsockopt", () => a.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)],
      ["getsockname", () => a.getsockname(), ""],
      ["getpeername", () => a.getpeername(), ""],
      ["fcntl", () => a.getInheritable(), false],
      ["fcntl", () => a.setInheritable(false)],
      ["fcntl", () => fixtures.keep(a.dup()).family, AF_UNIX],
      ["shutdown", () => a.shutdown(1)],
    ];
    for (const [name, step, wanted] of steps) {
      using fault = injectFault(name, { errno: "EINTR", times: 3 });
      expect(step(), name).to.deep.equal(wanted);
      expect(fault.injected, name).to.equal(3);
    }
  });

  it("N30 close is not repeated after EINTR: the descriptor is gone either way", () => {
    const sock = fixtures.socket();
    const fd = sock.fileno();
    const own = identity(fd);
    using fault = injectFault("close", { errno: "EINTR", times: Infinity, afterRealCall: true });
    sock.close();
    expect(fault.calls).to.equal(1);
    expect(identity(fd)).to.not.equal(own);
  });

  it("N30 an interrupted connect that goes on in the background counts as in progress, or done", () => {
    const listener = fixtures.listener();
    const client = fixtures.socket();
    {
      using _fault = injectFault("connect", { errno: "EINTR", afterRealCall: true });
      // On loopback the connection is there by the second call, or not yet.
      expect(client.connectEx(listener.getsockname())).to.be.oneOf([0, 115]);
    }
    expect(fixtures.accepted(listener).getpeername()).to.deep.equal(client.getsockname());
    for (const [errno, connected] of [
      ["EALREADY", false],
      ["EISCONN", true],
    ] as const) {
      using _second = injectFault("connect", { errno, at: 1 });
      using _first = injectFault("connect", { errno: "EINTR", at: 1 });
      expect(fixtures.socket().connect(["127.0.0.1", 1])).to.equal(connected);
    }
    // Without an interruption both are the failures they are.
    using _fault = injectFault("connect", { errno: "EALREADY" });
    expectSystemError(() => fixtures.socket().connect(["127.0.0.1", 1]), { code: "EALREADY" });
  });

  it("N31 a program started meanwhile inherits no socket, unless setInheritable(true)", () => {
    const [a, b] = fixtures.pair();
    const dup = fixtures.keep(a.dup());
    const [client, server] = fixtures.tcp();
    const links = [a, b, dup, client, server].map((each) => readlinkSync(`/proc/self/fd/${each.fileno()}`));
    const inherited = (): string => spawnSync("ls", ["-l", "/proc/self/fd"]).stdout.toString();
    for (const link of links) expect(inherited()).to.not.include(link);
    expect(b.getInheritable()).to.equal(false);
    b.setInheritable(true);
    expect(b.getInheritable()).to.equal(true);
    const listing = inherited();
    expect(listing).to.include(links[1]);
    expect(listing).to.not.include(links[0]);
    b.setInheritable(false);
    expect(inherited()).to.not.include(links[1]);
  });

  it("a failed call leaves no descriptor behind", () => {
    const before = openDescriptors();
    thrown(() => new Socket(77));
    thrown(() => socketpair(AF_INET));
    thrown(() => new Socket(AF_INET, 99));
    expect(openDescriptors()).to.deep.equal(before);
  });

  it("hasIpv6 tells whether an IPv6 socket can be made", () => {
    if (hasIpv6) expect(fixtures.socket(AF_INET6).family).to.equal(AF_INET6);
    else expectSystemError(() => new Socket(AF_INET6), { code: "EAFNOSUPPORT" });
  });

  it("socketpair is a unix stream by default and takes family and type", () => {
    const [a, b] = fixtures.pair();
    expect([a.family, a.type, b.family, b.type]).to.deep.equal([AF_UNIX, SOCK_STREAM, AF_UNIX, SOCK_STREAM]);
    const [c, d] = fixtures.pair(AF_UNIX, SOCK_DGRAM);
    c.send("one");
    c.send("two");
    expect([d.recv(10), d.recv(10)].join()).to.equal("one,two");
    expectSystemError(() => socketpair(AF_INET), { code: "ENOTSUP", syscall: "socketpair" });
  });

  it("a hundred thousand pairs leave no descriptor and no memory behind", function () {
    this.timeout(60_000);
    const before = openDescriptors();
    const rounds = (): number => {
      for (let i = 0; i < 20_000; i++) for (const each of socketpair()) each.close();
      globalThis.gc?.();
      return process.memoryUsage().rss;
    };
    // V8 grows its heap by megabytes once or twice; a leak grows it in every stretch, one of 100 bytes a round by 2 MB.
    const sizes = Array.from({ length: 5 }, rounds);
    const growth = sizes.slice(1).map((size, i) => size - (sizes[i] ?? 0));
    expect(Math.min(...growth), growth.join()).to.be.lessThan(1_000_000);
    expect(openDescriptors()).to.deep.equal(before);
  });

  it("the descriptor flags are the kernel's own", () => {
    const sock = fixtures.socket();
    expect(sys.fcntl(sock.fileno(), F_GETFD, 0)).to.equal(FD_CLOEXEC);
    using counted = countCalls("fcntl");
    expect(sock.getInheritable()).to.equal(false);
    expect(counted.calls).to.equal(1);
    expect(portOf(sock)).to.equal(0);
  });
});
