/** Long writes of streams over TLS: four records with one system call, and counted only when the kernel has them. */
import { expect } from "chai";
import sinon from "sinon";
import { SSLIOStream } from "../../src/iostream/index.js";
import { IPPROTO_TCP, Socket, SO_LINGER, SOL_SOCKET, TCP_NODELAY } from "../../src/platform/index.js";
import { nativeTlsObjects, type SSLSocket } from "../../src/ssl/index.js";
import { openssl } from "../../src/ssl/openssl.js";
import { tcpSockets, thrown, tlsSockets } from "../iostream/kinds.js";
import { clientOptions, serverOptions } from "../iostream/tls-streams.js";
import { makeLoop } from "../support/loop.js";

const CHUNK = 65536;

/** Bytes of which no two places near each other look alike, from `start` on. */
function pattern(start: number, size = CHUNK): Buffer {
  const words = new Uint32Array(size / 4);
  for (let i = 0; i < words.length; i++) words[i] = start + i * 4;
  return Buffer.from(words.buffer);
}

/** A connection whose client writes as a stream's does. */
function sockets(): { server: SSLSocket; client: SSLSocket } {
  const [server, client] = tlsSockets();
  client._inBatches = true;
  // Nagle's algorithm would hold what follows a long write back.
  client.setsockopt(IPPROTO_TCP, TCP_NODELAY, true);
  return { server, client };
}

/** Writes until the kernel takes no more: how many bytes were counted. The write that begins there is under way. */
function fill(client: SSLSocket): number {
  for (let sent = 0; ;) {
    const count = client.send(pattern(sent));
    if (count === undefined) return sent;
    expect(count).to.equal(CHUNK);
    sent += count;
  }
}

/** Receives what there is, and checks that it is the pattern from `start` on: how far it goes. */
function drain(server: SSLSocket, start = 0): number {
  let at = start;
  const memory = Buffer.alloc(16384);
  for (;;) {
    const count = server.recvInto(memory);
    if (count === undefined || count === 0) return at;
    const from = at - (at % 4);
    const expected = pattern(from, 16384 + 4).subarray(at - from, at - from + count);
    if (!expected.equals(memory.subarray(0, count))) throw new Error(`Other bytes than were sent, between ${at} and ${at + count}`);
    at += count;
  }
}

/** Receives what there is. */
function drainAll(server: SSLSocket): void {
  for (const memory = Buffer.alloc(16384); server.recvInto(memory) !== undefined;);
}

describe("long writes over TLS", () => {
  it("S89 streams write so, over any socket", async () => {
    const loop = makeLoop();
    await loop.runSync(async () => {
      const [one, two] = tlsSockets();
      const [a, b] = tcpSockets();
      const streams = [
        new SSLIOStream(one),
        new SSLIOStream(two),
        new SSLIOStream(a, { serverSide: true, sslOptions: serverOptions() }),
        new SSLIOStream(b, { serverHostname: "localhost", sslOptions: clientOptions() }),
      ];
      await Promise.all(streams.map((each) => each.waitForHandshake()));
      const write = sinon.spy(openssl(), "SSL_write");
      for (const stream of streams) await stream.write(pattern(0));
      expect(write.callCount).to.equal(streams.length);
      for (const stream of streams) stream.close();
    });
  });

  it("S89 four records go with one system call", () => {
    const { server, client } = sockets();
    const write = sinon.spy(openssl(), "SSL_write");
    expect(client.send(pattern(0))).to.equal(CHUNK);
    expect(write.callCount).to.equal(1);
    // With a system call for each record the kernel would have four segments, of which one call gives the first ones.
    const encrypted = Socket.prototype.recv.call(server, 100_000);
    expect(encrypted?.length)
      .to.be.greaterThan(CHUNK)
      .and.to.be.lessThan(CHUNK + 200);
    for (const each of [server, client]) each.close();
  });

  it("S89 a short write after a long one, and one that is no stream's, take at most a record each and stay in order", () => {
    const { server, client } = sockets();
    expect(client.send(pattern(0))).to.equal(CHUNK);
    expect(client.send(pattern(CHUNK, 1000))).to.equal(1000);
    client._inBatches = false;
    expect(client.send(pattern(CHUNK + 1000, 40_000))).to.equal(16384);
    expect(drain(server)).to.equal(CHUNK + 1000 + 16384);
    for (const each of [server, client]) each.close();
  });

  it("S97 bytes that are encrypted and not in the kernel are not counted", () => {
    const { server, client } = sockets();
    const sent = fill(client);
    const got = drain(server);
    expect(got)
      .to.be.at.least(sent)
      .and.to.be.lessThan(sent + CHUNK);
    // There is room now, but what is cut off in its middle gets no close_notify, which would say that this is all.
    client.close();
    expect(thrown(() => drain(server, got))).to.include({ code: "ERR_SSL_UNEXPECTED_EOF_WHILE_READING" });
    server.close();
  });

  it("S92 the call that is repeated goes on where it was, and counts what it is given", () => {
    const { server, client } = sockets();
    const sent = fill(client);
    expect(client.send(pattern(sent))).to.equal(undefined);
    const got = drain(server);
    expect(got)
      .to.be.greaterThan(sent - 1)
      .and.to.be.lessThan(sent + CHUNK);
    // Fewer bytes than before: the rest is counted when it comes.
    const again = pattern(sent);
    expect(client.send(again.subarray(0, 1000))).to.equal(1000);
    expect(client.send(again.subarray(1000))).to.equal(CHUNK - 1000);
    expect(client.send(pattern(sent + CHUNK))).to.equal(CHUNK);
    expect(drain(server, got)).to.equal(sent + 2 * CHUNK);
    for (const each of [server, client]) each.close();
  });

  it("S89 a connection reads while its own write is under way", () => {
    const { server, client } = sockets();
    const sent = fill(client);
    server.send("meanwhile");
    expect(String(client.recv(100))).to.equal("meanwhile");
    const got = drain(server);
    expect(client.send(pattern(sent))).to.equal(CHUNK);
    expect(drain(server, got)).to.equal(sent + CHUNK);
    for (const each of [server, client]) each.close();
  });

  it("S89 records that need more room than expected are sent all the same", () => {
    const library = openssl();
    const control = library.BIO_int_ctrl;
    sinon.stub(library, "BIO_int_ctrl").callsFake((bio, command, _size, which) => control(bio, command, 20_000, which));
    const { server, client } = sockets();
    let [sent, got] = [0, 0];
    for (let blocked = 0; blocked < 5;) {
      const count = client.send(pattern(sent));
      if (count === undefined) {
        blocked++;
        got = drain(server, got);
      } else sent += count;
    }
    expect(client.send(pattern(sent))).to.equal(CHUNK);
    expect(drain(server, got)).to.equal(sent + CHUNK);
    for (const each of [server, client]) each.close();
  });

  it("S93 a reset while a write is under way fails it with the system's error, and all that follow", () => {
    const { server, client } = sockets();
    fill(client);
    server.setsockopt(SOL_SOCKET, SO_LINGER, Buffer.from(new Int32Array([1, 0]).buffer));
    server.close();
    const error = thrown(() => client.send(pattern(0)));
    expect(error).to.include({ code: "ECONNRESET", syscall: "write" });
    expect(thrown(() => client.send("x"))).to.equal(error);
    client.close();
  });

  it("S186 one buffer serves all connections whose writes are through; those under way have their own; none outlives the last", () => {
    const buffers = (): number => nativeTlsObjects().others;
    const [one, two, three] = [sockets(), sockets(), sockets()];
    for (const { client } of [one, two, three]) client.send(pattern(0, 16384));
    expect(buffers()).to.equal(0);
    for (const { client } of [one, two, three, one]) client.send(pattern(0));
    expect(buffers()).to.equal(1);
    fill(one.client);
    fill(two.client);
    expect(buffers()).to.equal(2);
    three.client.send(pattern(0));
    expect(buffers()).to.equal(3);
    drainAll(one.server);
    expect(one.client.send(pattern(0))).to.equal(CHUNK);
    drainAll(two.server);
    expect(two.client.send(pattern(0))).to.equal(CHUNK);
    expect(buffers()).to.equal(1);
    for (const { server, client } of [one, two]) {
      client.close();
      server.close();
    }
    expect(buffers()).to.equal(1);
    // Detached, the descriptor is the caller's.
    fill(three.client);
    new Socket(undefined, undefined, undefined, { fileno: three.client.detach() }).close();
    expect(buffers()).to.equal(0);
    three.server.close();
  });
});
