/**
 * Loops for tests: made here, they are checked and closed when the test is over.
 *
 * Nothing may be left on one that is still open: no handler (the loop's own waker is not counted), no timeout, no queued callback, and it must
 * have stopped. Nor may a test leave a current loop or a singleton behind. A loop that the test has closed itself is not looked at.
 */
import { IOLoop, PollIOLoop } from "../../src/ioloop/index.js";
import type { IOLoopOptions, PollIOLoopOptions } from "../../src/ioloop/index.js";
import { atEndOfTest } from "./end-of-test.js";
import { settle } from "./real-timers.js";

let loops: PollIOLoop[] = [];

/**
 * Makes a loop: around a poller of the test's own when `impl` is given, else of the platform's class. As with `new IOLoop()`, it becomes the
 * current one when there is none.
 */
export function makeLoop(options: IOLoopOptions | PollIOLoopOptions = {}): PollIOLoop {
  const loop = asPollIOLoop("impl" in options ? new PollIOLoop(options) : new IOLoop(options));
  loops.push(loop);
  return loop;
}

/** What `IOLoop` makes wherever these tests can run. */
function asPollIOLoop(loop: IOLoop): PollIOLoop {
  if (loop instanceof PollIOLoop) return loop;
  throw new Error(`${loop.constructor.name} is no PollIOLoop: a test that configures another class makes its loops itself`);
}

async function closeAndCheck(loop: PollIOLoop, name: string): Promise<string[]> {
  const { closed, running, handlers, timeouts, callbacks } = loop.statistics();
  if (closed) return [];
  const problems: string[] = [];
  if (running) {
    problems.push(`${name} is still running`);
    loop.stop();
    await settle(() => !loop.statistics().running);
  } else {
    // A loop that was still running says nothing about what its test would have taken off it.
    if (handlers > 0) problems.push(`${name} has handlers left for ${[...loop._handlers.keys()].join(", ")} (its waker included)`);
    if (timeouts > 0) problems.push(`${name} has ${timeouts} timeout(s) left`);
    if (callbacks > 0) problems.push(`${name} has ${callbacks} callback(s) left`);
  }
  loop.close();
  return problems;
}

atEndOfTest(async () => {
  const made = loops;
  loops = [];
  const problems: string[] = [];
  for (const [index, loop] of made.entries()) problems.push(...(await closeAndCheck(loop, `loop ${index + 1}`)));
  for (const [name, loop] of [
    ["the current loop", IOLoop.current(false)],
    ["the singleton", IOLoop.initialized() ? IOLoop.instance() : undefined],
  ] as const) {
    if (loop === undefined) continue;
    problems.push(`${name} was left behind: make it with makeLoop(), or close it in the test`);
    // The one may be the other.
    if (!loop.statistics().closed) await closeAndCheck(asPollIOLoop(loop), name);
  }
  IOLoop.clearCurrent();
  IOLoop.clearInstance();
  return problems;
});
