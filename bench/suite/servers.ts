/** The servers that several network works measure, by the names that results and targets call them. */
import type { Contender, Measurement, Program, Server, Setup } from "./contract.js";
import { served } from "./contract.js";

export const names = {
  c: "C epoll",
  await: "ioloop, await",
  callback: "ioloop, callbacks",
  asyncio: "ioloop, asyncio",
  into: "ioloop, readInto",
  chunks: "ioloop, for await",
  net: "Node net",
  netLines: "Node net, split by hand",
  netReadline: "Node net, readline",
  netSplit2: "Node net, split2",
  bun: "Bun.listen",
  tornadoAsyncio: "Tornado on asyncio",
  tornadoUvloop: "Tornado on uvloop",
  uvloop: "asyncio on uvloop",
} as const;

/** One of the echo servers. */
export type EchoServer = Exclude<keyof typeof names, "into" | "chunks">;

function echoProgram(setup: Setup, which: EchoServer): Program {
  switch (which) {
    case "c":
      return setup.c("server.c", "echo");
    case "await":
    case "callback":
    case "asyncio":
      return setup.node("ioloop.ts", which);
    case "net":
      return setup.node("node.ts", "echo");
    case "netLines":
      return setup.node("node.ts", "lines");
    case "netReadline":
      return setup.node("node.ts", "readline");
    case "netSplit2":
      return setup.node("node.ts", "split2");
    case "bun":
      return setup.bun("bun.ts");
    case "tornadoAsyncio":
      return setup.python(["tornado"], "tornado_server.py", "asyncio");
    case "tornadoUvloop":
      return setup.python(["tornado", "uvloop"], "tornado_server.py", "uvloop");
    case "uvloop":
      return setup.python(["uvloop"], "asyncio_server.py");
  }
}

/** Contenders that are echo servers, each measured the same way. */
export function echoServers(setup: Setup, which: readonly EchoServer[], measure: (server: Server) => Promise<Measurement>): Contender[] {
  return which.map((each) => served(setup, names[each], echoProgram(setup, each), measure));
}
