/**
 * `node --import tsx bench/future.ts`: what a Future costs against a native promise that is resolved from outside, which is what one would use
 * without it. Ratios above 1 mean that ours is faster.
 */
import { Future } from "ioloop";
import { compare, printComparisons, type Variant, wallMilliseconds } from "./measure.js";

const COUNT = 200_000;
/** So many are awaited at a time; all at once would measure the garbage collector. */
const TOGETHER = 100;
const rounds = Number(process.env["ROUNDS"] ?? 15);

let captured: (value: number) => void;
function capture(resolve: (value: number) => void): void {
  captured = resolve;
}

/** A promise and the function that resolves it, made as cheaply as can be. */
class Settled {
  readonly promise: Promise<number>;
  readonly resolve: (value: number) => void;

  constructor() {
    this.promise = new Promise(capture);
    this.resolve = captured;
  }
}

const doneFuture: Variant = {
  name: "Future",
  run: () =>
    wallMilliseconds(async () => {
      for (let i = 0; i < COUNT; i++) {
        const future = new Future<number>();
        future.setResult(i);
        await future;
      }
    }),
};

const donePromise: Variant = {
  name: "promise",
  run: () =>
    wallMilliseconds(async () => {
      for (let i = 0; i < COUNT; i++) {
        const settled = new Settled();
        settled.resolve(i);
        await settled.promise;
      }
    }),
};

async function wait(on: PromiseLike<number>): Promise<void> {
  await on;
}

const pendingFuture: Variant = {
  name: "Future",
  run: () =>
    wallMilliseconds(async () => {
      for (let i = 0; i < COUNT; i += TOGETHER) {
        const futures = Array.from({ length: TOGETHER }, () => new Future<number>());
        const waiting = futures.map(wait);
        // The awaits register a microtask after they began.
        await Promise.resolve();
        for (const future of futures) future.setResult(1);
        await waiting.at(-1);
      }
    }),
};

const pendingPromise: Variant = {
  name: "promise",
  run: () =>
    wallMilliseconds(async () => {
      for (let i = 0; i < COUNT; i += TOGETHER) {
        const promises = Array.from({ length: TOGETHER }, () => new Settled());
        const waiting = promises.map(({ promise }) => wait(promise));
        await Promise.resolve();
        for (const settled of promises) settled.resolve(1);
        await waiting.at(-1);
      }
    }),
};

const unawaitedFuture: Variant = {
  name: "Future",
  run: () =>
    wallMilliseconds(() => {
      for (let i = 0; i < COUNT; i++) new Future<number>().setResult(i);
      return Promise.resolve();
    }),
};

const unawaitedPromise: Variant = {
  name: "promise",
  run: () =>
    wallMilliseconds(() => {
      for (let i = 0; i < COUNT; i++) new Settled().resolve(i);
      return Promise.resolve();
    }),
};

printComparisons([
  await compare("made, set, awaited", COUNT, doneFuture, donePromise, rounds),
  await compare("made, awaited, set", COUNT, pendingFuture, pendingPromise, rounds),
  await compare("made, set, never awaited", COUNT, unawaitedFuture, unawaitedPromise, rounds),
]);
