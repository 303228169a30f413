/**
 * The thread-safe way in: a handle whose token other threads use to have one callback run on the loop (H11).
 *
 * A token is a few shared integers: a state, how many threads are in the middle of a wake, whether a wake is pending, and the number of the
 * loop's eventfd. Closing waits for the threads that are in the middle, so that none writes to a descriptor that has become another's.
 */
import { inspect } from "node:util";
import { isMainThread } from "node:worker_threads";
import { signalEventFd } from "../platform/index.js";
import type { QueuedCallback } from "./context.js";
import type { Waker } from "./waker.js";

const CLOSED = 0;
const USERS = 1;
const PENDING = 2;
const DESCRIPTOR = 3;
const LENGTH = 4;
const KEY = "ioloop.WakeToken";

/**
 * What travels to another thread, through `postMessage` or `workerData`, to any number of them. Opaque: only good for `wakeLoop`.
 */
export interface WakeToken {
  /** @internal */
  readonly kind: typeof KEY;
  /** @internal */
  readonly state: SharedArrayBuffer;
}

/** A way for other threads to have a callback run on the loop that made it. Does not keep the process alive. */
export interface WakeHandle {
  /** Post it to the threads that shall wake the loop. */
  readonly token: WakeToken;
  /** Has the callback run, from the loop's own thread. Wakes may merge; after the last one the callback runs at least once. */
  wake(): void;
  /** Ends it: from now on `wakeLoop` answers false everywhere. Closing again does nothing. */
  close(): void;
}

/**
 * How long `close` waits for threads that are in the middle of a wake, which takes them microseconds. Only a thread that was ended right
 * there is waited for in vain, and that one writes nothing any more.
 */
const CLOSE_PATIENCE_MS = 100;

/** The handles of a loop. */
export class WakeHandles {
  readonly #waker: Waker;
  readonly #handles = new Set<LoopWakeHandle>();

  constructor(waker: Waker) {
    this.#waker = waker;
  }

  /** A handle whose callbacks `callback` makes. */
  add(callback: () => QueuedCallback): WakeHandle {
    const handle = new LoopWakeHandle(this.#waker, callback, (closed) => this.#handles.delete(closed));
    this.#handles.add(handle);
    return handle;
  }

  /** The waker was readable: a callback of each handle that was woken. */
  *take(): IterableIterator<QueuedCallback> {
    // Before the handles are asked: a wake that comes in between makes it readable again.
    this.#waker.consume();
    for (const handle of this.#handles) if (handle.takePending()) yield handle.callback();
  }

  close(): void {
    for (const handle of this.#handles) handle.close();
  }
}

/** A handle as its loop keeps it. */
class LoopWakeHandle implements WakeHandle {
  readonly token: WakeToken;
  readonly callback: () => QueuedCallback;
  readonly #state: Int32Array;
  readonly #closed: (handle: LoopWakeHandle) => void;

  constructor(waker: Waker, callback: () => QueuedCallback, closed: (handle: LoopWakeHandle) => void) {
    const shared = new SharedArrayBuffer(LENGTH * Int32Array.BYTES_PER_ELEMENT);
    this.#state = new Int32Array(shared);
    this.#state[DESCRIPTOR] = waker.writeFileno();
    this.token = { kind: KEY, state: shared };
    this.callback = callback;
    this.#closed = closed;
  }

  wake(): void {
    wakeLoop(this.token);
  }

  /** Whether a wake came since the last call. */
  takePending(): boolean {
    return Atomics.exchange(this.#state, PENDING, 0) === 1;
  }

  close(): void {
    if (Atomics.exchange(this.#state, CLOSED, 1) === 1) return;
    const patience = performance.now() + CLOSE_PATIENCE_MS;
    for (;;) {
      const users = Atomics.load(this.#state, USERS);
      if (users === 0 || performance.now() > patience) break;
      Atomics.wait(this.#state, USERS, users, 1);
    }
    this.#closed(this);
  }
}

/**
 * Wakes the loop that a token came from, from any thread: its wait ends and the handle's callback runs as a callback of that loop. No data
 * travels; the callback reads a queue or shared memory of its own.
 *
 * @returns false once the handle or its loop is closed; no descriptor is touched then
 * @throws TypeError for what is no token
 */
export function wakeLoop(token: WakeToken): boolean {
  const shared = (token as Partial<WakeToken> | null | undefined)?.kind === KEY ? token.state : undefined;
  if (!(shared instanceof SharedArrayBuffer) || shared.byteLength !== LENGTH * Int32Array.BYTES_PER_ELEMENT) {
    throw new TypeError(`token is ${inspect(token, { depth: 0 })}: pass the token of a handle made by loop.createWakeHandle()`);
  }
  const state = new Int32Array(shared);
  Atomics.add(state, USERS, 1);
  try {
    if (Atomics.load(state, CLOSED) === 1) return false;
    // Written each time, though the first of several wakes would do (eventfd(2) adds them up): a worker that is ended between these two
    // lines would otherwise leave the handle marked and silent for ever.
    Atomics.store(state, PENDING, 1);
    signalEventFd(state[DESCRIPTOR] as number);
    return true;
  } finally {
    Atomics.sub(state, USERS, 1);
    if (!isMainThread) Atomics.notify(state, USERS);
  }
}
