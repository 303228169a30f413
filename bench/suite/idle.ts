/** Resident memory of connections that do nothing, each with a read waiting at the server. */
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "./children.js";
import type { Measurement, Server, Setup, Work } from "./contract.js";
import { loadProgram } from "./load.js";
import { echoServers, names } from "./servers.js";

/**
 * They come in steps, with a collection of garbage after each: connections gather over time, and ten thousand at once would show how far a heap grows
 * under such a rush. The first step is not counted, and with it what is needed once.
 */
const STEP = 250;

/** Waits until the server has so many, and then says what it needs: bytes. */
async function memoryWith(server: Server, connections: number): Promise<number> {
  while (Number(await server.ask("connections")) < connections) await sleep(20);
  return server.residentMemory();
}

export function works(setup: Setup): Work[] {
  const idle = setup.quick ? 500 : 10_000;
  const measure = async (server: Server): Promise<Measurement> => {
    const load = new Child(loadProgram(setup, "hold", String(server.port), `connections=${STEP}`), setup.machine.cores?.load);
    const more = async (connections: number): Promise<number> => {
      load.say("more");
      await load.line();
      return memoryWith(server, connections);
    };
    try {
      const before = await more(STEP);
      let after = before;
      for (let open = STEP; open < STEP + idle; open += STEP) after = await more(open + STEP);
      return { value: (after - before) / idle };
    } finally {
      await load.stop();
    }
  };
  return [
    {
      id: "idle",
      title: `${idle.toLocaleString("en")} idle connections`,
      unit: "bytes",
      contenders: echoServers(setup, ["await", "callback", "asyncio", "net", "bun", "tornadoUvloop"], measure),
      // With `await` a suspended function is there too; the stream's own share is what callbacks show.
      targets: [names.await, names.callback].map((ours) => ({ ours, by: "value", atMost: 2048 })),
    },
  ];
}
