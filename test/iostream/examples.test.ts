/** The examples that are about streams, run as people run them. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { projectRoot, runFile, typescriptLoader } from "../support/child.js";
import { settle } from "../support/real-timers.js";

/** A program that goes on running, and what it prints. */
class Running implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #gone: Promise<unknown>;

  constructor(command: string, args: readonly string[]) {
    const env = { ...process.env, NODE_V8_COVERAGE: undefined, NODE_OPTIONS: undefined };
    this.#child = spawn(command, args, { cwd: projectRoot, env, stdio: ["ignore", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    this.#gone = new Promise((resolve) => this.#child.once("close", resolve));
  }

  static example(name: string, ...args: string[]): Running {
    return new Running(process.execPath, ["--import", typescriptLoader, "examples/start.ts", `examples/${name}.ts`, ...args]);
  }

  async line(): Promise<string> {
    const { value } = (await this.#lines.next()) as { value: string | undefined };
    if (value === undefined) throw new Error("The program has ended");
    return value;
  }

  /** The port at the end of what it prints first. */
  async port(): Promise<number> {
    return Number(/:([0-9]+)$/.exec(await this.line())?.[1]);
  }

  /** Waits until it has ended by itself. */
  async end(): Promise<void> {
    await this.#gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#gone;
  }
}

/** A client that speaks in lines. */
class Client {
  readonly socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.#lines = createInterface({ input: this.socket })[Symbol.asyncIterator]();
  }

  say(text: string): void {
    this.socket.write(`${text}\n`);
  }

  async hear(): Promise<string> {
    return (await this.#lines.next()).value as string;
  }

  async leave(): Promise<void> {
    this.socket.end();
    this.socket.destroy();
    await settle(() => this.socket.closed);
  }
}

describe("The examples of streams", function () {
  this.timeout(30_000);

  it("line echo server", async () => {
    await using server = Running.example("line-echo-server", "0");
    const client = new Client(await server.port());
    for (const text of ["one", "", "grüß dich", "x".repeat(10_000)]) {
      client.say(text);
      expect(await client.hear()).to.equal(text);
    }
    await client.leave();
  });

  it("chat room", async () => {
    await using room = Running.example("chat-room", "0");
    const port = await room.port();
    const enter = async (name: string): Promise<Client> => {
      const client = new Client(port);
      expect(await client.hear()).to.equal("Your name?");
      client.say(name);
      return client;
    };
    const ada = await enter("ada");
    expect(await ada.hear()).to.equal("Welcome, ada. Present: ada");
    const bob = await enter("ada");
    expect(await bob.hear()).to.contain("will not do");
    bob.say("bob");
    expect(await bob.hear()).to.equal("Welcome, bob. Present: ada, bob");
    expect(await ada.hear()).to.equal("* bob has come in");
    bob.say("hello");
    expect(await ada.hear()).to.equal("bob: hello");
    ada.say("hello, bob");
    expect(await bob.hear()).to.equal("ada: hello, bob");
    await bob.leave();
    expect(await ada.hear()).to.equal("* bob has left");
    await ada.leave();
  });

  it("port forwarder", async () => {
    await using server = Running.example("line-echo-server", "0");
    await using forwarder = Running.example("port-forwarder", "0", "127.0.0.1", String(await server.port()));
    const first = await forwarder.line();
    const client = new Client(Number(/:([0-9]+) to/.exec(first)?.[1]));
    client.say("through and back");
    expect(await client.hear()).to.equal("through and back");
    await client.leave();
  });

  it("port forwarder without a target says so", async () => {
    await using forwarder = Running.example("port-forwarder", "0", "127.0.0.1", "1");
    const client = new Client(Number(/:([0-9]+) to/.exec(await forwarder.line())?.[1]));
    client.socket.resume();
    expect(await forwarder.line()).to.contain("cannot reach the target: connect ECONNREFUSED 127.0.0.1:1");
    await client.leave();
  });

  it("tail -f | grep", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ioloop-"));
    const file = join(folder, "log");
    writeFileSync(file, "an error early\nnothing\n");
    await using program = Running.example("tail-grep", file, "error", "3");
    expect(await program.line()).to.equal("1: an error early");
    appendFileSync(file, "fine\nerror two\n");
    expect(await program.line()).to.equal("2: error two");
    appendFileSync(file, "the last error\n");
    expect(await program.line()).to.equal("3: the last error");
    // Killed before that, it would leave its tail and grep behind.
    await program.end();
    rmSync(folder, { recursive: true });
  });

  it("Redis client", async function () {
    const port = redisPort();
    if (port === undefined) {
      this.test!.title += " (skipped: no redis-server)";
      this.skip();
    }
    await using server = new Running("redis-server", ["--port", String(port), "--save", "", "--bind", "127.0.0.1"]);
    while (!(await server.line()).includes("Ready to accept connections"));
    const { stdout, code } = await runFile("examples/redis-client.ts", { args: ["127.0.0.1", String(port)] });
    expect(stdout).to.equal("OK\ngrüß dich\n[ 1, 2, 3 ]\n[ '1', '2', '3' ]\nnull\nERR\n");
    expect(code).to.equal(0);
  });

  it("Redis client, against a server that plays its part", async () => {
    // The answers a real server gives to the example's commands, each in two pieces.
    const replies = ["+OK", "$11\r\ngrüß dich", ":0", ":1", ":2", ":3"];
    replies.push("*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3", "$-1", "-ERR unknown command", ":2");
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on("data", (data) => {
        for (const _command of String(data).matchAll(/\*\d+\r\n/g)) {
          const reply = replies.shift() ?? "";
          socket.write(reply.slice(0, 2));
          socket.write(`${reply.slice(2)}\r\n`);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const { stdout, stderr, code } = await runFile("examples/redis-client.ts", { args: ["127.0.0.1", String(port)] });
    expect([stdout, stderr, code]).to.deep.equal(["OK\ngrüß dich\n[ 1, 2, 3 ]\n[ '1', '2', '3' ]\nnull\nERR\n", "", 0]);
    await new Promise((resolve) => server.close(resolve));
  });
});

/** A port for a Redis server, where one is installed. */
function redisPort(): number | undefined {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return 20_000 + (process.pid % 20_000);
}
