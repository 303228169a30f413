/**
 * Reads what a command writes, through `Subprocess` and its `PipeIOStream`: `pipe-ioloop.ts bytes|lines|callback WARM_UP MILLISECONDS COMMAND...`. Bytes are
 * counted as they come; lines one by one, with `await` or with callbacks.
 */
import { IOLoop, type PipeIOStream, Subprocess } from "ioloop";
import { done, reportTime } from "./counted.js";

const CHUNK = 65_536;

async function bytes(stream: PipeIOStream): Promise<void> {
  const target = Buffer.alloc(CHUNK);
  for (;;) done.count += await stream.readInto(target, { partial: true });
}

async function lines(stream: PipeIOStream): Promise<void> {
  for (;;) {
    await stream.readUntil("\n");
    done.count++;
  }
}

function callback(stream: PipeIOStream): void {
  const onLine = (): void => {
    done.count++;
    stream.readUntil("\n", onLine);
  };
  stream.readUntil("\n", onLine);
}

const readers: Record<string, (stream: PipeIOStream) => Promise<void> | void> = { bytes, lines, callback };
const [reader = "", warmUp, milliseconds, ...command] = process.argv.slice(2);
const loop = IOLoop.current();
void loop.start();
const child = new Subprocess(command, { stdout: Subprocess.STREAM });
void readers[reader]?.(child.stdout as PipeIOStream);
await reportTime(Number(warmUp), Number(milliseconds), { feeder: child.pid });
process.kill(child.pid);
process.exit();
