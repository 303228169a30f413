/**
 * A mail server that accepts everything and prints it, with STARTTLS (RFC 3207): the dialogue begins in clear text and goes on over TLS when the client
 * asks for it. For programs that send mail, while they are being written.
 *
 *     npm start -- examples/starttls-mail-sink.ts server.pem server.key [port]
 *
 * Try it with `curl --ssl-reqd --cacert authority.pem --mail-from a@b --mail-rcpt c@d -T mail.txt smtp://localhost:2525`.
 */
import { IOLoop, IOStream, Socket, sslOptionsToContext, StreamClosedError } from "ioloop";

const [certfile = "server.pem", keyfile = "server.key", port = "2525"] = process.argv.slice(2);
const sslOptions = sslOptionsToContext({ certfile, keyfile }, true);

/** A dialogue: it moves to another stream in the middle. */
async function receive(clear: IOStream): Promise<void> {
  let stream = clear;
  let secure = false;
  const say = async (...lines: string[]): Promise<void> => {
    const last = lines.length - 1;
    await stream.write(lines.map((line, i) => `${line.slice(0, 3)}${i < last ? "-" : " "}${line.slice(4)}\r\n`).join(""));
  };
  await say("220 mail sink ESMTP");
  for (;;) {
    const line = String(await stream.readUntil("\r\n", { maxBytes: 1000 })).trim();
    switch (line.split(/[ :]/)[0]?.toUpperCase()) {
      case "EHLO":
        await (secure ? say("250 mail sink") : say("250 mail sink", "250 STARTTLS"));
        break;
      case "STARTTLS":
        if (secure) {
          await say("503 Over TLS already");
          break;
        }
        await say("220 Go ahead");
        // What a client sends before its handshake would be read as TLS, and fail it: nothing can be smuggled in (CVE-2011-0411).
        stream = await stream.startTls(true, { sslOptions });
        secure = true;
        break;
      case "DATA": {
        await say("354 End with a line that has only a dot");
        const mail = String(await stream.readUntil("\r\n.\r\n", { maxBytes: 10_000_000 })).slice(0, -5);
        console.log(`--- ${mail.length} bytes ${secure ? "over TLS" : "in clear text"}\n${mail}`);
        await say("250 Accepted");
        break;
      }
      case "QUIT":
        await say("221 Goodbye");
        stream.close();
        return;
      default:
        await say("250 OK");
    }
  }
}

const listener = new Socket();
listener.bind(["127.0.0.1", Number(port)]);
listener.listen();

IOLoop.current().addHandler(
  listener,
  () => {
    for (let pending = listener.accept(); pending !== undefined; pending = listener.accept()) {
      const stream = new IOStream(pending[0]);
      receive(stream).catch((error: unknown) => {
        if (!(error instanceof StreamClosedError)) console.log(`dialogue ended: ${(error as Error).message}`);
        stream.close();
      });
    }
  },
  IOLoop.READ,
);
console.log(`taking mail on ${(listener.getsockname() as [string, number]).join(":")}`);
IOLoop.current().start();
