/**
 * `StreamReader` against a plain model of the documented rules: a string, the limit, and each read written down as the documentation says it. Random
 * data in random pieces, random reads before and after them; every result, error and flow-control call must agree.
 */
import { expect } from "chai";
import fc from "fast-check";
import type { Future } from "../../src/concurrent/index.js";
import { IncompleteReadError, LimitOverrunError, StreamReader } from "../../src/asyncio/index.js";
import { nextRound } from "../support/real-timers.js";
import { makeLoop } from "../support/loop.js";

type Read =
  | { readonly method: "read"; readonly n: number }
  | { readonly method: "readexactly"; readonly n: number }
  | { readonly method: "readline" }
  | { readonly method: "readuntil"; readonly separators: readonly string[] };

type Step = { readonly feed: readonly string[] } | { readonly read: Read } | { readonly cancel: true };

/** An outcome as text that both sides can be compared by. */
type Outcome = string;

class Model {
  buffer = "";
  eof = false;
  paused = false;
  readonly calls: string[] = [];
  pending: Read | undefined;

  readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  feed(pieces: readonly string[]): void {
    for (const piece of pieces) {
      if (piece === "") continue;
      this.buffer += piece;
      if (this.paused || this.buffer.length <= 2 * this.limit) continue;
      this.paused = true;
      this.calls.push("pause");
    }
  }

  /** The outcome of the pending read, if it has one now. */
  attempt(): Outcome | undefined {
    const { pending } = this;
    if (pending === undefined) return undefined;
    const outcome = this[pending.method](pending as never);
    if (outcome === undefined) {
      if (this.paused) this.resume();
      return undefined;
    }
    this.pending = undefined;
    return outcome;
  }

  private resume(): void {
    this.paused = false;
    this.calls.push("resume");
  }

  private take(count: number): string {
    const taken = this.buffer.slice(0, count);
    this.buffer = this.buffer.slice(count);
    if (this.paused && this.buffer.length <= this.limit) this.resume();
    return taken;
  }

  private incomplete(expected: number | undefined): Outcome {
    const partial = this.take(this.buffer.length);
    return `incomplete ${JSON.stringify(partial)} ${String(expected)}`;
  }

  private read({ n }: { n: number }): Outcome | undefined {
    if (n === 0) return value("");
    if (n < 0) return this.eof ? value(this.take(this.buffer.length)) : undefined;
    return this.buffer.length > 0 || this.eof ? value(this.take(n)) : undefined;
  }

  private readexactly({ n }: { n: number }): Outcome | undefined {
    if (this.buffer.length >= n) return value(this.take(n));
    return this.eof ? this.incomplete(n) : undefined;
  }

  private readline(): Outcome | undefined {
    const end = this.buffer.indexOf("\n");
    if (end > this.limit) {
      this.take(end + 1);
      return "too long";
    }
    if (end >= 0) return value(this.take(end + 1));
    if (this.buffer.length > this.limit) {
      this.take(this.buffer.length);
      return "too long";
    }
    return this.eof ? value(this.take(this.buffer.length)) : undefined;
  }

  private readuntil({ separators }: { separators: readonly string[] }): Outcome | undefined {
    const matches = separators
      .map((separator) => ({ start: this.buffer.indexOf(separator), separator }))
      .filter(({ start }) => start >= 0)
      .map(({ start, separator }) => ({ start, end: start + separator.length }))
      .sort((a, b) => a.end - b.end || b.start - a.start);
    const [first] = matches;
    if (first !== undefined) return first.start > this.limit ? `found, overrun ${first.start}` : value(this.take(first.end));
    const shortest = Math.min(...separators.map(({ length }) => length));
    const longest = Math.max(...separators.map(({ length }) => length));
    const consumed = this.buffer.length + 1 - longest;
    if (this.buffer.length >= shortest && consumed > this.limit) return `not found, overrun ${consumed}`;
    return this.eof ? this.incomplete(undefined) : undefined;
  }
}

function value(bytes: string): Outcome {
  return `value ${JSON.stringify(bytes)}`;
}

async function outcomeOf(future: Future<Buffer>): Promise<Outcome> {
  try {
    return value((await future).toString("latin1"));
  } catch (error) {
    if (error instanceof IncompleteReadError)
      return `incomplete ${JSON.stringify(error.partial.toString("latin1"))} ${String(error.expected)}`;
    if (error instanceof LimitOverrunError)
      return `${error.message.includes("not found") ? "not found" : "found"}, overrun ${error.consumed}`;
    if (error instanceof RangeError && error.cause instanceof LimitOverrunError) return "too long";
    throw error;
  }
}

function begin(reader: StreamReader, read: Read): Future<Buffer> {
  switch (read.method) {
    case "read":
      return reader.read(read.n);
    case "readexactly":
      return reader.readexactly(read.n);
    case "readline":
      return reader.readline();
    case "readuntil":
      return reader.readuntil(read.separators.length === 1 ? read.separators[0]! : read.separators);
  }
}

// Few different bytes, so that separators come often, partly and overlapping.
const piece = fc.string({ unit: fc.constantFrom("a", "b", "\n", "\r"), maxLength: 12 });
const separator = fc.string({ unit: fc.constantFrom("a", "b", "\n", "\r"), minLength: 1, maxLength: 4 });
const read: fc.Arbitrary<Read> = fc.oneof(
  fc.record({ method: fc.constant("read" as const), n: fc.integer({ min: -1, max: 20 }) }),
  fc.record({ method: fc.constant("readexactly" as const), n: fc.nat({ max: 30 }) }),
  fc.record({ method: fc.constant("readline" as const) }),
  fc.record({ method: fc.constant("readuntil" as const), separators: fc.uniqueArray(separator, { minLength: 1, maxLength: 3 }) }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ feed: fc.array(piece, { minLength: 1, maxLength: 3 }) }) },
  { weight: 6, arbitrary: fc.record({ read }) },
  { weight: 1, arbitrary: fc.record({ cancel: fc.constant(true as const) }) },
);

/** Runs the steps on both; then the end, and reads until nothing is left. */
async function run(limit: number, steps: readonly Step[], lastReads: readonly Read[]): Promise<void> {
  const reader = new StreamReader({ limit });
  const model = new Model(limit);
  const calls: string[] = [];
  reader.setTransport({ pauseReading: () => calls.push("pause"), resumeReading: () => calls.push("resume") });
  let future: Future<Buffer> | undefined;

  const agree = async (): Promise<void> => {
    const expected = model.attempt();
    await null;
    await null;
    expect(calls, "flow control").to.deep.equal(model.calls);
    if (expected === undefined) {
      expect(future?.done() ?? false, "a read is done that should wait").to.equal(false);
      return;
    }
    expect(future?.done(), `a read waits that should have ${expected}`).to.equal(true);
    expect(await outcomeOf(future!)).to.equal(expected);
    future = undefined;
  };

  for (const each of steps) {
    if ("feed" in each) {
      for (const one of each.feed) reader.feedData(one);
      model.feed(each.feed);
    } else if ("cancel" in each) {
      future?.cancel();
      future = model.pending = undefined;
      continue;
    } else {
      if (future !== undefined) continue;
      future = begin(reader, each.read);
      model.pending = each.read;
    }
    await agree();
  }
  reader.feedEof();
  model.eof = true;
  await agree();
  for (const each of lastReads) {
    future = begin(reader, each);
    model.pending = each;
    await agree();
    expect(reader.atEof()).to.equal(model.buffer === "");
  }
}

describe("StreamReader against a model", () => {
  beforeEach(() => void makeLoop());

  it("A3 A4 A6 A7 A8 A9 A10 A11 A12 A13 A14 A17 A18 A21 A22 random pieces and reads give what the model gives", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.array(step, { maxLength: 40 }),
        fc.array(read, { maxLength: 6 }),
        async (limit, steps, lastReads) => run(limit, steps, lastReads),
      ),
      { numRuns: 3000 },
    );
    await nextRound();
  }).timeout(60_000);

  it("A2 the same bytes in other pieces give the same lines", async () => {
    await fc.assert(
      fc.asyncProperty(
        piece.chain((first) => fc.array(piece).map((others) => [first, ...others])),
        fc.array(fc.nat({ max: 9 })),
        async (pieces, cuts) => {
          const linesOf = async (parts: readonly string[]): Promise<string[]> => {
            const reader = new StreamReader();
            const lines: string[] = [];
            const reading = (async () => {
              for await (const line of reader) lines.push(line.toString());
            })();
            for (const part of parts) {
              reader.feedData(part);
              await null;
            }
            reader.feedEof();
            await reading;
            return lines;
          };
          const all = pieces.join("");
          const others: string[] = [];
          let at = 0;
          for (const cut of cuts) others.push(all.slice(at, (at += cut)));
          others.push(all.slice(at));
          expect(await linesOf(others)).to.deep.equal(await linesOf(pieces));
        },
      ),
      { numRuns: 300 },
    );
  }).timeout(20_000);
});
