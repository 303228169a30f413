/** Forced collection, for what a Future says when it is collected. */
import { nextRound } from "../support/real-timers.js";

const ROUNDS = 12;

let collected = 0;
const witnesses = new FinalizationRegistry(() => collected++);

/**
 * Collects until an object that is dropped now has been told of, and then twice more: what was dropped before it, and would be told of, is by
 * then. For tests in which nothing is to be said.
 */
export async function collectWhatIsDropped(): Promise<void> {
  const before = collected;
  witnesses.register({}, undefined);
  await collectGarbage(() => collected > before);
  for (let last = 0; last < 2; last++) await collectOnce();
}

async function collectOnce(): Promise<void> {
  await nextRound();
  globalThis.gc?.();
  await nextRound();
}

/**
 * Collects until `done()` holds, and at most a dozen times: a failure is given to the collector when its turn is over, and the collector calls
 * back in a turn of its own.
 */
export async function collectGarbage(done: () => boolean = () => false): Promise<void> {
  for (let round = 0; round < ROUNDS && !done(); round++) await collectOnce();
}
