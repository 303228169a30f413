/** The examples about TLS, run as people run them. */
import { expect } from "chai";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as https from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as tls from "node:tls";
import { makeCertificate, testAuthority, testIdentity } from "../support/certificates.js";
import { projectRoot, typescriptLoader } from "../support/child.js";

const { cert, key } = testIdentity();
const ca = testAuthority().cert;
let directory = "";
let child: ChildProcess | undefined;
const path = (name: string): string => join(directory, name);

type Lines = () => Promise<string>;

function linesOf(input: NodeJS.ReadableStream): Lines {
  const lines = createInterface({ input })[Symbol.asyncIterator]();
  return async () => {
    const { value } = (await lines.next()) as { value: string | undefined };
    if (value === undefined) throw new Error("The stream has ended");
    return value;
  };
}

function start(name: string, ...args: string[]): Lines {
  const env = { ...process.env, NODE_V8_COVERAGE: undefined, NODE_OPTIONS: undefined };
  child = spawn(process.execPath, ["--import", typescriptLoader, `examples/${name}.ts`, ...args], {
    cwd: projectRoot,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return linesOf(child.stdout as NodeJS.ReadableStream);
}

const portOf = (line: string): number => Number(/:(\d+)$/.exec(line)?.[1]);

async function secureClient(options: tls.ConnectionOptions): Promise<[tls.TLSSocket, Lines]> {
  const socket = tls.connect({ ca, servername: "localhost", host: "127.0.0.1", ...options });
  await once(socket, "secureConnect");
  return [socket, linesOf(socket)];
}

async function ended(socket: Socket): Promise<void> {
  socket.destroy();
  await once(socket, "close");
}

describe("Examples of TLS", function () {
  this.timeout(20_000);
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ioloop-examples-"));
  });
  after(() => rmSync(directory, { recursive: true }));
  beforeEach(() => {
    writeFileSync(path("server.pem"), cert);
    writeFileSync(path("server.key"), key);
    writeFileSync(path("ca.pem"), ca);
  });
  afterEach(async () => {
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill();
      await once(child, "close");
    }
  });

  it("https-client prints a page's facts, or why the certificate is refused", async () => {
    const server = https.createServer({ cert, key }, (_, response) => response.end("x".repeat(100_000)));
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `https://localhost:${(server.address() as AddressInfo).port}/page`;
    const next = start("https-client", url, path("ca.pem"));
    expect(await next()).to.match(/^TLSv1\.3, TLS_\w+, http\/1\.1$/);
    expect(await next()).to.match(/^certificate: CN=localhost, valid to /);
    expect(await next()).to.equal("HTTP/1.1 200 OK");
    let line = await next();
    while (!line.startsWith("body")) line = await next();
    expect(Number(/\d+/.exec(line)?.[0])).to.be.at.least(100_000);
    await once(child as ChildProcess, "close");
    start("https-client", url);
    const complaint = linesOf(child?.stderr as NodeJS.ReadableStream);
    const seen: string[] = [];
    do seen.push(await complaint());
    while (!seen.at(-1)?.startsWith("UNABLE_TO_GET_ISSUER_CERT_LOCALLY: The server's certificate is not accepted"));
    const [code] = (await once(child as ChildProcess, "close")) as [number];
    expect(code).to.equal(1);
    server.close();
    await once(server, "close");
  });

  it("tls-echo-server takes a renewed certificate on SIGHUP, and goes on with the old one under open connections", async () => {
    const next = start("tls-echo-server", path("server.pem"), path("server.key"), "0");
    const port = portOf(await next());
    const [first, answers] = await secureClient({ port });
    first.write("one\n");
    expect(await answers()).to.equal("one");
    const renewed = makeCertificate({ name: "localhost", issuer: testAuthority() });
    writeFileSync(path("server.pem"), renewed.cert);
    child?.kill("SIGHUP");
    expect(await next()).to.match(/^the certificate stays as it was: The private key in keyfile .* does not belong to the certificate/);
    writeFileSync(path("server.key"), renewed.key);
    child?.kill("SIGHUP");
    expect(await next()).to.equal("certificate read again");
    const [second, others] = await secureClient({ port });
    for (const [socket, lines] of [
      [first, answers],
      [second, others],
    ] as const) {
      socket.write("two\n");
      expect(await lines()).to.equal("two");
    }
    expect(second.getPeerCertificate().fingerprint256).to.not.equal(first.getPeerCertificate().fingerprint256);
    await Promise.all([ended(first), ended(second)]);
  });

  it("starttls-mail-sink prints a mail that came over TLS", async () => {
    const next = start("starttls-mail-sink", path("server.pem"), path("server.key"), "0");
    const port = portOf(await next());
    const clear = connect(port, "127.0.0.1");
    // Read by hand: a reader of lines would take what belongs to TLS.
    const heard = async (): Promise<string> => String(((await once(clear, "data")) as [Buffer])[0]);
    expect(await heard()).to.equal("220 mail sink ESMTP\r\n");
    clear.write("EHLO me\r\n");
    expect(await heard()).to.equal("250-mail sink\r\n250 STARTTLS\r\n");
    clear.write("STARTTLS\r\n");
    expect(await heard()).to.equal("220 Go ahead\r\n");
    const [secure, lines] = await secureClient({ socket: clear });
    for (const [command, answer] of [
      ["EHLO me", "250 mail sink"],
      ["MAIL FROM:<a@b>", "250 OK"],
      ["RCPT TO:<c@d>", "250 OK"],
      ["DATA", "354 End with a line that has only a dot"],
      ["Subject: hello\r\n\r\nA mail.\r\n.", "250 Accepted"],
      ["QUIT", "221 Goodbye"],
    ] as const) {
      secure.write(`${command}\r\n`);
      expect(await lines()).to.equal(answer);
    }
    expect([await next(), await next(), await next(), await next()]).to.deep.equal([
      "--- 25 bytes over TLS",
      "Subject: hello",
      "",
      "A mail.",
    ]);
    await ended(secure);
  });
});
