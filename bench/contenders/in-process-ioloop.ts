/** What needs no descriptor, on this library: `in-process-ioloop.ts callbacks|timeouts|futures-done|futures-pending COUNT`. */
import { Future, IOLoop } from "ioloop";
import { reportRun } from "./counted.js";
import { delays, TOGETHER } from "./in-process.js";

const [work = "", counted = ""] = process.argv.slice(2);
const count = Number(counted);
const loop = IOLoop.current();

async function waitFor(future: Future<number>): Promise<void> {
  await future;
}

const works: Record<string, () => Promise<void>> = {
  callbacks: async () => {
    let left = count;
    const callback = (): void => {
      if (--left === 0) loop.stop();
    };
    for (let added = 0; added < count; added++) loop.addCallback(callback);
    await loop.start();
  },
  timeouts: async () => {
    let left = count / 2;
    const callback = (): void => {
      if (--left === 0) loop.stop();
    };
    const handles = delays(count).map((delay) => loop.callLater(delay / 1000, callback));
    for (let cancelled = 0; cancelled < count; cancelled += 2) loop.removeTimeout(handles[cancelled] as (typeof handles)[number]);
    await loop.start();
  },
  "futures-done": async () => {
    for (let made = 0; made < count; made++) {
      const future = new Future<number>();
      future.setResult(made);
      await future;
    }
  },
  "futures-pending": async () => {
    for (let made = 0; made < count; made += TOGETHER) {
      const futures = Array.from({ length: TOGETHER }, () => new Future<number>());
      const waiting = futures.map(waitFor);
      // The awaits register a microtask after they began.
      await Promise.resolve();
      for (const future of futures) future.setResult(1);
      await waiting.at(-1);
    }
  },
};
await reportRun(count, works[work] as () => Promise<void>);
process.exit();
