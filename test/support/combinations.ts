/**
 * The same tests over every poller and every way of waiting inside Node that exists here. Each can be forced, so each is tested, also the one that
 * would only be taken in a worker thread.
 */
import type { IOLoopOptions, PollIOLoop } from "../../src/ioloop/index.js";
import { makeLoop } from "./loop.js";

/** What forces one combination, as loop options. */
export type Combination = Required<Pick<IOLoopOptions, "poller" | "host">>;

/** Those that exist. poll(2) has no descriptor of its own that `uv_poll` could watch. */
export const combinations: readonly Combination[] = [
  { poller: "epoll", host: "uv-poll" },
  { poller: "epoll", host: "thread-pool" },
  { poller: "poll", host: "thread-pool" },
];

/** Makes a loop of the combination at hand; see `makeLoop`. */
export type MakeLoop = (options?: IOLoopOptions) => PollIOLoop;

/**
 * Runs a `describe` body for each combination, with its name in the titles.
 *
 *     eachCombination((name, makeLoop) => {
 *       it("L3 runs an added callback in the next iteration", async () => { const loop = makeLoop(); ... });
 *     });
 */
export function eachCombination(body: (name: string, makeLoop: MakeLoop, combination: Combination) => void): void {
  for (const combination of combinations) {
    const name = `${combination.poller} on ${combination.host}`;
    describe(name, () => {
      body(name, (options) => makeLoop({ ...combination, ...options }), combination);
    });
  }
}
