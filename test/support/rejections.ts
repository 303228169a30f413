/**
 * Rejections that nobody handled. One that the test has not declared makes it fail, in the test where Node reported it.
 */
import { inspect } from "node:util";

let unhandled = new Map<Promise<unknown>, unknown>();
let expected: RegExp[] = [];

// Mocha has a listener of its own and passes the event on to the others, so one rejection can arrive twice: the promise is the key.
process.on("unhandledRejection", (reason, promise) => {
  unhandled.set(promise, reason);
});

/** Forgets what earlier tests left. */
export function startWatchingRejections(): void {
  unhandled = new Map();
  expected = [];
}

/** Declares an unhandled rejection that the test provokes, and demands it. */
export function expectUnhandledRejection(pattern: RegExp): void {
  expected.push(pattern);
}

/** Rejections nobody handled or declared, and declared ones that did not come. */
export function rejectionProblems(): string[] {
  const open = [...expected];
  const problems: string[] = [];
  for (const reason of unhandled.values()) {
    const text = inspect(reason);
    const index = open.findIndex((pattern) => pattern.test(text));
    if (index >= 0) open.splice(index, 1);
    else problems.push(`unhandled rejection: ${text}`);
  }
  return [...problems, ...open.map((pattern) => `expected an unhandled rejection ${String(pattern)}, none came`)];
}
