/** The five examples of asyncio's stream documentation, run as people run them. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { projectRoot, runFile, typescriptLoader } from "../support/child.js";
import { testAuthority, testIdentity } from "../support/certificates.js";

/** The echo server, from its first line to Ctrl+C. */
async function withEchoServer(body: (port: string) => Promise<void>): Promise<string[]> {
  const env = { ...process.env, NODE_V8_COVERAGE: undefined, NODE_OPTIONS: undefined };
  const args = ["--import", typescriptLoader, "examples/asyncio/tcp-echo-server.ts", "0"];
  const server: ChildProcess = spawn(process.execPath, args, { cwd: projectRoot, env, stdio: ["ignore", "pipe", "inherit"] });
  const closed = new Promise<number | null>((resolve) => server.once("close", resolve));
  const lines: string[] = [];
  try {
    const port = await new Promise<string>((resolve, reject) => {
      const input = createInterface({ input: server.stdout as NodeJS.ReadableStream });
      input.on("line", (line) => {
        lines.push(line);
        const found = /^Serving on .* (\d+) \]$/.exec(line);
        if (found?.[1] !== undefined) resolve(found[1]);
      });
      void closed.then(() => reject(new Error("The server has ended")));
    });
    await body(port);
    server.kill("SIGINT");
    expect(await closed).to.equal(0);
  } finally {
    server.kill("SIGKILL");
  }
  return lines;
}

async function withHttp(server: Server, body: (port: number) => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await body((server.address() as AddressInfo).port);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const answer: RequestListener = (_, response) => {
  response.writeHead(200, { "X-Example": "asyncio" }).end();
};

describe("the examples of asyncio's stream documentation", () => {
  it("A73 the echo client talks to the echo server, which Ctrl+C ends", async () => {
    const lines = await withEchoServer(async (port) => {
      const { stdout, stderr, code } = await runFile("examples/asyncio/tcp-echo-client.ts", { args: [port] });
      expect(stderr).to.equal("");
      expect(stdout).to.equal("Send: Hello World!\nReceived: Hello World!\nClose the socket\n");
      expect(code).to.equal(0);
    });
    expect(lines.slice(1)).to.deep.equal([lines[1] ?? "", "Send: Hello World!", "Close the client socket"]);
    expect(lines[1]).to.match(/^Received Hello World! from \[ '127.0.0.1', \d+ \]$/);
  }).timeout(30_000);

  it("A6 HTTP headers of a page", async () => {
    await withHttp(createHttpServer(answer), async (port) => {
      const { stdout, stderr, code } = await runFile("examples/asyncio/http-headers.ts", { args: [`http://127.0.0.1:${port}/page.html`] });
      expect(stderr).to.equal("");
      expect(stdout).to.include("HTTP header> HTTP/1.1 200 OK\n").and.include("HTTP header> X-Example: asyncio\n");
      expect(code).to.equal(0);
    });
  }).timeout(30_000);

  it("A56 HTTP headers over TLS, checked against the roots that Node has", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ioloop-"));
    const roots = join(folder, "roots.pem");
    writeFileSync(roots, testAuthority().cert);
    try {
      await withHttp(createHttpsServer({ cert: testIdentity().chain, key: testIdentity().key }, answer), async (port) => {
        const run = (env: Record<string, string | undefined>): ReturnType<typeof runFile> =>
          runFile("examples/asyncio/http-headers.ts", { args: [`https://localhost:${port}/page.html`], env });
        const { stdout, stderr, code } = await run({ NODE_EXTRA_CA_CERTS: roots });
        expect(stderr).to.equal("");
        expect(stdout).to.include("HTTP header> X-Example: asyncio\n");
        expect(code).to.equal(0);
        const refused = await run({ NODE_EXTRA_CA_CERTS: undefined });
        expect(refused.stdout).to.equal("");
        expect(refused.stderr).to.include("SSLError");
        expect(refused.code).to.equal(1);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }).timeout(30_000);

  it("A54 waits for data on a socket that is open already", async () => {
    const { stdout, stderr, code } = await runFile("examples/asyncio/wait-for-data.ts");
    expect(stderr).to.equal("");
    expect(stdout).to.equal("Received: abc\n");
    expect(code).to.equal(0);
  }).timeout(30_000);
});
