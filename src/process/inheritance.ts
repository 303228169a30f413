/**
 * Listening sockets that workers inherit (N95), and what a process knows of its place among them.
 *
 * Node cannot fork. A worker is the same program run again, and its calls that make listening sockets are answered with those that the
 * supervisor made at the same place. So every such call is noted here, in order, until `forkProcesses` is called. `net` does the noting.
 *
 * Depends on the platform's `Socket`.
 */
import { closeDescriptor, Socket } from "../platform/index.js";

/** The variable that tells a worker its number and what it inherits. Removed from the environment when this module is loaded. */
export const WORKER_VARIABLE = "IOLOOP_WORKER";

/** One call of `bindSockets` or `bindUnixSocket`. */
interface Call {
  /** Function and arguments, as text. */
  readonly call: string;
  readonly sockets: readonly Socket[];
}

/** What the variable holds, as JSON. */
export interface Inheritance {
  readonly id: number;
  /** Each call with the numbers of its descriptors in the worker; none for sockets that were closed again before the workers were started. */
  readonly calls: readonly { readonly call: string; readonly fds: readonly number[] }[];
}

/**
 * So many calls are remembered for sure. Beyond that those whose sockets are closed are forgotten: a program that binds and closes for ever
 * (a test suite) must not grow.
 */
const CALLS_KEPT = 1000;

let calls: Call[] = [];
let inherited: Inheritance | undefined = readInheritance();
let claimed = 0;
let recording = inherited === undefined;
let supervising = false;

/** The worker's number; `undefined` in any other process. */
export const workerId: number | undefined = inherited?.id;

function readInheritance(): Inheritance | undefined {
  const text = process.env[WORKER_VARIABLE];
  if (text === undefined) return undefined;
  // A child of the worker is no worker (N97).
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the name is a constant; a variable can be removed in no other way
  delete process.env[WORKER_VARIABLE];
  return JSON.parse(text) as Inheritance;
}

/**
 * The listening sockets for a call that makes some: those inherited for it, or those that `make` makes, which workers can then inherit.
 *
 * @param call - function and arguments as text: what a worker's calls are compared by
 * @throws Error in a worker, for a call that the supervisor did not make at this place
 */
export function listeningSockets(call: string, make: () => Socket[]): Socket[] {
  const found = claim(call);
  if (found !== undefined) return found;
  const sockets = make();
  if (recording) {
    if (calls.length >= CALLS_KEPT) calls = calls.filter((each) => each.sockets.some((socket) => !socket.closed));
    calls.push({ call, sockets });
  }
  return sockets;
}

function claim(call: string): Socket[] | undefined {
  if (inherited === undefined) return undefined;
  const expected = inherited.calls[claimed];
  if (expected?.call !== call) {
    const what = expected === undefined ? "no further call" : expected.call;
    throw new Error(`${call} in worker ${inherited.id}, where the supervisor made ${what}: make the same calls in the same order in both`);
  }
  claimed++;
  // Closed again before the workers were started: of no use to anybody, so one of its own will do.
  if (expected.fds.length === 0) return undefined;
  return expected.fds.map((fileno) => new Socket(undefined, undefined, undefined, { fileno }));
}

/** In a worker: the inheritance is over. Closes what no call has claimed. */
export function endInheritance(): void {
  const unclaimed = inherited?.calls.slice(claimed) ?? [];
  inherited = undefined;
  for (const { fds } of unclaimed) for (const fd of fds) closeDescriptor(fd);
}

/** In a supervisor: nothing is noted any more; duplicates of what was, which nobody else can close. From here on this process accepts nothing. */
export function beginSupervising(): readonly Call[] {
  recording = false;
  supervising = true;
  const noted = calls.map(({ call, sockets }) => ({
    call,
    sockets: sockets.filter((socket) => !socket.closed).map((socket) => socket.dup()),
  }));
  calls = [];
  return noted;
}

/** Whether this process supervises workers, so that it must accept no connections itself (N96). */
export function isSupervisor(): boolean {
  return supervising;
}
