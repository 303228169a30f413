/**
 * Reading what a child process writes: bulk, and lines of 64 bytes. Node's `child.stdout` is a socket pair of its making; ours and Tornado's is a pipe(7).
 * Issue 7 names no figures for pipes.
 */
import type { Contender, Setup, Work } from "./contract.js";
import { selfMeasured } from "./self-measured.js";

const MB = 1e6;

export function works(setup: Setup): Work[] {
  const { cores } = setup.machine;
  const onLoadCore = cores === undefined ? [] : ["taskset", "-c", String(cores.load)];
  const times = [setup.warmUp, setup.measured].map(String);
  const bytes = [...times, ...onLoadCore, "cat", "/dev/zero"];
  const lines = [...times, ...onLoadCore, "yes", "x".repeat(63)];
  const bulk = (name: string, file: string): Contender => selfMeasured(setup, name, setup.node(file, "bytes", ...bytes), { perItem: MB });
  const tornado = (on: string, reader: string, args: readonly string[], perItem = 1): Contender => {
    const modules = on === "uvloop" ? ["tornado", "uvloop"] : ["tornado"];
    return selfMeasured(setup, `Tornado on ${on}`, setup.python(modules, "pipe-tornado.py", on, reader, ...args), { perItem });
  };

  return [
    {
      id: "pipe-bulk",
      title: "Bulk from a child process's standard output",
      unit: "MB",
      contenders: [
        bulk("ioloop", "pipe-ioloop.ts"),
        bulk("Node child.stdout", "pipe-node.ts"),
        tornado("asyncio", "bytes", bytes, MB),
        tornado("uvloop", "bytes", bytes, MB),
      ],
      targets: [],
    },
    {
      id: "pipe-lines",
      title: "Lines of 64 bytes from a child process's standard output",
      unit: "line",
      contenders: [
        selfMeasured(setup, "ioloop, await", setup.node("pipe-ioloop.ts", "lines", ...lines)),
        selfMeasured(setup, "ioloop, callbacks", setup.node("pipe-ioloop.ts", "callback", ...lines)),
        selfMeasured(setup, "Node, split by hand", setup.node("pipe-node.ts", "lines", ...lines)),
        selfMeasured(setup, "Node readline", setup.node("pipe-node.ts", "readline", ...lines)),
        tornado("asyncio", "lines", lines),
        tornado("uvloop", "lines", lines),
      ],
      targets: [],
    },
  ];
}
