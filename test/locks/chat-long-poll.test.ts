/** examples/chat-long-poll.ts against its own server on loopback. */
import { once } from "node:events";
import { request, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { expect } from "chai";

import { chatServer, type Message, MessageBuffer } from "../../examples/chat-long-poll.js";
import { useManualLoop } from "../gen/manual-loop.js";
import { nextRound, settle } from "../support/real-timers.js";

interface Answer {
  readonly status: number;
  readonly content: unknown;
}

describe("examples/chat-long-poll.ts", () => {
  const fixture = useManualLoop();
  let server: Server;
  let buffer: MessageBuffer;
  let port: number;

  beforeEach(async () => {
    buffer = new MessageBuffer();
    server = chatServer(buffer, 30).listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  });

  afterEach(async () => {
    server.close();
    await once(server, "close");
  });

  function send(path: string, fields: Record<string, string>, signal?: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        { port, path, method: "POST", host: "127.0.0.1", agent: false, ...(signal === undefined ? {} : { signal }) },
        (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, content: JSON.parse(text) as unknown }));
        },
      );
      outgoing.on("error", reject);
      outgoing.end(new URLSearchParams(fields).toString());
    });
  }

  const updates = async (cursor = ""): Promise<Message[]> =>
    ((await send("/a/message/updates", { cursor })).content as { messages: Message[] }).messages;
  const waiting = (count: number): Promise<boolean> =>
    settle(() => (/waiters\[(\d+)\]/.exec(String(buffer.condition))?.[1] ?? "0") === String(count));

  it("answers everyone who waits when somebody speaks", async () => {
    const polls = [updates(), updates()];
    expect(await waiting(2)).to.equal(true);
    const { status, content } = await send("/a/message/new", { body: "hello" });
    expect(status).to.equal(200);
    expect(content).to.include({ body: "hello" });
    for (const each of polls) expect(await each).to.deep.equal([content]);
    expect(fixture.manual.timers).to.equal(0);
  });

  it("answers at once with what came after the cursor", async () => {
    const [first, second, third] = ["a", "b", "c"].map((body) => buffer.add(body));
    expect(await updates()).to.deep.equal([first, second, third]);
    expect(await updates(first!.id)).to.deep.equal([second, third]);
    const poll = updates(third!.id);
    expect(await waiting(1)).to.equal(true);
    const fourth = buffer.add("d");
    expect(await poll).to.deep.equal([fourth]);
    for (let i = 0; i < 300; i++) buffer.add(String(i));
    expect((await updates()).length).to.equal(200);
  });

  it("takes a browser that has gone out of the line", async () => {
    const controller = new AbortController();
    const poll = send("/a/message/updates", {}, controller.signal).catch((error: unknown) => error);
    expect(await waiting(1)).to.equal(true);
    controller.abort();
    expect(await poll).to.be.an("error");
    expect(await waiting(0)).to.equal(true);
    expect(fixture.manual.timers).to.equal(0);
  });

  it("answers with nothing after a while in which nobody spoke", async () => {
    const poll = updates();
    expect(await waiting(1)).to.equal(true);
    await fixture.manual.advance(31);
    expect(await poll).to.deep.equal([]);
  });

  it("refuses what it does not know", async () => {
    expect((await send("/a/message/new", {})).status).to.equal(400);
    expect((await send("/elsewhere", {})).status).to.equal(404);
    expect((await send("/a/message/new", { body: "x".repeat(20_000) })).status).to.equal(413);
    await nextRound();
  });
});
