/** Line echo: connections that each wait for their answer before they send the next 64 bytes, and such that have sixteen lines under way. */
import type { Measurement, Server, Setup, Target, Work } from "./contract.js";
import { putUnderLoad } from "./load.js";
import { type EchoServer, echoServers, names } from "./servers.js";

/** The same server with few connections, in the same rounds as with many. */
const AT_50 = ", at 50";

export function works(setup: Setup): Work[] {
  const under =
    (connections: number, depth = 1) =>
    (server: Server): Promise<Measurement> =>
      putUnderLoad(setup, server, "echo", { connections, depth });
  const echo = (connections: number, which: readonly EchoServer[], targets: readonly Target[]): Work => ({
    id: `echo-${connections}`,
    title: `Line echo, ${connections.toLocaleString("en")} ${connections === 1 ? "connection" : "connections"}`,
    unit: "answer",
    contenders: echoServers(setup, which, under(connections)),
    targets,
  });
  const better = (ours: EchoServer, theirs: EchoServer, atLeast: number, by: Target["by"] = "perSecond"): Target => ({
    ours: names[ours],
    theirs: names[theirs],
    by,
    atLeast,
  });

  const many = echo(
    5000,
    ["c", "await", "net", "bun", "tornadoUvloop"],
    [{ ours: names.await, theirs: names.await + AT_50, by: "cpuPerItem", atMost: 1.25 }],
  );
  const [atFew] = echoServers(setup, ["await"], under(50));
  return [
    echo(1, ["c", "await", "callback", "net", "bun", "tornadoUvloop"], [better("await", "net", 0.95)]),
    echo(
      50,
      ["c", "await", "callback", "asyncio", "net", "netLines", "bun", "tornadoAsyncio", "tornadoUvloop", "uvloop"],
      [better("await", "c", 0.85), better("await", "net", 1.25), better("await", "tornadoUvloop", 2.3), better("callback", "c", 0.9)],
    ),
    echo(500, ["c", "await", "callback", "net", "bun", "tornadoUvloop"], []),
    { ...many, contenders: [...many.contenders, ...(atFew === undefined ? [] : [{ ...atFew, name: atFew.name + AT_50 }])] },
    {
      id: "pipelined",
      title: "Pipelined lines, 16 deep, 50 connections",
      unit: "answer",
      contenders: echoServers(
        setup,
        ["c", "await", "asyncio", "net", "netLines", "netReadline", "netSplit2", "tornadoUvloop"],
        under(50, 16),
      ),
      targets: [better("await", "netReadline", 3), better("await", "netSplit2", 3)],
    },
  ];
}
