/**
 * The load of `npm run bench` in Node, for machines without a C compiler: `node load.js MODE PORT [NAME=NUMBER ...]`. Modes, options and output are those of
 * `c/load.c`. It is slower than the fast servers: its share of its core, which it reports, says where it was the limit.
 */
import { connect, type Socket } from "node:net";

const [mode = "", port = "", ...settings] = process.argv.slice(2);
const options = new Map(settings.map((each) => each.split("=") as [string, string]));
const option = (name: string, otherwise: number): number => Number(options.get(name) ?? otherwise);
const connections = option("connections", 50);

const LINE = Buffer.from(`${"x".repeat(63)}\n`);
const CHUNK = Buffer.alloc(1 << 20, "x");

let items = 0;
let begun = NaN;
let usage = process.cpuUsage();
let latencies: number[] = [];

function beginMeasuring(): void {
  console.log("measuring");
  items = 0;
  latencies = [];
  usage = process.cpuUsage();
  begun = performance.now();
}

function report(): never {
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(usage);
  const sorted = Float64Array.from(latencies).sort();
  const quantile = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const latency = sorted.length === 0 ? undefined : { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999) };
  console.log(JSON.stringify({ items, seconds, loadCpu: (user + system) / 1e6 / seconds, latency }));
  process.exit();
}

/** Measures for as long as was asked, after warming up. */
function measureByTime(): void {
  setTimeout(
    () => {
      beginMeasuring();
      setTimeout(report, option("ms", 1500));
    },
    option("warmup", 1000),
  );
}

const open = (): Socket => connect({ port: Number(port), host: "127.0.0.1", noDelay: true });

/** Sends lines and calls `done` for each that has come back. */
function converse(socket: Socket, lines: number, done: () => void): void {
  const sent: number[] = [];
  let got = 0;
  const send = (): void => {
    sent.push(performance.now());
    socket.write(LINE);
  };
  socket.on("data", (data) => {
    for (got += data.length; got >= LINE.length; got -= LINE.length) {
      const time = sent.shift();
      if (time === undefined) throw new Error("More answers than lines");
      latencies.push((performance.now() - time) * 1000);
      items++;
      done();
      if (!socket.writableEnded) send();
    }
  });
  for (let i = 0; i < lines; i++) send();
}

function echo(): void {
  for (let i = 0; i < connections; i++) converse(open(), option("depth", 1), () => undefined);
  measureByTime();
}

function churn(): void {
  const begin = (): void => {
    const socket = open();
    converse(socket, 1, () => {
      socket.end();
      begin();
    });
  };
  for (let i = 0; i < connections; i++) begin();
  measureByTime();
}

/** Counts what has gone over all connections; measuring starts after the first `warmup` bytes. */
function bulk(each: (share: number, count: (bytes: number) => void, finished: () => void) => void): void {
  const warm = option("warmup", 0);
  let total = 0;
  let left = connections;
  const count = (bytes: number): void => {
    items += bytes;
    total += bytes;
    if (Number.isNaN(begun) && total >= warm) beginMeasuring();
  };
  const finished = (): void => {
    if (--left === 0) report();
  };
  const share = Math.trunc((option("bytes", 1e9) + warm) / connections);
  for (let i = 0; i < connections; i++) each(share, count, finished);
}

function sink(share: number, count: (bytes: number) => void, finished: () => void): void {
  const socket = open();
  let left = share;
  socket.on("data", (data) => {
    count(data.length);
    left -= data.length;
    if (left === 0) finished();
  });
  socket.write(`${share}\n`);
}

function source(share: number, count: (bytes: number) => void, finished: () => void): void {
  const socket = open();
  let left = share;
  const send = (): void => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      count(chunk.length);
      if (!socket.write(chunk)) return;
    }
    if (!socket.writableEnded) socket.end();
  };
  socket.on("drain", send).on("close", finished).resume();
  send();
}

function hold(): void {
  process.stdin.on("data", () => {
    let left = connections;
    for (let i = 0; i < connections; i++) {
      open().on("connect", () => {
        if (--left === 0) console.log("held");
      });
    }
  });
  process.stdin.on("end", () => process.exit());
}

const modes: Record<string, () => void> = {
  echo,
  churn,
  sink: () => {
    bulk(sink);
  },
  source: () => {
    bulk(source);
  },
  hold,
};
const begin = modes[mode];
if (begin === undefined) throw new RangeError(`mode is "${mode}": it must be one of ${Object.keys(modes).join(", ")}`);
begin();
