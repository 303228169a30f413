/** What the works of `in-process-ioloop.ts` and `in-process-node.ts` share, so that both do the same. */

/** So many futures wait at a time: all at once would measure the garbage collector. */
export const TOGETHER = 100;

const LONGEST_DELAY = 1000;

/** Milliseconds, varied but the same each time. */
export function delays(count: number): number[] {
  let state = 12345;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 1 + (state % LONGEST_DELAY);
  });
}
