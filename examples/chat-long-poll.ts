/**
 * A chat room with long polling: a browser asks for what is new and gets its answer when somebody has spoken. Tornado's chat demonstration in
 * the form that waits on a Condition; `node:http` speaks HTTP.
 *
 *     npm start -- examples/chat-long-poll.ts        and open the address in two windows
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { CancelledError, Condition, type Future, IOLoop, seconds } from "ioloop";

const CACHE_SIZE = 200;
const LONGEST_BODY = 10_000;

export interface Message {
  readonly id: string;
  readonly body: string;
}

/** The latest messages, and the Condition on which those wait who have seen them all. */
export class MessageBuffer {
  readonly condition: Condition = new Condition();
  #messages: Message[] = [];

  /** What came after the message with this id; everything if there is none such (any more). */
  since(cursor: string | undefined): Message[] {
    const seen = this.#messages.findIndex(({ id }) => id === cursor);
    return this.#messages.slice(seen + 1);
  }

  add(body: string): Message {
    const message = { id: randomUUID(), body };
    this.#messages.push(message);
    if (this.#messages.length > CACHE_SIZE) this.#messages = this.#messages.slice(-CACHE_SIZE);
    this.condition.notifyAll();
    return message;
  }
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk as string;
    if (text.length > LONGEST_BODY) return undefined;
  }
  return new URLSearchParams(text);
}

function answer(response: ServerResponse, status: number, content: unknown): void {
  const page = typeof content === "string";
  response.writeHead(status, { "Content-Type": page ? "text/html; charset=utf-8" : "application/json" });
  response.end(page ? content : JSON.stringify(content));
}

/** Waits until there is something newer than `cursor`, for `patience` seconds at most; `undefined` if the browser has gone. */
async function news(
  buffer: MessageBuffer,
  cursor: string | undefined,
  patience: number,
  response: ServerResponse,
): Promise<Message[] | undefined> {
  let messages = buffer.since(cursor);
  let waiting: Future<boolean> | undefined;
  const gone = (): void => void waiting?.cancel();
  response.once("close", gone);
  try {
    while (messages.length === 0) {
      waiting = buffer.condition.wait(seconds(patience));
      // An empty answer now and then: proxies cut connections on which nothing moves.
      if (!(await waiting)) return [];
      messages = buffer.since(cursor);
    }
    return messages;
  } catch (error) {
    if (error instanceof CancelledError) return undefined;
    throw error;
  } finally {
    response.off("close", gone);
  }
}

/** The server of one room. `patience` bounds a long poll, in seconds. */
export function chatServer(buffer: MessageBuffer, patience = 30): Server {
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method === "GET" && request.url === "/") {
      answer(response, 200, PAGE);
      return;
    }
    if (request.method !== "POST" || !["/a/message/new", "/a/message/updates"].includes(request.url ?? "")) {
      answer(response, 404, { error: "There is /, /a/message/new and /a/message/updates" });
      return;
    }
    const form = await readForm(request);
    if (form === undefined) {
      response.setHeader("Connection", "close");
      answer(response, 413, { error: `A message has at most ${LONGEST_BODY} characters` });
    } else if (request.url === "/a/message/new") {
      const body = form.get("body")?.trim() ?? "";
      if (body === "") answer(response, 400, { error: "The form field body is missing" });
      else answer(response, 200, buffer.add(body));
    } else {
      const messages = await news(buffer, form.get("cursor") ?? undefined, patience, response);
      if (messages !== undefined) answer(response, 200, { messages });
    }
  };
  return createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      // A request that broke off is the browser's affair.
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
}

const PAGE = `<!doctype html>
<meta charset="utf-8"><title>Chat</title>
<ul id="room"></ul>
<form><input name="body" autocomplete="off" autofocus> <button>Say</button></form>
<script>
  const room = document.querySelector("#room"), form = document.querySelector("form");
  const post = (path, fields) => fetch(path, { method: "POST", body: new URLSearchParams(fields) }).then((r) => r.json());
  form.onsubmit = (event) => {
    event.preventDefault();
    post("/a/message/new", { body: form.body.value });
    form.reset();
  };
  (async () => {
    for (let cursor = "", pause = 500; ; ) {
      try {
        const { messages } = await post("/a/message/updates", { cursor });
        for (const { id, body } of messages) {
          room.append(Object.assign(document.createElement("li"), { textContent: body }));
          cursor = id;
        }
        pause = 500;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, (pause = Math.min(pause * 2, 60000))));
      }
    }
  })();
</script>
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = chatServer(new MessageBuffer());
  server.listen(Number(process.env["PORT"] ?? 8888), "127.0.0.1", () => {
    console.log(`the room is at http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  });
  // The loop runs the time-outs of the polls.
  void IOLoop.current().start();
}
