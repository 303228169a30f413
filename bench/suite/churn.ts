/** Churn: 50 connections at a time that are made, send one line, have it back, and are closed by the client. */
import type { Setup, Work } from "./contract.js";
import { putUnderLoad } from "./load.js";
import { echoServers, names } from "./servers.js";

export function works(setup: Setup): Work[] {
  return [
    {
      id: "churn",
      title: "Connect, one line, close",
      unit: "connection",
      contenders: echoServers(setup, ["c", "await", "net", "bun", "tornadoUvloop"], (server) =>
        putUnderLoad(setup, server, "churn", { connections: 50 }),
      ),
      targets: [{ ours: names.await, theirs: names.net, by: "perSecond", atLeast: 1 }],
    },
  ];
}
