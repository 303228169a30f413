/** A minimal keep-alive HTTP responder under `wrk`: 50 connections that each wait for "Hello" before they ask again. */
import { fileURLToPath } from "node:url";
import { type Contender, type Latency, type Measurement, type Program, served, type Server, type Setup, type Work } from "./contract.js";
import { lastReport } from "./self-measured.js";

const CONNECTIONS = 50;
const script = fileURLToPath(new URL("../contenders/wrk.lua", import.meta.url));

/** What `wrk.lua` prints: counts, and times in microseconds. */
interface Report extends Latency {
  readonly requests: number;
  readonly duration: number;
  readonly errors: number;
  readonly cpu: number;
}

export function works(setup: Setup): Work[] {
  const { wrk } = setup.machine;
  const load = async (server: Server, milliseconds: number): Promise<Report> => {
    // It counts in whole seconds.
    const time = Math.max(1, Math.round(milliseconds / 1000));
    const args = ["-t1", `-c${CONNECTIONS}`, `-d${time}s`, "-s", script, `http://127.0.0.1:${server.port}/`];
    const report = lastReport<Report>(await setup.run({ command: wrk ?? "", args }));
    if (report.errors > 0) throw new Error(`wrk counted ${report.errors} errors in ${report.requests} requests`);
    return report;
  };
  const measure = async (server: Server): Promise<Measurement> => {
    await load(server, setup.warmUp);
    const before = server.cpuTime();
    const { requests, duration, cpu, p50, p99, p999 } = await load(server, setup.measured);
    return {
      perSecond: (requests / duration) * 1e6,
      cpuPerItem: (server.cpuTime() - before) / requests,
      latency: { p50, p99, p999 },
      loadCpu: cpu / duration,
    };
  };
  const contender = (name: string, program: Program): Contender =>
    served(setup, name, wrk === undefined ? { ...program, missing: "wrk is not installed" } : program, measure);

  return [
    {
      id: "http",
      title: "Minimal keep-alive HTTP responder under wrk, 50 connections",
      unit: "request",
      contenders: [
        contender("ioloop", setup.node("http-ioloop.ts")),
        contender("Node http", setup.node("http-node.ts")),
        contender("Bun.serve", setup.bun("http-bun.ts")),
        contender("Tornado on asyncio", setup.python(["tornado"], "http-tornado.py", "asyncio")),
        contender("Tornado on uvloop", setup.python(["tornado", "uvloop"], "http-tornado.py", "uvloop")),
      ],
      targets: [
        { ours: "ioloop", theirs: "Node http", by: "perSecond", atLeast: 1.5 },
        { ours: "ioloop", theirs: "Tornado on asyncio", by: "perSecond", atLeast: 3 },
        { ours: "ioloop", theirs: "Tornado on uvloop", by: "perSecond", atLeast: 3 },
      ],
    },
  ];
}
