/** Node's own timers and clock, taken before any test can put fake ones in their place. */
const { setImmediate: realSetImmediate, setTimeout: realSetTimeout } = globalThis;
const realNow = performance.now.bind(performance);

/** Resolves in the next round of Node's event loop, after the callbacks of descriptors that are ready now. */
export function nextRound(): Promise<void> {
  return new Promise((resolve) => {
    realSetImmediate(resolve);
  });
}

/** Resolves after `milliseconds` of real time, whatever clock the test has installed. */
export function realDelay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    realSetTimeout(resolve, milliseconds);
  });
}

/** Real milliseconds on a clock that never goes backwards. */
export function realMilliseconds(): number {
  return realNow();
}

/**
 * Gives Node rounds until `done()` holds: what closes late (libuv's close callbacks, the end of a child process) needs a few.
 *
 * @param limit real milliseconds after which to give up; what is right takes a few, on a machine that does other things a thousand
 * @returns whether `done()` held in the end
 */
export async function settle(done: () => boolean, limit = 5000): Promise<boolean> {
  for (let round = 0; round < 20; round++) {
    if (done()) return true;
    await nextRound();
  }
  for (const start = realNow(); realNow() - start < limit;) {
    if (done()) return true;
    await realDelay(5);
  }
  return done();
}
