import { existsSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { expect } from "chai";
import {
  type Address,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EPOLLOUT,
  hasIpv6,
  type InetAddress,
  SO_BROADCAST,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  type Socket,
  SOL_SOCKET,
} from "../../src/platform/index.js";
import { injectFault, replaceCall } from "../support/faults.js";
import { expectError, expectSystemError, ready, systemCallsOf } from "./expectations.js";
import { Fixtures, portOf, unusedPort } from "./fixtures.js";

/** The `struct sockaddr` that `action` gives to bind(2), which is not made. */
function sockaddrOf(action: () => void): Buffer {
  let bytes = Buffer.alloc(0);
  using _fault = replaceCall("bind", () => (_fd, addr, length) => {
    bytes = Buffer.from(addr.subarray(0, length));
    return 0;
  });
  action();
  return bytes;
}

describe("Socket: addresses and connecting", () => {
  const fixtures = new Fixtures();
  afterEach(() => {
    fixtures.close();
  });

  it("N4 port 0 lets the system choose, and an unbound socket answers the wildcard", () => {
    const sock = fixtures.bound(AF_INET, SOCK_STREAM);
    expect((sock.getsockname() as InetAddress)[0]).to.equal("127.0.0.1");
    expect(portOf(sock)).to.be.within(1, 65535);
    expect(sock.getsockname()).to.have.length(2);
    expect(fixtures.socket().getsockname()).to.deep.equal(["0.0.0.0", 0]);
  });

  it("N5 IPv6 addresses have four fields, two are enough on the way in", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    const sock = fixtures.bound(AF_INET6, SOCK_STREAM, ["::1", 0]);
    expect(sock.getsockname()).to.deep.equal(["::1", portOf(sock), 0, 0]);
    const same = fixtures.bound(AF_INET6, SOCK_STREAM, ["::1", 0, 0, 0]);
    expect(same.getsockname()).to.deep.equal(["::1", portOf(same), 0, 0]);
    sock.listen();
    const client = fixtures.socket(AF_INET6);
    client.connect(sock.getsockname());
    ready(sock);
    const [connection, peer] = sock.accept() ?? [];
    fixtures.keep(connection as Socket);
    expect(peer).to.deep.equal(client.getsockname());
    expect(fixtures.socket(AF_INET6).getsockname()).to.deep.equal(["::", 0, 0, 0]);
  });

  it("N5 a zone is a number or an interface's name in the host, or the fourth field, and comes back as the fourth", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    const sock = fixtures.socket(AF_INET6);
    const named = sockaddrOf(() => sock.bind(["fe80::1%lo", 80]));
    // sin6_family, port in network order, flow information, the address, the scope id in the machine's order.
    expect(named.toString("hex")).to.match(/^0a000050000000000?fe800000000000000000000000000001[0-9a-f]{8}$/);
    const lo = named.readUInt32LE(24);
    expect(lo).to.be.at.least(1);
    expect(sockaddrOf(() => sock.bind([`fe80::1%${lo}`, 80]))).to.deep.equal(named);
    expect(sockaddrOf(() => sock.bind(["fe80::1", 80, 0, lo]))).to.deep.equal(named);
    expect(sockaddrOf(() => sock.bind([`fe80::1%${lo}`, 80, 0, lo]))).to.deep.equal(named);
    expect(
      sockaddrOf(() => sock.bind(["fe80::1", 80, 0xabcde, 2]))
        .subarray(4, 8)
        .toString("hex"),
    ).to.equal("000abcde");
    expectSystemError(() => sock.bind(["fe80::1%no-such-interface", 80]), { code: "ENOTFOUND" });
    expectError(() => sock.bind([`fe80::1%${lo}`, 80, 0, lo + 1]), RangeError, /scope id/);
    using _fault = replaceCall("getsockname", () => (_fd, addr, length) => {
      addr.set(named);
      length[0] = named.length;
      return 0;
    });
    expect(sock.getsockname()).to.deep.equal(["fe80::1", 80, 0, lo]);
  });

  it("N5 a link-local address of this machine can be bound with its zone", function () {
    const found = Object.entries(networkInterfaces())
      .flatMap(([name, list]) => (list ?? []).map((each) => ({ name, ...each })))
      .find((each) => each.family === "IPv6" && each.address.startsWith("fe80:"));
    if (found?.family !== "IPv6") return this.skip(); // this machine has no link-local address
    const { name, address, scopeid } = found;
    const sock = fixtures.bound(AF_INET6, SOCK_STREAM, [`${address}%${name}`, 0]);
    expect(sock.getsockname()).to.deep.equal([address, portOf(sock), 0, scopeid]);
    const second = fixtures.bound(AF_INET6, SOCK_STREAM, [address, 0, 0, scopeid]);
    expect((second.getsockname() as InetAddress)[3]).to.equal(scopeid);
  });

  it("N5 IPv6 text of every form is read, and written as inet_ntop(3) does", function () {
    if (!hasIpv6) this.skip(); // a kernel without IPv6 makes no such socket
    const sock = fixtures.socket(AF_INET6);
    const forms: Record<string, string> = {
      "::": "::",
      "::1": "::1",
      "2001:DB8::1": "2001:db8::1",
      "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
      "1:0:2:3:4:5:6:7": "1:0:2:3:4:5:6:7",
      "1:2:3:4:5:6:0:0": "1:2:3:4:5:6::",
      "0:0:0:1:0:0:0:0": "0:0:0:1::",
      "::ffff:1.2.3.4": "::ffff:1.2.3.4",
      "::ffff:102:304": "::ffff:1.2.3.4",
      "::1.2.3.4": "::1.2.3.4",
      "64:ff9b::1.2.3.4": "64:ff9b::102:304",
      "fe80::": "fe80::",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    for (const [text, canonical] of Object.entries(forms)) {
      const bytes = sockaddrOf(() => sock.bind([text, 1]));
      using _fault = replaceCall("getpeername", () => (_fd, addr, length) => {
        addr.set(bytes);
        length[0] = bytes.length;
        return 0;
      });
      expect(sock.getpeername(), text).to.deep.equal([canonical, 1, 0, 0]);
    }
  });

  it('N6 host "" is the wildcard and "<broadcast>" 255.255.255.255', () => {
    expect((fixtures.bound(AF_INET, SOCK_STREAM, ["", 0]).getsockname() as InetAddress)[0]).to.equal("0.0.0.0");
    if (hasIpv6) expect((fixtures.bound(AF_INET6, SOCK_STREAM, ["", 0]).getsockname() as InetAddress)[0]).to.equal("::");
    const udp = fixtures.socket(AF_INET, SOCK_DGRAM);
    // The kernel refuses a broadcast until the option is set, which shows what the address was.
    expectSystemError(() => udp.sendto("x", ["<broadcast>", 9]), { code: "EACCES", address: "255.255.255.255", port: 9 });
    udp.setsockopt(SOL_SOCKET, SO_BROADCAST, 1);
  });

  it("N6 another name is resolved at once, in the socket's family", () => {
    const listener = fixtures.listener();
    const client = fixtures.socket();
    client.connect(["localhost", portOf(listener)]);
    expect(client.getpeername()).to.deep.equal(listener.getsockname());
    const made = systemCallsOf(() => fixtures.socket().bind(["localhost", 0]));
    expect(made).to.include("getaddrinfo").and.include("freeaddrinfo");
    expect(systemCallsOf(() => fixtures.socket().bind(["127.0.0.1", 0]))).to.deep.equal(["socket", "bind"]);
  });

  it("N6 an unknown name throws ENOTFOUND and the socket stays usable", () => {
    const sock = fixtures.socket();
    {
      using _fault = injectFault("getaddrinfo", { errno: 0, result: -2 });
      expectSystemError(() => sock.bind(["no-such-host.invalid", 0]), {
        code: "ENOTFOUND",
        syscall: "getaddrinfo",
        hostname: "no-such-host.invalid",
        message: "getaddrinfo ENOTFOUND no-such-host.invalid",
      });
    }
    expectSystemError(() => sock.connect(["local\0host", 1]), { code: "ENOTFOUND" });
    sock.bind(["127.0.0.1", 0]);
    expect(portOf(sock)).to.be.at.least(1);
  });

  it("N7 bad addresses are refused before any system call, and the socket is unchanged", () => {
    const inet = fixtures.socket();
    const inet6 = hasIpv6 ? fixtures.socket(AF_INET6) : undefined;
    const unix = fixtures.socket(AF_UNIX);
    const made = systemCallsOf(() => {
      const attempts = (sock: Socket, address: unknown): (() => unknown)[] => [
        () => sock.bind(address as Address),
        () => sock.connect(address as Address),
        () => sock.connectEx(address as Address),
        () => sock.sendto("x", address as Address),
      ];
      const refuses = (sock: Socket, address: unknown, type: new () => Error): void => {
        for (const attempt of attempts(sock, address)) expectError(attempt, type);
      };
      for (const port of [-1, 65536, 1.5, Number.NaN, Infinity]) refuses(inet, ["127.0.0.1", port], RangeError);
      for (const port of ["80", undefined, null, 80n]) refuses(inet, ["127.0.0.1", port], TypeError);
      for (const address of [
        "127.0.0.1",
        "",
        undefined,
        null,
        80,
        {},
        Buffer.from("x"),
        [],
        ["127.0.0.1"],
        [1, 2],
        ["127.0.0.1", 1, 0, 0],
      ]) {
        refuses(inet, address, TypeError);
      }
      for (const address of [["/tmp/x", 0], undefined, null, 5, {}]) refuses(unix, address, TypeError);
      for (const attempt of attempts(inet, ["::1", 80]))
        expectSystemError(attempt, { code: "EAFNOSUPPORT", errno: -97, address: "::1", port: 80 });
      if (inet6 === undefined) return;
      for (const attempt of attempts(inet6, ["127.0.0.1", 80])) expectSystemError(attempt, { code: "EAFNOSUPPORT" });
      for (const attempt of attempts(inet6, ["<broadcast>", 80])) expectSystemError(attempt, { code: "EAFNOSUPPORT" });
      refuses(inet6, ["::1", 80, -1, 0], RangeError);
      refuses(inet6, ["::1", 80, 0x100000, 0], RangeError);
      refuses(inet6, ["::1", 80, 0, 2 ** 32], RangeError);
      refuses(inet6, ["::1", 80, 0, "1"], TypeError);
      refuses(inet6, ["::1", 80, 0, 0, 0], TypeError);
    });
    expect(made).to.deep.equal([]);
    inet.bind(["127.0.0.1", 0]);
    expect(portOf(inet)).to.be.at.least(1);
  });

  it("N7 the messages name the value and what would be right", () => {
    const sock = fixtures.socket();
    expectError(() => sock.bind(["127.0.0.1", 70_000]), RangeError, /^Invalid port 70000: use an integer from 0 to 65535$/);
    expectError(() => sock.bind("127.0.0.1"), TypeError, /"127\.0\.0\.1".*\[host, port\]$/);
    expectError(() => fixtures.socket(AF_UNIX).bind(["a", 1]), TypeError, /array.*path/);
  });

  it('N8 a bound path is returned, every socket without a name answers ""', () => {
    const path = fixtures.path("s");
    const listener = fixtures.listener(AF_UNIX, path);
    expect(listener.getsockname()).to.equal(path);
    expect(statSync(path).isSocket()).to.equal(true);
    const client = fixtures.socket(AF_UNIX);
    expect(client.getsockname()).to.equal("");
    client.connect(path);
    expect(client.getpeername()).to.equal(path);
    const [connection, peer] = listener.accept() ?? [];
    fixtures.keep(connection as Socket);
    expect(peer).to.equal("");
    expect(connection?.getsockname()).to.equal(path);
    for (const each of fixtures.pair()) expect([each.getsockname(), each.getpeername()]).to.deep.equal(["", ""]);
  });

  it("N8 UTF-8 is a string, other bytes come back as a Buffer", () => {
    const utf8 = fixtures.path("grün-✓");
    expect(fixtures.bound(AF_UNIX, SOCK_STREAM, utf8).getsockname()).to.equal(utf8);
    const bytes = Buffer.concat([Buffer.from(fixtures.path("")), Buffer.from([0xff, 0xfe, 0x41])]);
    const name = fixtures.bound(AF_UNIX, SOCK_STREAM, bytes).getsockname();
    expect(name).to.be.instanceOf(Buffer);
    expect(name).to.deep.equal(bytes);
    expectSystemError(() => fixtures.bound(AF_UNIX, SOCK_STREAM, new Uint8Array(bytes)), { code: "EADDRINUSE" });
  });

  it("N9 an abstract name makes no file, and its length counts", () => {
    const name = `\0ioloop-${process.pid}-a`;
    const listener = fixtures.listener(AF_UNIX, name);
    expect(listener.getsockname()).to.equal(name);
    expect(existsSync(name.slice(1))).to.equal(false);
    const longer = fixtures.bound(AF_UNIX, SOCK_STREAM, `${name}\0`);
    expect(longer.getsockname()).to.equal(`${name}\0`);
    const client = fixtures.socket(AF_UNIX);
    expect(client.connect(name)).to.equal(true);
    expect(client.getpeername()).to.equal(name);
    fixtures.accepted(listener);
    expectSystemError(() => fixtures.bound(AF_UNIX, SOCK_STREAM, name), {
      code: "EADDRINUSE",
      path: name,
      message: `bind EADDRINUSE \\0${name.slice(1)}`,
    });
  });

  it('N9 bind("") lets Linux choose an abstract name', () => {
    const sock = fixtures.bound(AF_UNIX, SOCK_STREAM, "");
    expect(sock.getsockname()).to.match(/^\0[0-9a-f]{5}$/);
  });

  it("N10 a path has at most 107 bytes, an abstract name 108 with its NUL", () => {
    const long = (length: number): string => "x".repeat(length);
    const path = (length: number): string => fixtures.path("") + long(length - fixtures.path("").length);
    const fits = fixtures.bound(AF_UNIX, SOCK_STREAM, path(107));
    expect(fits.getsockname()).to.equal(path(107));
    const unix = fixtures.socket(AF_UNIX);
    const made = systemCallsOf(() => {
      const error = expectSystemError(() => unix.bind(path(108)), { code: "ENAMETOOLONG", syscall: "bind", path: path(108) });
      expect(error.message).to.match(/at most 107 bytes, this one 108/);
      expectSystemError(() => unix.connect(`\0${long(108)}`), { code: "ENAMETOOLONG", syscall: "connect" });
      // Bytes count, not characters.
      expectSystemError(() => unix.bind("ü".repeat(54)), { code: "ENAMETOOLONG" });
    });
    expect(made).to.deep.equal([]);
    const abstract = `\0${long(107)}`;
    unix.bind(abstract);
    expect(unix.getsockname()).to.equal(abstract);
  });

  it("N10 a NUL inside a path is a RangeError, an existing file EADDRINUSE with its path", () => {
    const unix = fixtures.socket(AF_UNIX);
    expectError(() => unix.bind("/tmp/a\0b"), RangeError, /NUL/);
    expectError(() => unix.connect(Buffer.from("/tmp/a\0")), RangeError, /NUL/);
    const path = fixtures.path("file");
    writeFileSync(path, "");
    expectSystemError(() => unix.bind(path), { code: "EADDRINUSE", path, message: `bind EADDRINUSE ${path}` });
  });

  it("N11 accept answers undefined when nobody waits, else a socket of the same family and the peer's address", () => {
    const listener = fixtures.listener();
    expect(listener.accept()).to.equal(undefined);
    const client = fixtures.socket();
    client.connect(listener.getsockname());
    ready(listener);
    const [connection, address] = listener.accept() ?? [];
    fixtures.keep(connection as Socket);
    expect(connection).to.include({ family: AF_INET, type: SOCK_STREAM, proto: 0 });
    expect(address).to.deep.equal(client.getsockname());
    // Non-blocking: it would hang here. Close-on-exec: N31.
    expect(connection?.recv(1)).to.equal(undefined);
    expect(connection?.getInheritable()).to.equal(false);
    expect(listener.accept()).to.equal(undefined);
  });

  it("N11 accept on a socket that does not listen is EINVAL", () => {
    expectSystemError(() => fixtures.socket().accept(), { code: "EINVAL", syscall: "accept" });
  });

  it("N12 a TCP connect goes on in the background, then WRITE is ready and SO_ERROR is 0", () => {
    const listener = fixtures.listener();
    const client = fixtures.socket();
    expect(client.connect(listener.getsockname())).to.equal(false);
    expect(ready(client, EPOLLOUT)).to.equal(EPOLLOUT);
    expect(client.getsockopt(SOL_SOCKET, SO_ERROR)).to.equal(0);
    fixtures.accepted(listener);
  });

  it("N12 a connect to a listening unix socket is done at once", () => {
    const listener = fixtures.listener(AF_UNIX, fixtures.path("s"));
    expect(fixtures.socket(AF_UNIX).connect(fixtures.path("s"))).to.equal(true);
    fixtures.accepted(listener);
  });

  it("N13 a refused connect makes the socket ready, and SO_ERROR tells it once", () => {
    const client = fixtures.socket();
    expect(client.connect(["127.0.0.1", unusedPort()])).to.equal(false);
    expect(ready(client, EPOLLOUT) & EPOLLOUT).to.equal(EPOLLOUT);
    expect(client.getsockopt(SOL_SOCKET, SO_ERROR)).to.equal(111);
    expect(client.getsockopt(SOL_SOCKET, SO_ERROR)).to.equal(0);
  });

  it("N14 connect errors carry the address and port, or the path", () => {
    const [client] = fixtures.tcp();
    const [address, port] = client.getpeername() as InetAddress;
    // Linux answers the first connect after one in the background has succeeded with 0, and only from then on EISCONN.
    expect(client.connect([address, port])).to.equal(true);
    expectSystemError(() => client.connect([address, port]), {
      code: "EISCONN",
      syscall: "connect",
      address,
      port,
      message: `connect EISCONN ${address}:${port}`,
    });
    const path = fixtures.path("nothing");
    expectSystemError(() => fixtures.socket(AF_UNIX).connect(path), { code: "ENOENT", errno: -2, path, message: `connect ENOENT ${path}` });
    fixtures.bound(AF_UNIX, SOCK_STREAM, path);
    expectSystemError(() => fixtures.socket(AF_UNIX).connect(path), { code: "ECONNREFUSED", path });
    using _fault = injectFault("connect", { errno: "ENETUNREACH" });
    expectSystemError(() => fixtures.socket().connect(["127.0.0.1", 80]), {
      code: "ENETUNREACH",
      message: "connect ENETUNREACH 127.0.0.1:80",
    });
  });

  it("N14 EAGAIN is thrown when a unix listener's queue is full: nothing is in progress", () => {
    const path = fixtures.path("full");
    const listener = fixtures.listener(AF_UNIX, path, 0);
    const clients = Array.from({ length: 3 }, () => fixtures.socket(AF_UNIX));
    expect(clients[0]?.connect(path)).to.equal(true);
    expectSystemError(() => clients[1]?.connect(path), { code: "EAGAIN", path });
    fixtures.accepted(listener);
    expect(clients[1]?.connect(path)).to.equal(true);
    fixtures.accepted(listener);
  });

  it("N15 connectEx answers 0 or the errno for what connect returns or throws; wrong arguments still throw", () => {
    const listener = fixtures.listener();
    const client = fixtures.socket();
    expect(client.connectEx(listener.getsockname())).to.equal(115);
    fixtures.accepted(listener);
    expect(client.connectEx(listener.getsockname())).to.equal(0);
    expect(client.connectEx(listener.getsockname())).to.equal(106);
    const path = fixtures.path("s");
    expect(fixtures.socket(AF_UNIX).connectEx(path)).to.equal(2);
    const bound = fixtures.bound(AF_UNIX, SOCK_SEQPACKET, path);
    expect(fixtures.socket(AF_UNIX, SOCK_SEQPACKET).connectEx(path)).to.equal(111);
    bound.listen();
    expect(fixtures.socket(AF_UNIX, SOCK_SEQPACKET).connectEx(path)).to.equal(0);
    fixtures.accepted(bound);
    expectError(() => client.connectEx(["127.0.0.1", -1]), RangeError);
    expectError(() => client.connectEx("x"), TypeError);
  });

  it("N25 getpeername of an unconnected socket is ENOTCONN", () => {
    expectSystemError(() => fixtures.socket().getpeername(), { code: "ENOTCONN", errno: -107, syscall: "getpeername" });
    expectSystemError(() => fixtures.socket(AF_UNIX).getpeername(), { code: "ENOTCONN" });
  });

  it("listen refuses a backlog that is none", () => {
    const sock = fixtures.bound(AF_INET, SOCK_STREAM);
    expectError(() => sock.listen(-1), RangeError, /backlog -1/);
    expectError(() => sock.listen("5" as never), TypeError, /backlog "5"/);
  });
});
