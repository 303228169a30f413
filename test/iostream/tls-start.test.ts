/** S157-S161: `startTls`. */
import { expect } from "chai";
import { IOStream, SSLIOStream, type StreamClosedError } from "../../src/iostream/index.js";
import { Socket } from "../../src/platform/index.js";
import { nativeTlsObjects } from "../../src/ssl/index.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, listenTcp, sendRaw, thrown } from "./kinds.js";
import { accepted, clearPair, clientOptions, serverOptions } from "./tls-streams.js";

describe("startTls", () => {
  eachStream(
    (it) => {
      it("S157 throws on a stream that is not idle, which is unharmed", async (test) => {
        const cases: [string, (stream: IOStream, other: IOStream) => Promise<void> | void][] = [
          ["it is closed", (stream) => stream.close()],
          ["a read waits", (stream) => void stream.readBytes(1)],
          ["a read waits", (stream) => stream.readBytes(1, () => undefined)],
          ["a write waits", (stream) => void stream.write(Buffer.alloc(20_000_000))],
          ["a callback waits", (stream) => stream.write("x", () => undefined)],
          [
            "3 bytes are received and not read",
            async (stream, other) => {
              await other.write("abcd");
              await stream.readBytes(1);
            },
          ],
          ["a Duplex or web stream", (stream) => void stream.toDuplex()],
        ];
        for (const [message, prepare] of cases) {
          const { server, client } = clearPair(test);
          await prepare(server, client);
          const objects = nativeTlsObjects();
          expect(() => server.startTls(true, { sslOptions: serverOptions() })).to.throw(RangeError, `The stream is not idle, ${message}`);
          expect(nativeTlsObjects()).to.deep.equal(objects);
          if (server.closed()) continue;
          expect(server.fileno()).to.be.greaterThan(0);
          const written = server.writing() ? 20_000_000 : 0;
          const sent = server.write("still here");
          expect(String((await client.readBytes(written + (message === "a callback waits" ? 11 : 10))).subarray(-10))).to.equal(
            "still here",
          );
          await sent;
        }
        const stream = test.track(new IOStream(new Socket(), { ioLoop: test.loop }));
        const [listener, port] = listenTcp();
        const connecting = stream.connect(["127.0.0.1", port]);
        expect(() => stream.startTls(false)).to.throw(RangeError, "it is connecting");
        await connecting;
        listener.close();
      });

      it("S157 right after connect is fine, and what is unread in the kernel is TLS input", async (test) => {
        const client = test.track(new IOStream(new Socket(), { ioLoop: test.loop }));
        const [listener, port] = listenTcp();
        await client.connect(["127.0.0.1", port]);
        const server = test.track(new IOStream(accepted(listener), { ioLoop: test.loop }));
        listener.close();
        const clientTls = client.startTls(false, { sslOptions: clientOptions(), serverHostname: "localhost" });
        // The ClientHello is there before the server begins.
        await test.turns(5);
        const secure = await server.startTls(true, { sslOptions: serverOptions() });
        const other = await clientTls;
        for (const stream of [secure, other]) test.track(stream);
        await other.write("x");
        expect(String(await secure.readBytes(1))).to.equal("x");
      });

      it("S158 an SMTP dialogue in clear text, STARTTLS on both ends, and a dialogue over TLS", async (test) => {
        const { server, client } = clearPair(test);
        const fds = [server.fileno(), client.fileno()];
        const serve = async (): Promise<SSLIOStream> => {
          await server.write("220 mail.example.com ESMTP\r\n");
          expect(String(await server.readUntil("\r\n"))).to.equal("EHLO client\r\n");
          await server.write("250-mail.example.com\r\n250 STARTTLS\r\n");
          expect(String(await server.readUntil("\r\n"))).to.equal("STARTTLS\r\n");
          await server.write("220 Go ahead\r\n");
          const secure = await server.startTls(true, { sslOptions: serverOptions() });
          expect(String(await secure.readUntil("\r\n"))).to.equal("EHLO client\r\n");
          await secure.write("250 mail.example.com\r\n");
          return secure;
        };
        const use = async (): Promise<SSLIOStream> => {
          await client.readUntil("\r\n");
          await client.write("EHLO client\r\n");
          await client.readUntil("250 STARTTLS\r\n");
          await client.write("STARTTLS\r\n");
          expect(String(await client.readUntil("\r\n"))).to.equal("220 Go ahead\r\n");
          const secure = await client.startTls(false, { sslOptions: clientOptions(), serverHostname: "localhost" });
          await secure.write("EHLO client\r\n");
          expect(String(await secure.readUntil("\r\n"))).to.equal("250 mail.example.com\r\n");
          return secure;
        };
        const ends = await Promise.all([serve(), use()]);
        for (const stream of ends) test.track(stream);
        expect(ends.map((each) => [each instanceof SSLIOStream, each.fileno()])).to.deep.equal(fds.map((fd) => [true, fd]));
      });

      it("S159 S162 a failure is the TLS error itself, not wrapped", async (test) => {
        const { server, client } = clearPair(test);
        const [ours, theirs] = [
          client.startTls(false, { serverHostname: "localhost" }),
          server.startTls(true, { sslOptions: serverOptions() }),
        ];
        expect(await failure(ours)).to.include({ name: "SSLError", code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" });
        expect(await failure(theirs)).to.include({ name: "SSLError", code: "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA" });
        expectLog("general", "warn", /^SSL Error on/, 2);
      });

      it("S159 S172 or the system error; StreamClosedError when there is none", async (test) => {
        const first = clearPair(test);
        const starting = first.server.startTls(true, { sslOptions: serverOptions() });
        first.client.close();
        expect(await failure(starting)).to.include({ code: "ECONNRESET", syscall: "handshake" });
        const second = clearPair(test);
        let secure: SSLIOStream | undefined;
        const closing = second.server.startTls(true, { sslOptions: serverOptions() });
        test.loop._handlers.forEach(({ fd }) => {
          if (fd instanceof SSLIOStream) secure = fd;
        });
        secure?.close();
        const error = (await failure(closing)) as StreamClosedError;
        expect([error.name, error.realError]).to.deep.equal(["StreamClosedError", undefined]);
      });

      it("S160 limits and the close callback move over; the callback runs once, after the Future has failed", async (test) => {
        const limits = { maxBufferSize: 5000, readChunkSize: 200, maxWriteBufferSize: 70_000 };
        const { server, client } = clearPair(test, limits);
        const order: string[] = [];
        server.setCloseCallback(() => order.push("closed"));
        const starting = server.startTls(true, { sslOptions: serverOptions() });
        starting.then(undefined, () => order.push("failed"));
        sendRaw(client, "this is no TLS\r\n\r\n");
        await failure(starting);
        await test.until(() => order.length > 1);
        await test.turns(3);
        expect(order).to.deep.equal(["failed", "closed"]);
        expectLog("general", "warn", /^SSL Error on/);
        const good = clearPair(test, limits);
        const [secure, other] = await Promise.all([
          good.server.startTls(true, { sslOptions: serverOptions() }),
          good.client.startTls(false, { sslOptions: clientOptions(), serverHostname: "localhost" }),
        ]);
        test.track(other);
        const { maxBufferSize, readChunkSize, maxWriteBufferSize } = test.track(secure);
        expect({ maxBufferSize, readChunkSize, maxWriteBufferSize }).to.deep.equal(limits);
      });

      it("S160 another close callback on the new stream leaves the Future alone", async (test) => {
        const { server, client } = clearPair(test);
        const starting = server.startTls(true, { sslOptions: serverOptions() });
        const seen: string[] = [];
        test.loop._handlers.forEach(({ fd }) => {
          if (fd instanceof SSLIOStream) fd.setCloseCallback(() => seen.push("mine"));
        });
        client.close();
        expect(await failure(starting)).to.include({ code: "ECONNRESET" });
        await test.until(() => seen.length > 0);
      });

      it("S161 the old object only throws, and its close leaves the descriptor alone", async (test) => {
        const { server, client } = clearPair(test);
        const both = [
          server.startTls(true, { sslOptions: serverOptions() }),
          client.startTls(false, { sslOptions: clientOptions(), serverHostname: "localhost" }),
        ];
        const calls: (() => unknown)[] = [
          () => server.readBytes(1),
          () => server.readInto(Buffer.alloc(1)),
          () => server.readUntil("x"),
          () => server.readUntilRegex(/x/),
          () => server.readUntilClose(),
          () => server.write("x"),
          () => server.connect(["127.0.0.1", 1]),
          () => server.startTls(true),
        ];
        for (const call of calls) expect(thrown(call).message).to.match(/^\w+\(\) on a stream that startTls\(\) has converted/);
        server.close();
        expect(server.fileno()).to.equal(-1);
        const [secure, other] = await Promise.all(both);
        for (const each of [secure, other]) test.track(each as SSLIOStream);
        await secure?.write("alive");
        expect(String(await other?.readBytes(5))).to.equal("alive");
        expect(() => secure?.startTls(true)).to.throw(Error, "speaks TLS already");
      });

      it("S167 S157 wrong arguments throw at once, and the stream is unharmed", async (test) => {
        const { server, client } = clearPair(test);
        const objects = nativeTlsObjects();
        expect(() => client.startTls(false)).to.throw(RangeError, "no serverHostname is given");
        expect(() => client.startTls(false, { sslOptions: clientOptions() })).to.throw(RangeError, "no serverHostname is given");
        expect(() => client.startTls(true, { serverHostname: "x" })).to.throw(RangeError, "on the server side");
        expect(() => client.startTls("no" as never)).to.throw(TypeError, "serverSide is 'no'");
        expect(() => client.startTls(false, { sslOptions: "x" as never })).to.throw(TypeError, "sslOptions is 'x'");
        expect(() => client.startTls(false, { serverHostName: "x" } as never)).to.throw(TypeError, "Unknown option 'serverHostName'");
        expect(() => client.startTls(false, { sslOptions: { cert: "x" } })).to.throw(Error, "no certificate in cert");
        expect(nativeTlsObjects()).to.deep.equal(objects);
        await client.write("plain");
        expect(String(await server.readBytes(5))).to.equal("plain");
      });
    },
    { kinds: ["tcp"] },
  );
});
