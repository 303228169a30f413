import { expect } from "chai";
import {
  AF_INET,
  AF_UNIX,
  type InetAddress,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLOUT,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_SNDBUF,
  SOCK_DGRAM,
  type Socket,
  SOL_SOCKET,
} from "../../src/platform/index.js";
import { countCalls, injectFault, replaceCall } from "../support/faults.js";
import { expectError, expectSystemError, ready, systemCallsOf, thrown } from "./expectations.js";
import { Fixtures, unusedPort } from "./fixtures.js";

/** Reads all there is. */
function drain(sock: Socket): Buffer {
  const parts: Buffer[] = [];
  for (let part = sock.recv(65536); part !== undefined && part.length > 0; part = sock.recv(65536)) parts.push(part);
  return Buffer.concat(parts);
}

function pattern(length: number, seed = 0): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff));
}

describe("Socket: sending and receiving", () => {
  const fixtures = new Fixtures();
  afterEach(() => {
    fixtures.close();
  });

  it("N16 send into a full connection takes a part, then answers undefined; what was counted is what arrives", () => {
    const [client, server] = fixtures.tcp();
    const data = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    const sent: Buffer[] = [];
    let partial = false;
    for (;;) {
      const count = client.send(data);
      if (count === undefined) break;
      partial ||= count < data.length;
      sent.push(data.subarray(0, count));
    }
    expect(partial).to.equal(true);
    const total = sent.reduce((sum, part) => sum + part.length, 0);
    const received: Buffer[] = [];
    for (let length = 0; length < total;) {
      ready(server);
      const part = drain(server);
      received.push(part);
      length += part.length;
    }
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).to.equal(true);
    expect(server.recv(1)).to.equal(undefined);
  });

  it("N16 nothing to send on a stream is 0 without a system call", () => {
    const [a] = fixtures.pair();
    const made = systemCallsOf(() => {
      expect([a.send(""), a.send(new Uint8Array(0)), a.sendmsg([]), a.sendmsg(["", Buffer.alloc(0)])]).to.deep.equal([0, 0, 0, 0]);
    });
    expect(made).to.deep.equal([]);
  });

  it("N17 send to a closed peer throws EPIPE or ECONNRESET, and no signal is raised", () => {
    const [a, b] = fixtures.pair();
    b.close();
    expectSystemError(() => a.send("x"), { code: "EPIPE", errno: -32, syscall: "send", message: "send EPIPE" });
    expectSystemError(() => a.sendmsg(["x"]), { code: "EPIPE", syscall: "sendmsg" });
    const [client, server] = fixtures.tcp();
    client.send("never read");
    ready(server);
    server.close();
    ready(client);
    expect(thrown(() => client.send("x")))
      .to.have.property("code")
      .that.is.oneOf(["EPIPE", "ECONNRESET"]);
  });

  it("N17 a TCP socket that was never connected: EPIPE", () => {
    expectSystemError(() => fixtures.socket().send("x"), { code: "EPIPE" });
  });

  it("N17 MSG_NOSIGNAL is on every call that sends, beside the caller's flags", () => {
    const [a] = fixtures.pair();
    const udp = fixtures.bound();
    const flags: number[] = [];
    using _send = replaceCall("send", (real) => (fd, buf, length, given) => (flags.push(given), real(fd, buf, length, given)));
    using _sendmsg = replaceCall("sendmsg", (real) => (fd, message, given) => (flags.push(given), real(fd, message, given)));
    using _sendto = replaceCall("sendto", (real) => (fd, buf, length, given, to, size) => {
      flags.push(given);
      return real(fd, buf, length, given, to, size);
    });
    a.send("x");
    a.send("x", 0x40);
    a.sendmsg(["x"], 0x40);
    udp.sendto("x", udp.getsockname(), 0x40);
    expect(flags).to.deep.equal([MSG_NOSIGNAL, MSG_NOSIGNAL | 0x40, MSG_NOSIGNAL | 0x40, MSG_NOSIGNAL | 0x40]);
  });

  it("N18 sendmsg sends its buffers in order with one call", () => {
    const [a, b] = fixtures.pair();
    const whole = Buffer.from("0123456789");
    using counted = countCalls("sendmsg");
    expect(a.sendmsg(["a", whole.subarray(3, 6), "", new Uint8Array([33]), "é"])).to.equal(7);
    expect(counted.calls).to.equal(1);
    expect(b.recv(100)?.toString()).to.equal("a345!é");
    expect(a.writev(["x", "y"])).to.equal(2);
    expect(b.recv(100)?.toString()).to.equal("xy");
    expect(a.sendmsg([])).to.equal(0);
  });

  it("N18 sendmsg may stop inside a buffer and says how many bytes went", () => {
    const [a, b] = fixtures.pair();
    a.setsockopt(SOL_SOCKET, SO_SNDBUF, 4096);
    const parts = [pattern(50_000, 1), pattern(400_000, 2)];
    const sent = a.sendmsg(parts) ?? -1;
    expect(sent).to.be.within(1, 449_999);
    expect(a.sendmsg(parts)).to.equal(undefined);
    expect(drain(b).equals(Buffer.concat(parts).subarray(0, sent))).to.equal(true);
  });

  it("N18 three thousand buffers are legal, the first 1024 are tried", () => {
    const [a, b] = fixtures.pair();
    const parts = Array.from({ length: 3000 }, (_, i) => `${i},`);
    const tried = parts.slice(0, 1024).join("");
    expect(a.sendmsg(parts)).to.equal(tried.length);
    expect(drain(b).toString()).to.equal(tried);
    // A buffer of which nothing is to be sent takes nobody's place.
    expect(a.sendmsg([...Array.from({ length: 2000 }, () => ""), "at last"])).to.equal(7);
  });

  it("N18 buffers are whole while many are sent and memory is being collected", () => {
    const [a, b] = fixtures.pair();
    for (let round = 0; round < 20; round++) {
      const text = `round ${round} `;
      expect(a.sendmsg(Array.from({ length: 500 }, (_, i) => `${text}${i};`))).to.be.greaterThan(0);
      globalThis.gc?.();
      expect(drain(b).toString()).to.equal(Array.from({ length: 500 }, (_, i) => `${text}${i};`).join(""));
    }
  });

  it("N19 recvInto writes only inside the view, at most nbytes", () => {
    const [a, b] = fixtures.pair();
    const memory = Buffer.alloc(12, ".");
    a.send("ABCDEFGH");
    expect(b.recvInto(memory.subarray(2, 5))).to.equal(3);
    expect(memory.toString()).to.equal("..ABC.......");
    expect(b.recvInto(memory.subarray(6), 2)).to.equal(2);
    expect(memory.toString()).to.equal("..ABC.DE....");
    expect(b.recvInto(new Uint8Array(memory.buffer, memory.byteOffset + 9, 3))).to.equal(3);
    expect(memory.toString()).to.equal("..ABC.DE.FGH");
  });

  it("N19 recvInto answers undefined when there is nothing and 0 at end of file", () => {
    const [a, b] = fixtures.pair();
    const memory = Buffer.alloc(4);
    expect(b.recvInto(memory)).to.equal(undefined);
    a.close();
    expect(b.recvInto(memory)).to.equal(0);
    expect(b.recvInto(memory)).to.equal(0);
  });

  it("N19 a target without room, or nbytes outside it, is refused: the answer would look like end of file", () => {
    const [, b] = fixtures.pair();
    const made = systemCallsOf(() => {
      for (const receive of [b.recvInto.bind(b), b.recvfromInto.bind(b)]) {
        expectError(() => receive(Buffer.alloc(0)), RangeError, /0 bytes/);
        for (const nbytes of [0, -1, 5, 1.5, Number.NaN]) expectError(() => receive(Buffer.alloc(4), nbytes), RangeError, /nbytes/);
        expectError(() => receive(Buffer.alloc(4), "1" as never), TypeError, /nbytes "1"/);
        for (const target of [undefined, "text", new ArrayBuffer(4), [1, 2]])
          expectError(() => receive(target as never), TypeError, /Uint8Array/);
      }
    });
    expect(made).to.deep.equal([]);
  });

  it("N20 recv answers a Buffer of its own, exactly as long as what came", () => {
    const [a, b] = fixtures.pair();
    a.send("first");
    const first = b.recv(100);
    a.send("SECOND");
    const second = b.recv(6);
    expect(first).to.be.instanceOf(Buffer);
    expect([first?.toString(), second?.toString()]).to.deep.equal(["first", "SECOND"]);
    expect(b.recv(100)).to.equal(undefined);
    const large = pattern(150_000);
    a.send(large);
    const got = b.recv(1_000_000);
    expect(got?.equals(large.subarray(0, got.length))).to.equal(true);
    expect(got?.length).to.be.greaterThan(65536);
  });

  it("N20 recv(0) is empty, a negative or fractional size a RangeError", () => {
    const [a, b] = fixtures.pair();
    expect(b.recv(0)).to.deep.equal(Buffer.alloc(0));
    a.send("x");
    expect(b.recv(0)).to.deep.equal(Buffer.alloc(0));
    for (const n of [-1, 1.5, Number.NaN, Infinity]) {
      expectError(() => b.recv(n), RangeError, /number of bytes/);
      expectError(() => b.recvfrom(n), RangeError, /number of bytes/);
    }
    expectError(() => b.recv("1" as never), TypeError);
    expect(b.recv(1)?.toString()).to.equal("x");
    a.close();
    expect(b.recv(10)).to.deep.equal(Buffer.alloc(0));
  });

  it("N20 MSG_PEEK leaves the data", () => {
    const [a, b] = fixtures.pair();
    a.send("abc");
    expect(b.recv(2, MSG_PEEK)?.toString()).to.equal("ab");
    const memory = Buffer.alloc(3);
    expect(b.recvInto(memory, undefined, MSG_PEEK)).to.equal(3);
    expect(b.recv(10)?.toString()).to.equal("abc");
  });

  it("N21 sendto and recvfrom carry a datagram and its sender's address", () => {
    const [a, b] = [fixtures.bound(), fixtures.bound()];
    expect(b.recvfrom(10)).to.equal(undefined);
    expect(a.sendto("hello", b.getsockname())).to.equal(5);
    ready(b);
    expect(b.recvfrom(100)).to.deep.equal([Buffer.from("hello"), a.getsockname()]);
    a.sendto(new Uint8Array([1, 2, 3]), b.getsockname());
    ready(b);
    const memory = Buffer.alloc(5);
    expect(b.recvfromInto(memory, 4)).to.deep.equal([3, a.getsockname()]);
    expect([...memory]).to.deep.equal([1, 2, 3, 0, 0]);
    expect(b.recvfromInto(memory)).to.equal(undefined);
  });

  it("N21 an empty datagram is no end of file", () => {
    const [a, b] = [fixtures.bound(), fixtures.bound()];
    expect(a.sendto("", b.getsockname())).to.equal(0);
    ready(b);
    expect(b.recvfrom(100)).to.deep.equal([Buffer.alloc(0), a.getsockname()]);
    a.connect(b.getsockname());
    expect([a.send(""), a.sendmsg([""])]).to.deep.equal([0, 0]);
    ready(b);
    expect([b.recvfrom(9)?.[0].length, b.recvfrom(9)?.[0].length, b.recvfrom(9)]).to.deep.equal([0, 0, undefined]);
  });

  it("N21 a datagram longer than n loses its tail, one longer than UDP has is EMSGSIZE", () => {
    const [a, b] = [fixtures.bound(), fixtures.bound()];
    a.sendto("abcdef", b.getsockname());
    a.sendto("next", b.getsockname());
    a.sendto("abcdef", b.getsockname());
    ready(b);
    expect(b.recvfrom(3)?.[0].toString()).to.equal("abc");
    expect(b.recvfrom(10)?.[0].toString()).to.equal("next");
    expect(b.recvfrom(3, MSG_TRUNC)?.[0].toString()).to.equal("abc");
    const [address, port] = b.getsockname() as InetAddress;
    expectSystemError(() => a.sendto(Buffer.alloc(65_508), b.getsockname()), { code: "EMSGSIZE", syscall: "sendto", address, port });
    expect(a.sendto(Buffer.alloc(65_507), b.getsockname())).to.equal(65_507);
    ready(b);
    expect(b.recv(70_000)?.length).to.equal(65_507);
  });

  it("N21 unix datagrams come with their sender's path", () => {
    const a = fixtures.bound(AF_UNIX, SOCK_DGRAM, fixtures.path("a"));
    const b = fixtures.bound(AF_UNIX, SOCK_DGRAM, fixtures.path("b"));
    a.sendto("x", fixtures.path("b"));
    expect(b.recvfrom(10)).to.deep.equal([Buffer.from("x"), fixtures.path("a")]);
    fixtures.socket(AF_UNIX, SOCK_DGRAM).sendto("y", fixtures.path("b"));
    expect(b.recvfrom(10)?.[1]).to.equal("");
    const path = fixtures.path("c");
    expectSystemError(() => a.sendto("x", path), { code: "ENOENT", path });
    let sent: number | undefined = 0;
    for (let i = 0; i < 10_000 && sent !== undefined; i++) sent = a.sendto("full", fixtures.path("b"));
    expect(sent).to.equal(undefined);
  });

  it("N22 a connected UDP socket sends with send; a closed port is reported once, and it remains usable", () => {
    const a = fixtures.bound();
    const b = fixtures.bound();
    a.connect(b.getsockname());
    a.send("x");
    ready(b);
    expect(b.recv(10)?.toString()).to.equal("x");
    const port = unusedPort(SOCK_DGRAM);
    a.connect(["127.0.0.1", port]);
    a.send("nobody");
    expect(ready(a) & POLLERR).to.equal(POLLERR);
    expectSystemError(() => a.recv(10), { code: "ECONNREFUSED", syscall: "recv" });
    expect(a.recv(10)).to.equal(undefined);
    a.send("nobody");
    ready(a);
    expectSystemError(() => a.send("x"), { code: "ECONNREFUSED", syscall: "send" });
    const late = fixtures.bound(AF_INET, SOCK_DGRAM, ["127.0.0.1", port]);
    a.send("now");
    ready(late);
    expect(late.recv(10)?.toString()).to.equal("now");
  });

  it("N23 after shutdown(SHUT_WR) the peer reads what was sent, then 0, and can still send to us", () => {
    const [client, server] = fixtures.tcp();
    client.send("last words");
    client.shutdown(SHUT_WR);
    client.shutdown(SHUT_WR);
    ready(server);
    expect(server.recv(100)?.toString()).to.equal("last words");
    ready(server);
    expect(server.recv(100)?.length).to.equal(0);
    server.send("answer");
    ready(client);
    expect(client.recv(100)?.toString()).to.equal("answer");
    expectSystemError(() => client.send("x"), { code: "EPIPE" });
    client.shutdown(SHUT_RD);
    expect(client.recv(1)?.length).to.equal(0);
  });

  it("N23 shutdown of an unconnected socket is ENOTCONN, of an unknown kind EINVAL", () => {
    expectSystemError(() => fixtures.socket().shutdown(SHUT_RDWR), { code: "ENOTCONN", syscall: "shutdown" });
    const [a] = fixtures.pair();
    expectSystemError(() => a.shutdown(9), { code: "EINVAL", syscall: "shutdown" });
    expectError(() => a.shutdown("both" as never), TypeError, /how "both"/);
  });

  it("N29 data is a string, which is UTF-8, or a view by its own offset and length", () => {
    const [a, b] = fixtures.pair();
    const memory = Buffer.from("0123456789");
    expect(a.send("zwölf ✓")).to.equal(10);
    expect(b.recv(100)?.toString()).to.equal("zwölf ✓");
    expect(a.send(new Uint8Array(memory.buffer, memory.byteOffset + 2, 3))).to.equal(3);
    expect(a.send(memory.subarray(7))).to.equal(3);
    expect(a.send(new Uint8Array(new SharedArrayBuffer(2)).fill(65))).to.equal(2);
    expect(b.recv(100)?.toString()).to.equal("234789AA");
  });

  it("N29 anything else is a TypeError naming what came, before any system call", () => {
    const [a] = fixtures.pair();
    const udp = fixtures.bound();
    const address = udp.getsockname();
    const made = systemCallsOf(() => {
      const wrong: [unknown, RegExp][] = [
        [5, /data 5/],
        [undefined, /data undefined/],
        [null, /data null/],
        [{}, /data of type Object/],
        [[1], /data of type array/],
        [new ArrayBuffer(2), /data of type ArrayBuffer/],
        [new Uint16Array(2), /data of type Uint16Array/],
      ];
      for (const [data, message] of wrong) {
        expectError(() => a.send(data as never), TypeError, message);
        expectError(() => a.sendmsg(["x", data as never]), TypeError, message);
        expectError(() => udp.sendto(data as never, address), TypeError, message);
      }
      expectError(() => a.sendmsg("x" as never), TypeError, /buffers "x"/);
    });
    expect(made).to.deep.equal([]);
  });

  it("an injected failure comes out as it would from the kernel, at the call it was meant for", () => {
    const [a, b] = fixtures.pair();
    a.send("abc");
    using fault = injectFault("recv", { errno: "ECONNRESET", at: 3, when: (fd: number) => fd === b.fileno() });
    expect([b.recv(1)?.toString(), a.recv(1), b.recv(1)?.toString()]).to.deep.equal(["a", undefined, "b"]);
    expectSystemError(() => b.recv(1), { code: "ECONNRESET", errno: -104, syscall: "recv", message: "recv ECONNRESET" });
    expect(b.recv(1)?.toString()).to.equal("c");
    expect(fault.calls).to.equal(5);
    fault.restore();
    expect(ready(a, POLLOUT)).to.equal(POLLOUT);
  });
});
