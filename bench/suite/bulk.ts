/** Bulk: out of a server and into one, through one stream and through eight. */
import { type Contender, served, type Measurement, type Server, type Setup, type Work } from "./contract.js";
import { putUnderLoad } from "./load.js";
import { names } from "./servers.js";

const MB = 1e6;

/** The load saw all bytes of a connection of Node's before the first of the next (`strace -e recvfrom`). */
const ONE_BY_ONE =
  "Node serves the eight one after the other: while the client keeps pace, `drain` comes round in `nextTick` and no other connection gets its turn. " +
  "With this package and in C all eight go on at once, so the client is woken for less at a time.";

/** V8 has optimised by then; after 300 MB, which take a fortieth of a second, it was still at it. */
const WARM = 4000 * MB;
/** 2 GB are through in 0.15 seconds. */
const BYTES = 8000 * MB;

const INTO =
  "`readInto` is the call for bulk, and the one that is compared: it fills the same memory again and again. `net` has nothing like it for a server's " +
  "sockets. It gives new memory for each chunk, as `for await` does, and both then depend on what malloc(3) makes of what the collector frees: where it " +
  "returns the memory to the system each time, 40 page faults a MB cost a third of the rate, in some processes and not in others.";

export function works(setup: Setup): Work[] {
  const scale = setup.quick ? 0.0125 : 1;
  const bulk = (way: "out" | "in", connections: number): Work => {
    const mode = `bulk-${way}`;
    const measure = (server: Server): Promise<Measurement> => {
      const options = { connections, bytes: BYTES * scale, warmup: WARM * scale };
      return putUnderLoad(setup, server, way === "out" ? "sink" : "source", options, MB);
    };
    const ours: Contender[] =
      way === "out"
        ? [served(setup, names.await, setup.node("ioloop.ts", mode), measure)]
        : [
            served(setup, names.into, setup.node("ioloop.ts", "bulk-in-into"), measure),
            served(setup, names.chunks, setup.node("ioloop.ts", mode), measure),
          ];
    const contenders: Contender[] = [
      served(setup, names.c, setup.c("server.c", mode), measure),
      ...ours,
      served(setup, names.net, setup.node("node.ts", mode), measure),
    ];
    const note = way === "in" ? INTO : connections > 1 ? ONE_BY_ONE : undefined;
    return {
      id: `${mode}-${connections}`,
      title: `Bulk ${way}, 8 GB through ${connections === 1 ? "one stream" : `${connections} streams`}`,
      unit: "MB",
      contenders,
      targets: [{ ours: way === "out" ? names.await : names.into, theirs: names.net, by: "perSecond", atLeast: 1 }],
      ...(note === undefined ? {} : { note }),
    };
  };
  return [bulk("out", 1), bulk("out", 8), bulk("in", 1), bulk("in", 8)];
}
