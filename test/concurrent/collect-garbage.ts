/** Forced collection, for what a Future says when it is collected. */
import { nextRound } from "../support/real-timers.js";

const ROUNDS = 12;

/**
 * Collects until `done()` holds, and at most a dozen times: a failure is given to the collector when its turn is over, and the collector calls
 * back in a turn of its own.
 */
export async function collectGarbage(done: () => boolean = () => false): Promise<void> {
  for (let round = 0; round < ROUNDS && !done(); round++) {
    await nextRound();
    globalThis.gc?.();
    await nextRound();
  }
}
