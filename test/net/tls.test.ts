import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CancelledError, TimeoutError } from "../../src/concurrent/index.js";
import { IOStream, SSLIOStream } from "../../src/iostream/index.js";
import type { Socket } from "../../src/platform/index.js";
import { bindSockets, OverrideResolver, Resolver, TCPClient, TCPServer, type TCPServerOptions } from "../../src/net/index.js";
import { SSLContext, type SSLOptions, sslOptionsToContext } from "../../src/ssl/index.js";
import { testAuthority, testIdentity } from "../support/certificates.js";
import { openDescriptors } from "../support/descriptors.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { client, onLoop, portOf, until } from "./loop.js";

function serverOptions(): SSLOptions {
  const { cert, key } = testIdentity();
  return { cert, key };
}

function clientOptions(): SSLOptions {
  return { ca: testAuthority().cert };
}

class Hello extends TCPServer implements Disposable {
  readonly streams: IOStream[] = [];
  readonly port: number;

  constructor(options: TCPServerOptions = { sslOptions: serverOptions() }) {
    super(options);
    const [socket] = bindSockets(0, "127.0.0.1");
    this.addSocket(socket!);
    this.port = portOf(socket!);
  }

  override async handleStream(stream: IOStream): Promise<void> {
    this.streams.push(stream);
    // Waits for the handshake; that it fails is the client's test.
    await stream.write("hello\n").catch(() => undefined);
  }

  [Symbol.dispose](): void {
    this.stop();
    for (const stream of this.streams) stream.close();
  }
}

async function rejection(future: PromiseLike<unknown>): Promise<NodeJS.ErrnoException> {
  try {
    await future;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error("It did not reject");
}

/** A resolver for which localhost, the name in the test's certificate, is where the tests' servers are. */
const resolver = (): Resolver => new OverrideResolver(new Resolver(), { localhost: "127.0.0.1", "other.example": "127.0.0.1" });

describe("TCPServer and TCPClient with TLS", () => {
  it("N64 N82 connect, verified, with an SSLIOStream at both ends", async () => {
    await onLoop(async () => {
      using server = new Hello({ sslOptions: serverOptions(), maxBufferSize: 4096, readChunkSize: 1024 });
      const options = { sslOptions: clientOptions(), maxBufferSize: 2048 };
      using stream = await new TCPClient(resolver()).connect("localhost", server.port, options);
      expect(stream).to.be.instanceOf(SSLIOStream);
      expect(stream.maxBufferSize).to.equal(2048);
      expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
      expect(server.streams[0]).to.be.instanceOf(SSLIOStream);
      expect(server.streams[0]).to.include({ maxBufferSize: 4096, readChunkSize: 1024 });
    });
  });

  it("N64 takes a context as it is, and leaves it open", async () => {
    await onLoop(async () => {
      using serverContext = sslOptionsToContext(serverOptions(), true);
      using clientContext = sslOptionsToContext(clientOptions());
      {
        using server = new Hello({ sslOptions: serverContext });
        expect(server.sslOptions).to.equal(serverContext);
        using stream = await new TCPClient(resolver()).connect("localhost", server.port, { sslOptions: clientContext });
        expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
      }
      expect([serverContext.closed, clientContext.closed]).to.deep.equal([false, false]);
    });
  });

  it("N82 checks the name of the host, or the one given, and closes the stream of a handshake that failed", async () => {
    await onLoop(async (loop) => {
      using server = new Hello();
      expectLog("general", "warn", /./, "any");
      const before = openDescriptors().size;
      const failing = new TCPClient(resolver()).connect("other.example", server.port, { sslOptions: clientOptions() });
      expect((await rejection(failing)).code).to.equal("ERR_TLS_CERT_ALTNAME_INVALID");
      await until(loop, () => server.streams.every((stream) => stream.closed()));
      expect(openDescriptors().size).to.equal(before);
      const options = { sslOptions: clientOptions(), serverHostname: "localhost" };
      using stream = await new TCPClient(resolver()).connect("other.example", server.port, options);
      expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
    });
  });

  it("N82 refuses an authority it does not know, unless told to", async () => {
    await onLoop(async () => {
      using server = new Hello();
      expectLog("general", "warn", /./, "any");
      const tls = new TCPClient(resolver());
      const error = await rejection(tls.connect("localhost", server.port, { sslOptions: {} }));
      expect(error.code).to.match(/^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN)/);
      using stream = await tls.connect("localhost", server.port, { sslOptions: { rejectUnauthorized: false } });
      expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
    });
  });

  it("N82 tells of wrong options before it connects", async () => {
    await onLoop(async () => {
      const tls = new TCPClient(resolver());
      using _fault = injectFault("connect", { errno: "EIO", times: Infinity });
      expect((await rejection(tls.connect("localhost", 1, { sslOptions: { caCerts: "/no/such/file" } }))).message).to.include(
        "/no/such/file",
      );
      expect(await rejection(tls.connect("localhost", 1, { sslOptions: { certs: "x" } as object }))).to.be.instanceOf(TypeError);
      expect((await rejection(tls.connect("localhost", 1, { serverHostname: "x" }))).message).to.match(/without sslOptions/);
      expect(await rejection(tls.connect("localhost", 1, { sslOptions: {}, serverHostname: 5 as never }))).to.be.instanceOf(TypeError);
    });
  });

  it("N80 covers the handshake, and closes the stream in it", async () => {
    await onLoop(async (loop) => {
      // Accepts and says nothing.
      const [listener] = bindSockets(0, "127.0.0.1");
      const before = openDescriptors().size;
      const timeouts = loop.statistics().timeouts;
      const options = { sslOptions: clientOptions(), timeout: 0.05 };
      expect(await rejection(new TCPClient(resolver()).connect("localhost", portOf(listener!), options))).to.be.instanceOf(TimeoutError);
      expect(openDescriptors().size).to.equal(before);
      expect(loop.statistics().timeouts).to.equal(timeouts);
      listener!.close();
    });
  });

  it("N83 closes the stream in its handshake when the Future is cancelled", async () => {
    await onLoop(async (loop) => {
      const [listener] = bindSockets(0, "127.0.0.1");
      const before = openDescriptors().size;
      const future = new TCPClient(resolver()).connect("localhost", portOf(listener!), { sslOptions: clientOptions() });
      let accepted: Socket | undefined;
      await until(loop, () => (accepted ??= listener!.accept()?.[0]) !== undefined);
      await until(loop, () => (accepted!.recv(1, 2)?.length ?? 0) > 0); // MSG_PEEK: the ClientHello has come.
      future.cancel();
      accepted!.close();
      expect(openDescriptors().size).to.equal(before);
      expect(await rejection(future)).to.be.instanceOf(CancelledError);
      listener!.close();
    });
  });

  it("N68 closes a connection for which TLS cannot be set up, with a log line unless the peer is gone", async () => {
    await onLoop(async (loop) => {
      const context = sslOptionsToContext(serverOptions(), true);
      using server = new Hello({ sslOptions: context });
      // A context that was closed under the server: no connection can be made with it.
      context.close();
      expectLog("application", "error", /^Error in connection callback[^]*The SSLContext is closed/);
      const caller = new IOStream(client(server.port));
      expect((await caller.readUntilClose()).length).to.equal(0);
      expect(server.streams).to.deep.equal([]);
      void loop;
    });
  });

  for (const code of ["ECONNABORTED", "EINVAL", "ENOTCONN"]) {
    it(`N68 says nothing of a peer that is gone: ${code}`, async () => {
      await onLoop(async () => {
        using server = new Hello();
        // The first thing that is done with a new connection: it is registered.
        using fault = injectFault("epoll_ctl", { errno: code, at: 2, when: (_epfd: number, operation: number) => operation === 1 });
        const caller = new IOStream(client(server.port));
        const end = caller.readUntilClose();
        expect((await end).length).to.equal(0);
        expect(fault.injected).to.equal(1);
        expect(server.streams).to.deep.equal([]);
      });
    });
  }

  describe("N69", () => {
    let folder: string;

    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "ioloop-"));
    });

    afterEach(() => {
      rmSync(folder, { recursive: true, force: true });
    });

    it("N69 wants a certificate, and files that exist, in the constructor", () => {
      makeLoop();
      expect(() => new TCPServer({ sslOptions: {} })).to.throw(RangeError, /missing key "certfile"/);
      const missing = join(folder, "missing.pem");
      expect(() => new TCPServer({ sslOptions: { certfile: missing } })).to.throw(RangeError, `certfile "${missing}" does not exist`);
      const certfile = join(folder, "cert.pem");
      writeFileSync(certfile, testIdentity().cert);
      const options = { certfile, keyfile: missing };
      expect(() => new TCPServer({ sslOptions: options })).to.throw(RangeError, `keyfile "${missing}" does not exist`);
      // N61: what is in the file matters too.
      writeFileSync(join(folder, "broken.pem"), "not a certificate");
      expect(() => new TCPServer({ sslOptions: { certfile: join(folder, "broken.pem") } })).to.throw(/broken\.pem/);
      expect(() => new TCPServer({ sslOptions: 5 as never })).to.throw(TypeError);
      expect(() => new TCPServer({ sslOptions: { cert: "x", certs: "y" } as object })).to.throw(TypeError, /Unknown option 'certs'/);
    });

    it("N69 serves from files", async () => {
      const { cert, key } = testIdentity();
      const certfile = join(folder, "cert.pem");
      const keyfile = join(folder, "key.pem");
      writeFileSync(certfile, cert);
      writeFileSync(keyfile, key);
      await onLoop(async () => {
        using server = new Hello({ sslOptions: { certfile, keyfile } });
        using stream = await new TCPClient(resolver()).connect("localhost", server.port, { sslOptions: clientOptions() });
        expect((await stream.readUntil("\n")).toString()).to.equal("hello\n");
      });
    });

    it("N69 takes a context as it is", () => {
      using context = new SSLContext();
      const server = new TCPServer({ sslOptions: context });
      expect(server.sslOptions).to.equal(context);
    });
  });
});
