/**
 * A small client for the Redis protocol (RESP 2): commands go out as arrays of bulk strings, answers are read by their type. Requests may be
 * pipelined: the answers come in order, so a line of those who wait is all the bookkeeping there is.
 *
 *     npm start -- examples/redis-client.ts [host] [port]
 */
import { Future, IOLoop, IOStream, Socket } from "ioloop";

/** What Redis answers. */
export type Reply = string | number | null | Error | Reply[];

/** One connection. */
export class RedisClient {
  readonly #stream = new IOStream(new Socket());
  readonly #waiting: Future<Reply>[] = [];
  #reading = false;

  /** Connects. */
  async connect(host: string, port: number): Promise<this> {
    await this.#stream.connect([host, port]);
    this.#stream.setNodelay(true);
    return this;
  }

  /** Sends a command; the Future is its answer. An error answer fails it. */
  call(...command: (string | number)[]): Future<Reply> {
    const parts = command.map(String).map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    const future = new Future<Reply>();
    this.#waiting.push(future);
    this.#stream.write(`*${parts.length}\r\n${parts.join("")}`);
    void this.#readReplies();
    return future;
  }

  close(): void {
    this.#stream.close();
  }

  async #readReplies(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#waiting.length > 0) {
        const reply = await this.#readReply();
        const future = this.#waiting.shift() as Future<Reply>;
        if (reply instanceof Error) future.setException(reply);
        else future.setResult(reply);
      }
    } catch (error) {
      for (const future of this.#waiting.splice(0)) future.setException(error);
    } finally {
      this.#reading = false;
    }
  }

  async #readReply(): Promise<Reply> {
    const line = (await this.#stream.readUntil("\r\n")).toString().slice(0, -2);
    const [type, rest] = [line[0], line.slice(1)];
    switch (type) {
      case "+":
        return rest;
      case "-":
        return new Error(rest);
      case ":":
        return Number(rest);
      case "$": {
        if (rest === "-1") return null;
        const bytes = await this.#stream.readBytes(Number(rest) + 2);
        return bytes.toString("utf8", 0, bytes.length - 2);
      }
      case "*": {
        if (rest === "-1") return null;
        const items: Reply[] = [];
        for (let left = Number(rest); left > 0; left--) items.push(await this.#readReply());
        return items;
      }
      default:
        throw new Error(`Not a Redis answer: ${JSON.stringify(line)}`);
    }
  }
}

const [host = "127.0.0.1", port = "6379"] = process.argv.slice(2);
await IOLoop.current().runSync(async () => {
  const redis = await new RedisClient().connect(host, Number(port));
  console.log(await redis.call("SET", "ioloop:greeting", "grüß dich"));
  console.log(await redis.call("GET", "ioloop:greeting"));
  await redis.call("DEL", "ioloop:list");
  console.log(await Promise.all([1, 2, 3].map((each) => redis.call("RPUSH", "ioloop:list", each))));
  console.log(await redis.call("LRANGE", "ioloop:list", 0, -1));
  console.log(await redis.call("GET", "ioloop:nothing"));
  console.log(await redis.call("NOSUCHCOMMAND").then(String, (error: unknown) => (error as Error).message.split(" ")[0]));
  await redis.call("DEL", "ioloop:greeting", "ioloop:list");
  redis.close();
});
