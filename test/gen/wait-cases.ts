/** Every call that waits, in one shape, so that what holds for all is tested on all. */
import type { Future } from "../../src/concurrent/index.js";
import { Condition, Event, Lock, Semaphore } from "../../src/locks/index.js";
import { LifoQueue, PriorityQueue, Queue } from "../../src/queues/index.js";

/** An object on which the call must wait. */
export interface Waiting {
  /** The call, with whatever arguments a test passes, wrong ones too. */
  wait(...args: unknown[]): Future<unknown>;
  /** Lets one waiter through (for `join` and events: all). */
  grant(): void;
  /** How many wait, as `String()` tells. */
  waiting(): number;
  /** The state apart from waiters, to see that nothing has changed. */
  state(): string;
}

export interface WaitCase {
  readonly name: string;
  /** What the call resolves with at its deadline, where it does not fail. */
  readonly atDeadline?: unknown;
  readonly grantsAll?: true;
  /** `with` takes its options in second place alone. */
  readonly optionsOnly?: true;
  busy(): Waiting;
  /** The same object where the call succeeds at once; a condition has no such state. */
  free?(): Waiting;
}

function count(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

type Call = (...args: unknown[]) => Future<unknown>;

function queueCase(name: string, make: (maxsize: number) => Queue<number>): WaitCase[] {
  const shape = (q: Queue<number>, wait: Call, grant: () => void, who: string): Waiting => ({
    wait,
    grant,
    waiting: () => count(String(q), new RegExp(`${who}\\[(\\d+)\\]`)),
    state: () => String(q).replace(/ (getters|putters)\[\d+\]/g, ""),
  });
  const getting = (q: Queue<number>): Waiting => shape(q, (q.get as Call).bind(q), () => q.putNowait(7), "getters");
  const putting = (q: Queue<number>): Waiting =>
    shape(
      q,
      (...args) => (q.put as Call).call(q, 8, ...args),
      () => void q.getNowait(),
      "putters",
    );
  const full = (): Queue<number> => {
    const q = make(1);
    q.putNowait(1);
    return q;
  };
  return [
    { name: `${name}.get`, busy: () => getting(make(0)), free: () => getting(full()) },
    { name: `${name}.put`, busy: () => putting(full()), free: () => putting(make(1)) },
  ];
}

export const waitCases: readonly WaitCase[] = [
  ...(["Lock", "Semaphore"] as const).map((name): WaitCase => {
    const shape = (it: Lock | Semaphore): Waiting => ({
      wait: (it.acquire as Call).bind(it),
      grant: () => it.release(),
      waiting: () => count(String(it), /waiters:(\d+)/),
      state: () => String(it).replace(/,waiters:\d+/, ""),
    });
    const make = (): Lock | Semaphore => (name === "Lock" ? new Lock() : new Semaphore());
    return {
      name: `${name}.acquire`,
      busy(): Waiting {
        const it = make();
        void it.acquire();
        return shape(it);
      },
      free: () => shape(make()),
    };
  }),
  {
    name: "Lock.with",
    optionsOnly: true,
    busy(): Waiting {
      const lock = new Lock();
      void lock.acquire();
      return withShape(lock);
    },
    free: () => withShape(new Lock()),
  },
  {
    name: "Condition.wait",
    atDeadline: false,
    busy(): Waiting {
      const condition = new Condition();
      return {
        wait: (condition.wait as Call).bind(condition),
        grant: () => condition.notify(),
        waiting: () => count(String(condition), /waiters\[(\d+)\]/),
        state: () => "",
      };
    },
  },
  {
    name: "Event.wait",
    grantsAll: true,
    busy: () => eventShape(new Event()),
    free(): Waiting {
      const event = new Event();
      event.set();
      return eventShape(event);
    },
  },
  ...queueCase("Queue", (maxsize) => new Queue<number>(maxsize)),
  ...queueCase("PriorityQueue", (maxsize) => new PriorityQueue<number>(maxsize)),
  ...queueCase("LifoQueue", (maxsize) => new LifoQueue<number>(maxsize)),
  {
    name: "Queue.join",
    grantsAll: true,
    busy(): Waiting {
      const q = new Queue<number>();
      q.putNowait(1);
      return joinShape(q);
    },
    free: () => joinShape(new Queue<number>()),
  },
];

function withShape(lock: Lock): Waiting {
  return {
    wait: (...args) => (lock.with as Call).call(lock, () => "ran", ...args),
    grant: () => lock.release(),
    waiting: () => count(String(lock), /waiters:(\d+)/),
    state: () => String(lock).replace(/,waiters:\d+/, ""),
  };
}

function eventShape(event: Event): Waiting {
  return {
    wait: (event.wait as Call).bind(event),
    grant: () => event.set(),
    waiting: () => count(String(event), /waiters\[(\d+)\]/),
    state: () => String(event.isSet()),
  };
}

function joinShape(q: Queue<number>): Waiting {
  const pending = new Set<Future<unknown>>();
  return {
    wait: (...args) => {
      const future = (q.join as Call).apply(q, args);
      pending.add(future);
      return future;
    },
    grant: () => q.taskDone(),
    // A queue does not show its joiners.
    waiting: () => [...pending].filter((future) => !future.done()).length,
    state: () => String(q),
  };
}
