/** The separators of `readuntil`: their checks and the search for them. Depends on the read buffer of `iostream`. */
import type { ReadBuffer } from "../iostream/index.js";
import { show } from "../process/index.js";

/** One or several separators, the shortest first. */
export class Separators {
  readonly #each: readonly Buffer[];
  /** Length of the shortest, and of the longest. */
  readonly least: number;
  readonly most: number;
  /** Where the last search has found one, from the first unread byte. */
  matchStart = 0;
  matchEnd = 0;

  constructor(each: readonly Buffer[]) {
    this.#each = each;
    this.least = each[0]?.length ?? 0;
    this.most = each.at(-1)?.length ?? 0;
  }

  /**
   * Whether one is there that does not begin before `from`. Of several the one that ends first counts, and of those the shortest; `matchStart` and
   * `matchEnd` say where it is.
   */
  find(buffer: ReadBuffer, from: number): boolean {
    let end = -1;
    for (const separator of this.#each) {
      const at = buffer.find(separator, from);
      if (at < 0 || (end >= 0 && at + separator.length >= end)) continue;
      this.matchStart = at;
      end = at + separator.length;
    }
    this.matchEnd = end;
    return end >= 0;
  }
}

/** The separator of a line. */
export const NEWLINE: Separators = new Separators([Buffer.from("\n")]);

/**
 * @throws TypeError for what are no bytes, RangeError for an empty separator or none at all
 */
export function separatorsOf(separator: unknown): Separators {
  if (separator === "\n" || separator === undefined) return NEWLINE;
  if (!Array.isArray(separator)) return new Separators([bytesOf(separator)]);
  if (separator.length === 0) throw new RangeError("Separator should contain at least one element: the list is empty");
  return new Separators((separator as readonly unknown[]).map(bytesOf).sort((a, b) => a.length - b.length));
}

function bytesOf(separator: unknown): Buffer {
  if (typeof separator !== "string" && !(separator instanceof Uint8Array)) {
    throw new TypeError(`separator is ${show(separator)}: pass a string or a Uint8Array, or a list of them`);
  }
  if (separator.length === 0) throw new RangeError("Separator should be at least one byte long: it is empty");
  // A copy: the caller may change the bytes while the read waits.
  return Buffer.from(separator as string);
}
