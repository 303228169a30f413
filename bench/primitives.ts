/**
 * `npm run bench:primitives`: locks and queues against the packages people use for the same work.
 *
 * Ratios above 1 mean that ours is faster. async-mutex and async-sema stand for locks, fastq and p-queue for passing items to a worker.
 *
 * What to expect: awaiting a Future is awaiting a thenable, which costs the engine two hops and two promises more than awaiting a native one.
 * So a bare `await lock.acquire()` is slower than async-sema's, whose promise is native, and awaiting each `put` is slower than awaiting
 * fastq's `push`. The same work is faster where nothing is awaited without need: asking `done()` first, or `lock.with(fn)`.
 */
import { Mutex } from "async-mutex";
import { Sema } from "async-sema";
import fastq from "fastq";
import PQueue from "p-queue";
import { Lock, Queue } from "ioloop";
import { compare, type Comparison, printComparisons, type Variant, wallMilliseconds } from "./measure.js";

const ONE_BY_ONE = 300_000;
const TASKS = 100;
const ROUNDS_PER_TASK = 1000;
const BURST = 100_000;
const MILLION = 1_000_000;
const ITEMS = 200_000;
const rounds = Number(process.env["ROUNDS"] ?? 7);

function variant(name: string, work: () => Promise<void>): Variant {
  return { name, run: () => wallMilliseconds(work) };
}

/** What a lock of any package comes to. */
interface AnyLock {
  acquire(): PromiseLike<unknown>;
  release(): void;
}

async function oneByOne(lock: AnyLock): Promise<void> {
  for (let i = 0; i < ONE_BY_ONE; i++) {
    await lock.acquire();
    lock.release();
  }
}

/** Without an await where none is needed: a Future says whether it is done ... */
async function askingFirst(): Promise<void> {
  const lock = new Lock();
  for (let i = 0; i < ONE_BY_ONE; i++) {
    const taken = lock.acquire();
    if (!taken.done()) await taken;
    lock.release();
  }
}

/** ... and async-sema has a call for it. */
async function tryingFirst(): Promise<void> {
  const sema = new Sema(1);
  for (let i = 0; i < ONE_BY_ONE; i++) {
    if (sema.tryAcquire() === undefined) await sema.acquire();
    sema.release();
  }
}

async function contended(lock: AnyLock): Promise<void> {
  const task = async (): Promise<void> => {
    for (let i = 0; i < ROUNDS_PER_TASK; i++) {
      await lock.acquire();
      lock.release();
    }
  };
  await Promise.all(Array.from({ length: TASKS }, task));
}

/** `count` waiters at once on a lock that is held, then the lock passes through all of them. */
async function burst(lock: AnyLock, count: number): Promise<void> {
  await lock.acquire();
  let left = count;
  await new Promise<void>((resolve) => {
    const enter = (): void => {
      lock.release();
      if (--left === 0) resolve();
    };
    for (let i = 0; i < count; i++) void lock.acquire().then(enter);
    lock.release();
  });
}

/** async-mutex hands out the function that releases. */
class MutexLock implements AnyLock {
  readonly #mutex = new Mutex();

  acquire(): Promise<unknown> {
    return this.#mutex.acquire();
  }

  release(): void {
    this.#mutex.release();
  }
}

const lockKinds: readonly (readonly [string, () => AnyLock])[] = [
  ["async-mutex", () => new MutexLock()],
  ["async-sema", () => new Sema(1)],
];

let sink = 0;

function work(item: number): void {
  sink += item;
}

/** A worker at one end and `put`, awaited item by item, at the other. */
async function passOneByOne(): Promise<void> {
  const queue = new Queue<number>(1);
  const worker = (async () => {
    for (let i = 0; i < ITEMS; i++) {
      work(await queue.get());
      queue.taskDone();
    }
  })();
  for (let i = 0; i < ITEMS; i++) await queue.put(i);
  await worker;
}

/** Everything put at once, then worked off. */
async function passAll(): Promise<void> {
  const queue = new Queue<number>();
  for (let i = 0; i < ITEMS; i++) queue.putNowait(i);
  const worker = (async () => {
    for (let i = 0; i < ITEMS; i++) {
      work(await queue.get());
      queue.taskDone();
    }
  })();
  await queue.join();
  await worker;
}

/** The same without awaiting anything: what a callback-style program does. */
function passNowait(): Promise<void> {
  const queue = new Queue<number>();
  for (let i = 0; i < ITEMS; i++) {
    queue.putNowait(i);
    work(queue.getNowait());
    queue.taskDone();
  }
  return Promise.resolve();
}

function fastqCallbacks(): Promise<void> {
  const queue = fastq<unknown, number>((item, done) => {
    work(item);
    done(null);
  }, 1);
  const ignore = (): void => undefined;
  for (let i = 0; i < ITEMS; i++) queue.push(i, ignore);
  return Promise.resolve();
}

/** A worker and a buffer, awaiting only where there is something to wait for. */
async function passAsking(): Promise<void> {
  const queue = new Queue<number>(100);
  const worker = (async () => {
    for (let i = 0; i < ITEMS; i++) {
      const got = queue.get();
      work(got.done() ? got.result() : await got);
      queue.taskDone();
    }
  })();
  for (let i = 0; i < ITEMS; i++) {
    const put = queue.put(i);
    if (!put.done()) await put;
  }
  await worker;
}

async function putAndGet(): Promise<void> {
  const queue = new Queue<number>();
  for (let i = 0; i < ITEMS; i++) {
    await queue.put(i);
    work(await queue.get());
  }
}

function fastqPromise(): { push(item: number): Promise<void>; drained(): Promise<void> } {
  return fastq.promise<unknown, number>((item) => {
    work(item);
    return Promise.resolve();
  }, 1);
}

async function fastqOneByOne(): Promise<void> {
  const queue = fastqPromise();
  for (let i = 0; i < ITEMS; i++) await queue.push(i);
}

async function fastqAll(): Promise<void> {
  const queue = fastqPromise();
  for (let i = 0; i < ITEMS; i++) void queue.push(i);
  await queue.drained();
}

async function pQueueOneByOne(): Promise<void> {
  const queue = new PQueue({ concurrency: 1 });
  for (let i = 0; i < ITEMS; i++) await queue.add(() => work(i));
}

async function pQueueAll(): Promise<void> {
  const queue = new PQueue({ concurrency: 1 });
  for (let i = 0; i < ITEMS; i++) void queue.add(() => work(i));
  await queue.onIdle();
}

const results: Comparison[] = [];

for (const [name, make] of lockKinds) {
  results.push(
    await compare(
      "lock, uncontended",
      ONE_BY_ONE,
      variant("Lock", () => oneByOne(new Lock())),
      variant(name, () => oneByOne(make())),
      rounds,
    ),
    await compare(
      `lock, ${TASKS} tasks contending`,
      TASKS * ROUNDS_PER_TASK,
      variant("Lock", () => contended(new Lock())),
      variant(name, () => contended(make())),
      rounds,
    ),
    await compare(
      `lock, ${BURST} waiters at once`,
      BURST,
      variant("Lock", () => burst(new Lock(), BURST)),
      variant(name, () => burst(make(), BURST)),
      rounds,
    ),
  );
}

const body = (): void => work(1);

/** `count` critical sections in line behind one another, in the idiom of each: ours takes the function, ... */
async function sectionsWith(count: number): Promise<void> {
  const lock = new Lock();
  const sections: PromiseLike<void>[] = [];
  await lock.acquire();
  for (let i = 0; i < count; i++) sections.push(lock.with(body));
  lock.release();
  await sections.at(-1);
}

/** ... async-sema is given an async function with try and finally. */
async function sectionsSema(count: number): Promise<void> {
  const sema = new Sema(1);
  const section = async (): Promise<void> => {
    await sema.acquire();
    try {
      body();
    } finally {
      sema.release();
    }
  };
  const sections: Promise<void>[] = [];
  await sema.acquire();
  for (let i = 0; i < count; i++) sections.push(section());
  sema.release();
  await sections.at(-1);
}

results.push(
  await compare(
    "lock, uncontended, asking done()",
    ONE_BY_ONE,
    variant("Lock", askingFirst),
    variant("async-sema", () => oneByOne(new Sema(1))),
    rounds,
  ),
  await compare(
    "lock, uncontended, awaiting nothing",
    ONE_BY_ONE,
    variant("Lock", askingFirst),
    variant("async-sema", tryingFirst),
    rounds,
  ),
  await compare(
    "lock.with(fn), uncontended",
    ONE_BY_ONE,
    variant("Lock.with", async () => {
      const lock = new Lock();
      for (let i = 0; i < ONE_BY_ONE; i++) await lock.with(body);
    }),
    variant("async-mutex", async () => {
      const mutex = new Mutex();
      for (let i = 0; i < ONE_BY_ONE; i++) await mutex.runExclusive(body);
    }),
    rounds,
  ),
  await compare(
    "critical sections in line",
    BURST,
    variant("Lock.with", () => sectionsWith(BURST)),
    variant("async-sema", () => sectionsSema(BURST)),
    rounds,
  ),
  await compare(
    "lock.with(fn), contended",
    BURST,
    variant("Lock.with", async () => {
      const lock = new Lock();
      await Promise.all(Array.from({ length: BURST }, () => lock.with(body)));
    }),
    variant("async-mutex", async () => {
      const mutex = new Mutex();
      await Promise.all(Array.from({ length: BURST }, () => mutex.runExclusive(body)));
    }),
    rounds,
  ),
  await compare("items to a worker, one by one", ITEMS, variant("Queue(1)", passOneByOne), variant("fastq.promise", fastqOneByOne), rounds),
  await compare("items to a worker, one by one", ITEMS, variant("Queue(1)", passOneByOne), variant("p-queue", pQueueOneByOne), rounds),
  await compare(
    "items to a worker, asking done()",
    ITEMS,
    variant("Queue(100)", passAsking),
    variant("fastq.promise", fastqOneByOne),
    rounds,
  ),
  await compare("items to a worker, all at once", ITEMS, variant("Queue", passAll), variant("fastq.promise", fastqAll), rounds),
  await compare("items to a worker, all at once", ITEMS, variant("Queue", passAll), variant("p-queue", pQueueAll), rounds),
  await compare("put and get, in one task", ITEMS, variant("Queue", putAndGet), variant("fastq.promise", fastqOneByOne), rounds),
  await compare("put and get, awaiting nothing", ITEMS, variant("Queue", passNowait), variant("fastq", fastqCallbacks), rounds),
);
printComparisons(results);

const quarter = await variant("", () => burst(new Lock(), MILLION / 4)).run();
const whole = await variant("", () => burst(new Lock(), MILLION)).run();
console.log(
  `waiters on one lock: ${(MILLION / 4).toLocaleString("en")} in ${quarter.toFixed(0)} ms, ` +
    `${MILLION.toLocaleString("en")} in ${whole.toFixed(0)} ms (${(whole / quarter).toFixed(1)} times)`,
);
// The sum is shown so that nobody can say the work was optimised away.
console.log(`checksum ${sink}`);
