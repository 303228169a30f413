/**
 * `VirtualTimeIOLoop`: a loop on virtual time. Its clock stands still while there is anything to do, and jumps to the next deadline when there is not:
 * an hour of timeouts runs in no time, in the same order always. Depends on `PollIOLoop`, whose poller it brings.
 *
 * "Anything to do" is: callbacks, due timeouts, ready descriptors, and what Node has to run: promise jobs, immediates, its own timers that are
 * due. A round of Node's loop shows whether there is more. What other threads and processes are about to do cannot be seen: with a timeout
 * running, virtual time passes them by.
 */
import { setImmediate, setTimeout } from "node:timers";
import { isMainThread } from "node:worker_threads";
import { TimeoutError } from "../concurrent/index.js";
import { checkSeconds, EPollPoller, type IOLoopOptions, type Pairs, PollIOLoop, type Poller } from "../ioloop/index.js";
import { type ReadableWatch, watchReadable } from "../platform/index.js";
import { checkOptions } from "../process/index.js";

/** What `new VirtualTimeIOLoop()` takes. */
export interface VirtualTimeOptions extends Pick<IOLoopOptions, "makeCurrent"> {
  /** What the clock shows at first, in seconds; 0 without it. */
  startTime?: number | undefined;
}

/**
 * Rounds of Node's loop without news after which there is nothing left to do. In the first, promise jobs run and immediates that were there; the
 * second sees what those have set off.
 */
const QUIET_ROUNDS = 2;

/** Where no handle of libuv can watch (a worker thread): how often to look, in milliseconds, while there is no deadline to jump to. */
const LOOK_AGAIN_MS = 5;

/** What the poller asks of its loop when nothing is ready. */
interface Schedule {
  /** The deadline to jump to; `undefined` when there is none. */
  next(): number | undefined;
  /** Nothing happens before `deadline`: says whether the clock may go there, else the loop has been told to stop. */
  idle(deadline: number | undefined): boolean;
}

class VirtualPoller implements Poller {
  now: number;
  schedule: Schedule | undefined;
  readonly time = (): number => this.now;
  readonly #inner = new EPollPoller();
  #watch: ReadableWatch | undefined;

  constructor(now: number) {
    this.now = now;
  }

  register(fd: number, events: number): void {
    this.#inner.register(fd, events);
  }

  modify(fd: number, events: number): void {
    this.#inner.modify(fd, events);
  }

  unregister(fd: number): void {
    this.#inner.unregister(fd);
  }

  async poll(timeout: number): Promise<Pairs> {
    for (;;) {
      for (let round = 0; round < (timeout === 0 ? 1 : QUIET_ROUNDS); round++) {
        await new Promise((resolve) => setImmediate(resolve));
        const ready = this.#ready();
        if (ready.length > 0 || timeout === 0) return ready;
      }
      const deadline = this.schedule?.next();
      if (this.schedule?.idle(deadline) === false) return [];
      if (deadline !== undefined) {
        this.now = Math.max(this.now, deadline);
        return [];
      }
      // Nothing on the clock: what is awaited comes from outside, in real time.
      await this.#readable();
    }
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#inner.close();
  }

  #ready(): (readonly [number, number])[] {
    const ready = [...this.#inner.poll(0)];
    // Closing a registered descriptor can leave an entry that cannot be named any more.
    if (this.#inner.tainted) {
      this.#watch?.close();
      this.#watch = undefined;
      this.#inner.rebuild();
    }
    return ready;
  }

  async #readable(): Promise<void> {
    if (!isMainThread) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      return;
    }
    let woken: () => void = () => undefined;
    const readable = new Promise<void>((resolve) => (woken = resolve));
    this.#watch?.close();
    const watch = watchReadable(this.#inner.fileno(), () => {
      setImmediate(woken);
      watch.stop();
    });
    this.#watch = watch;
    watch.start();
    await readable;
    this.#watch.close();
    this.#watch = undefined;
  }
}

/**
 * A loop whose clock moves only when nothing is left to do at its present time. It is used as any loop; `advance` and `runUntilIdle` run it as far as a
 * test wants.
 *
 * With no timeout at all it waits for descriptors in real time, as any loop.
 *
 * @example
 * using loop = new VirtualTimeIOLoop();
 * let calls = 0;
 * new PeriodicCallback(() => calls++, 1000, { ioLoop: loop }).start();
 * await loop.advance(3600); // takes no time
 * console.log(calls, loop.time()); // 3600 3600
 */
export class VirtualTimeIOLoop extends PollIOLoop {
  readonly #poller: VirtualPoller;
  #goesOn: ((deadline: number | undefined) => boolean) | undefined;

  /**
   * @throws TypeError for an unknown option, or a time that is none
   */
  constructor(options: VirtualTimeOptions = {}) {
    checkOptions("new VirtualTimeIOLoop()", ["startTime", "makeCurrent"], options);
    const { startTime = 0, makeCurrent } = options;
    const poller = new VirtualPoller(checkSeconds(startTime, "startTime"));
    super({ impl: poller, timeFunc: poller.time, ...(makeCurrent === undefined ? {} : { makeCurrent }) });
    this.#poller = poller;
    poller.schedule = {
      next: () => this.#nextDeadline(),
      idle: (deadline) => this.#goesOn?.(deadline) ?? true,
    };
  }

  /**
   * Lets `seconds` of virtual time pass, with all that is due in it, and what follows from that: the clock then stands at exactly that much later.
   * Runs the loop; on a loop that is running it only waits for that time.
   *
   * @throws TypeError for what is no number; RangeError when it is negative or infinite; Error on a closed loop
   */
  async advance(seconds: number): Promise<void> {
    checkSeconds(seconds, "seconds");
    if (seconds < 0 || seconds === Infinity) throw new RangeError(`seconds is ${seconds}: pass a time that can pass`);
    const end = this.time() + seconds;
    if (this._running) {
      await new Promise<void>((resolve) => void this.callAt(end, resolve));
      return;
    }
    await this.#runUntil((deadline) => {
      if (deadline !== undefined && deadline <= end) return true;
      this.#poller.now = end;
      return false;
    });
  }

  /**
   * Runs the loop until no callback, no timeout and no ready descriptor is left. What waits for a descriptor that never becomes ready is not waited
   * for; with a `PeriodicCallback`, which is never done, a limit is needed.
   *
   * @param options - `limit`: virtual seconds after which it fails
   * @throws TimeoutError, naming what was still pending, at the limit; Error on a closed or running loop
   */
  async runUntilIdle(options: { limit?: number } = {}): Promise<void> {
    checkOptions("runUntilIdle()", ["limit"], options);
    const { limit } = options;
    const end = limit === undefined ? Infinity : this.time() + checkSeconds(limit, "limit");
    let pending: string | undefined;
    await this.#runUntil((deadline) => {
      if (deadline !== undefined && deadline <= end) return true;
      if (deadline !== undefined) {
        pending = this.#describePending();
        this.#poller.now = end;
      }
      return false;
    });
    if (pending !== undefined)
      throw new TimeoutError(`The loop was not idle after ${String(limit)} s of virtual time: still pending ${pending}`);
  }

  /** Runs until `goesOn` says, of a time when nothing is to be done before `deadline`, that this is the end. */
  async #runUntil(goesOn: (deadline: number | undefined) => boolean): Promise<void> {
    if (this.#goesOn !== undefined) throw new Error("advance() or runUntilIdle() has not ended: await the one before");
    const state = { ended: false };
    this.#goesOn = (deadline) => {
      if (goesOn(deadline)) return true;
      state.ended = true;
      this.stop();
      return false;
    };
    try {
      await this.start();
    } finally {
      this.#goesOn = undefined;
    }
    if (!state.ended)
      throw new Error(`The loop was stopped at ${this.time()}, before its run was over: leave stop() to advance() and runUntilIdle()`);
  }

  #nextDeadline(): number | undefined {
    const head = this._timeouts.head();
    return head === undefined || head.deadline === Infinity ? undefined : head.deadline;
  }

  /** The timeouts that are left, for an error. */
  #describePending(): string {
    const handles = [...this._timeouts].filter(({ callback }) => callback !== undefined).sort((a, b) => (a.before(b) ? -1 : 1));
    return handles.map(({ deadline, callback }) => `${callback?.name || "<anonymous>"} at ${deadline}`).join(", ");
  }
}
