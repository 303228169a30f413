/**
 * Mocha root hooks: after every test nothing may be left that was not there before it, and nothing may have been logged or rejected unnoticed.
 *
 * They run outside of a suite's own hooks (before its `beforeEach`, after its `afterEach`), so what a suite opens and closes around each test
 * counts as the test's. What a suite opens in `before` is checked when everything has run. A finding fails the test that left it and the
 * run goes on.
 */
import { readFileSync } from "node:fs";
import type { RootHookObject } from "mocha";
import sinon from "sinon";
import { ffiCallbacks, nativeAllocations } from "../../src/platform/index.js";
import { nativeTlsObjects } from "../../src/ssl/index.js";
import { added, openDescriptors } from "./descriptors.js";
import type { Descriptors } from "./descriptors.js";
import "./loop.js"; // Checks that no current loop and no singleton is left, also in tests that make theirs another way.
import { endOfTestProblems } from "./end-of-test.js";
import { logProblems, startRecording } from "./log-records.js";
import { nextRound, settle } from "./real-timers.js";
import { rejectionProblems, startWatchingRejections } from "./rejections.js";
import { warmUp } from "./warm-up.js";

type Counts = ReadonlyMap<string, number>;

interface Snapshot {
  readonly descriptors: Descriptors;
  readonly listeners: Counts;
  readonly resources: Counts;
  readonly native: Counts;
  readonly ignoredSignals: string;
}

/** How long what a test has left may take to go, in milliseconds. */
const PATIENCE = Number(process.env["IOLOOP_PATIENCE"] ?? 3000);

let baseline: Snapshot;
let before: Snapshot;

function processListeners(): Counts {
  return new Map(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
}

/**
 * Node's own handles and timers that keep the process alive. Immediates are left out (Mocha drives itself with them), and so are requests in
 * Node's thread pool, which its module loader makes at any time.
 */
function nodeResources(): Counts {
  const counts = new Map<string, number>();
  for (const type of process.getActiveResourcesInfo()) {
    if (type === "Immediate" || type.startsWith("FSReq")) continue;
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  return counts;
}

function nativeObjects(): Counts {
  return new Map([
    ["FFI callbacks and watches", ffiCallbacks()],
    ["native memory blocks", nativeAllocations()],
    // Contexts that nobody closes are freed when they are collected, so they are no test's to answer for.
    ["native TLS connections", nativeTlsObjects().connections],
    ["other native TLS objects", nativeTlsObjects().others],
  ]);
}

/** Signals this process ignores, as a mask. Taking off the last listener of SIGPIPE puts the default in place of Node's own SIG_IGN. */
function ignoredSignals(): string {
  return /^SigIgn:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "";
}

function grown(earlier: Counts, later: Counts): string[] {
  return [...later]
    .filter(([key, count]) => count > (earlier.get(key) ?? 0))
    .map(([key, count]) => `${key}: ${earlier.get(key) ?? 0} before, ${count} after`);
}

function shrunk(earlier: Counts, later: Counts): string[] {
  return [...earlier]
    .filter(([key, count]) => count > (later.get(key) ?? 0))
    .map(([key, count]) => `${key}: ${count} before, ${later.get(key) ?? 0} after`);
}

function takeSnapshot(): Snapshot {
  return {
    descriptors: openDescriptors(),
    listeners: processListeners(),
    resources: nodeResources(),
    native: nativeObjects(),
    ignoredSignals: ignoredSignals(),
  };
}

/** What is there now and was not at `earlier`, one line each. */
function leftovers(earlier: Snapshot): string[] {
  const now = takeSnapshot();
  return [
    ...added(earlier.descriptors, now.descriptors).map((what) => `left open: ${what}`),
    // Node's own descriptors are never a test's to close: a number closed twice hits whoever got it next.
    ...added(now.descriptors, baseline.descriptors).map((what) => `closed, but not the test's: ${what}`),
    ...grown(earlier.listeners, now.listeners).map((what) => `process listeners left, ${what}`),
    ...shrunk(earlier.listeners, now.listeners).map((what) => `process listeners lost, ${what}`),
    ...grown(earlier.native, now.native).map((what) => `native objects left, ${what}`),
    ...(now.ignoredSignals === earlier.ignoredSignals
      ? []
      : [`signals ignored: mask ${earlier.ignoredSignals} before, ${now.ignoredSignals} after (a listener of SIGPIPE taken off?)`]),
    ...grown(earlier.resources, now.resources).map((what) => `keeps the process alive, ${what}`),
  ];
}

export const mochaHooks: RootHookObject = {
  async beforeAll(this: Mocha.Context) {
    this.timeout(20_000);
    await warmUp();
    startRecording();
    baseline = takeSnapshot();
  },

  async beforeEach() {
    // Mocha keeps a timer for a hook that returns a promise: with a round awaited here and below it is in both snapshots.
    await nextRound();
    startRecording();
    startWatchingRejections();
    before = takeSnapshot();
  },

  async afterEach(this: Mocha.Context) {
    sinon.restore();
    const own = await endOfTestProblems();
    // One round at least: a rejection is reported when the microtasks of its turn have run.
    await nextRound();
    await settle(() => leftovers(before).length === 0, PATIENCE);
    const problems = [...own, ...leftovers(before), ...rejectionProblems(), ...logProblems()];
    // The hook object serves every test: an error set here fails the test it ran for, and has to be taken back for the next.
    const hook = this.test as unknown as { error: (error: Error | undefined) => void };
    hook.error(problems.length === 0 ? undefined : new Error(`After the test: ${problems.join("\n")}`));
  },

  async afterAll() {
    await settle(() => leftovers(baseline).length === 0, PATIENCE);
    const problems = leftovers(baseline);
    if (problems.length > 0) throw new Error(`After all tests: ${problems.join("\n")}`);
  },
};
