/**
 * The descriptors this process has open, with what each one is, so that a test that leaves one says which.
 *
 * Reads /proc/self/fd itself rather than through `src/platform`: a broken platform layer must not hide its own leak.
 */
import { readdirSync, readlinkSync } from "node:fs";

/** Descriptor number and what the kernel calls it, for example 17 and "socket:[8812]". */
export type Descriptors = ReadonlyMap<number, string>;

/** All open descriptors of the process but the one that reading the directory takes itself. */
export function openDescriptors(): Descriptors {
  const found = new Map<number, string>();
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      const what = readlinkSync(`/proc/self/fd/${name}`);
      // tsx looks through its cache while the first tests run, the longer the busier the machine; and a thread that ends while tsx is loading
      // a part of itself leaves that file open.
      if (!/\/tsx-\d+(\/|$)|\/node_modules\/tsx\//.test(what)) found.set(Number(name), what);
    } catch {
      // The directory's own descriptor, closed by now, or one that a thread of Node's closed meanwhile.
    }
  }
  return found;
}

/** What is open in `after` and was not in `before`; a number that now is something else counts too. */
export function added(before: Descriptors, after: Descriptors): string[] {
  return [...after].filter(([fd, what]) => before.get(fd) !== what).map(([fd, what]) => `descriptor ${fd} (${what})`);
}
