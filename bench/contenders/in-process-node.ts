/** The works of `in-process-ioloop.ts` with what Node has, or Bun: `in-process-node.ts callbacks|timeouts|futures-done|futures-pending COUNT`. */
import { reportRun } from "./counted.js";
import { delays, TOGETHER } from "./in-process.js";

const [work = "", counted = ""] = process.argv.slice(2);
const count = Number(counted);

let captured: (value: number) => void;
function capture(resolve: (value: number) => void): void {
  captured = resolve;
}

/** A promise and the function that resolves it, made as cheaply as can be: what one would use in place of a Future. */
class Settled {
  readonly promise: Promise<number>;
  readonly resolve: (value: number) => void;

  constructor() {
    this.promise = new Promise(capture);
    this.resolve = captured;
  }
}

async function waitFor(settled: Settled): Promise<void> {
  await settled.promise;
}

const works: Record<string, () => Promise<void>> = {
  callbacks: () =>
    new Promise((resolve) => {
      let left = count;
      const callback = (): void => {
        if (--left === 0) resolve();
      };
      for (let added = 0; added < count; added++) setImmediate(callback);
    }),
  timeouts: () =>
    new Promise((resolve) => {
      let left = count / 2;
      const callback = (): void => {
        if (--left === 0) resolve();
      };
      const handles = delays(count).map((delay) => setTimeout(callback, delay));
      for (let cancelled = 0; cancelled < count; cancelled += 2) clearTimeout(handles[cancelled]);
    }),
  "futures-done": async () => {
    for (let made = 0; made < count; made++) {
      const settled = new Settled();
      settled.resolve(made);
      await settled.promise;
    }
  },
  "futures-pending": async () => {
    for (let made = 0; made < count; made += TOGETHER) {
      const promises = Array.from({ length: TOGETHER }, () => new Settled());
      const waiting = promises.map(waitFor);
      await Promise.resolve();
      for (const settled of promises) settled.resolve(1);
      await waiting.at(-1);
    }
  },
};
await reportRun(count, works[work] as () => Promise<void>);
process.exit();
