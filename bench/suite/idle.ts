/** Resident memory of connections that do nothing, each with a read waiting at the server. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Measurement, Server, Setup, Work } from "./contract.js";
import { loadProgram } from "./load.js";
import { echoServers, names } from "./servers.js";

/** Some are there first, so that what is needed once is not counted. */
const FIRST = 200;

/** Waits until the server has so many, and then says what it needs: bytes. */
async function memoryWith(server: Server, connections: number): Promise<number> {
  while (Number(await server.ask("connections")) < connections) await sleep(20);
  return server.residentMemory();
}

export function works(setup: Setup): Work[] {
  const idle = setup.quick ? 500 : 10_000;
  const hold = (server: Server, connections: number): Promise<Server> =>
    // Not a server, but held in the same way: it prints a line when all are connected, and ends when it is stopped.
    setup.startServer(loadProgram(setup, "hold", String(server.port), `connections=${connections}`));
  const measure = async (server: Server): Promise<Measurement> => {
    const first = await hold(server, FIRST);
    try {
      const before = await memoryWith(server, FIRST);
      const all = await hold(server, idle);
      try {
        return { value: ((await memoryWith(server, FIRST + idle)) - before) / idle };
      } finally {
        await all.stop();
      }
    } finally {
      await first.stop();
    }
  };
  return [
    {
      id: "idle",
      title: `${idle.toLocaleString("en")} idle connections`,
      unit: "bytes",
      contenders: echoServers(setup, ["await", "callback", "asyncio", "net", "bun", "tornadoUvloop"], measure),
      targets: [{ ours: names.await, by: "value", atMost: 2048 }],
    },
  ];
}
