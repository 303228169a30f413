/**
 * Reads what a command writes, through `child.stdout` of `node:child_process`: `pipe-node.ts bytes|lines|readline WARM_UP MILLISECONDS COMMAND...`. Bytes are
 * counted as they come; lines one by one, split by hand or by `node:readline`.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { done, reportTime } from "./counted.js";

const NEWLINE = 10;

function bytes(stream: Readable): void {
  stream.on("data", (data: Buffer) => (done.count += data.length));
}

/** As people write it: what is left of a line waits for the rest. */
function lines(stream: Readable): void {
  let rest: Buffer | undefined;
  const lengths = { total: 0 };
  stream.on("data", (data: Buffer) => {
    let all = rest === undefined ? data : Buffer.concat([rest, data]);
    for (let end = all.indexOf(NEWLINE); end >= 0; end = all.indexOf(NEWLINE)) {
      // The line is made, as a reader would have it.
      const line = all.subarray(0, end + 1);
      lengths.total += line.length;
      done.count++;
      all = all.subarray(end + 1);
    }
    rest = all.length > 0 ? all : undefined;
  });
}

function readline(stream: Readable): void {
  createInterface({ input: stream }).on("line", () => done.count++);
}

const readers: Record<string, (stream: Readable) => void> = { bytes, lines, readline };
const [reader = "", warmUp, milliseconds, command = "", ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
readers[reader]?.(child.stdout);
await reportTime(Number(warmUp), Number(milliseconds), { feeder: child.pid as number });
child.kill();
process.exit();
