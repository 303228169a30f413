/** What every contender's process does with its standard input. */

/**
 * To each line answers how many connections there are, after a collection of garbage, so that the memory that is then read is what they need. Ends the
 * process when the input ends: the suite is gone then.
 */
export function followStandardInput(connections: () => number, collectGarbage: () => void): void {
  process.stdin.on("data", () => {
    collectGarbage();
    collectGarbage();
    console.log(connections());
  });
  process.stdin.on("end", () => {
    process.exit();
  });
}

/** For those that run in Node with `--expose-gc`. */
export function collectNodeGarbage(): void {
  globalThis.gc?.();
}
