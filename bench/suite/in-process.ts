/**
 * What needs no descriptor: callbacks, timeouts, futures. Each contender has a process of its own, so that the garbage of one is not charged to another, and
 * what counts is CPU time: most of the time of a timeout is waiting.
 */
import type { Contender, Setup, Target, Work } from "./contract.js";
import { selfMeasured } from "./self-measured.js";

export function works(setup: Setup): Work[] {
  const count = String(setup.quick ? 10_000 : 1_000_000);
  const contenders = (id: string, node: string, waits = false): Contender[] => [
    selfMeasured(setup, "ioloop", setup.node("in-process-ioloop.ts", id, count), { waits }),
    selfMeasured(setup, `Node ${node}`, setup.node("in-process-node.ts", id, count), { waits }),
    selfMeasured(setup, `Bun ${node}`, setup.bun("in-process-node.ts", id, count), { waits }),
    selfMeasured(setup, "asyncio", setup.python(["asyncio"], "in-process-asyncio.py", "asyncio", id, count), { waits }),
    selfMeasured(setup, "uvloop", setup.python(["uvloop"], "in-process-asyncio.py", "uvloop", id, count), { waits }),
  ];
  const target = (theirs: string, atLeast: number): Target => ({ ours: "ioloop", theirs, by: "cpuPerItem", atLeast });

  return [
    {
      id: "callbacks",
      title: "A million callbacks, added in one batch and then run",
      unit: "callback",
      contenders: contenders("callbacks", "setImmediate"),
      targets: [target("Node setImmediate", 1.5)],
    },
    {
      id: "timeouts",
      title: "A million timeouts within a second, varied; half of them cancelled, the others run",
      unit: "timeout",
      contenders: contenders("timeouts", "setTimeout", true),
      targets: [target("Node setTimeout", 1), target("asyncio", 5)],
    },
    {
      // Issue 7 names no figures for these.
      id: "futures-done",
      title: "A million futures, each made, set and awaited",
      unit: "future",
      contenders: contenders("futures-done", "promises"),
      targets: [],
    },
    {
      id: "futures-pending",
      title: "A million futures, each awaited before it is set, a hundred at a time",
      unit: "future",
      contenders: contenders("futures-pending", "promises"),
      targets: [],
    },
  ];
}
