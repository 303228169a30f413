/**
 * TLS 1.3: a line echo, and bulk both ways. The load is about as dear as a server, so items per second would measure both; what is compared is the CPU time
 * that the server takes for an item.
 */
import { testAuthority, testIdentity } from "../../test/support/certificates.js";
import { type Contender, type Measurement, type Program, served, type Server, type Setup, type Work } from "./contract.js";
import { lastReport } from "./self-measured.js";

const CONNECTIONS = 50;
const MB = 1e6;

export function works(setup: Setup): Work[] {
  const { cert, key } = testIdentity();
  const env = { TLS_CERT: cert, TLS_KEY: key, TLS_CA: testAuthority().cert };

  const contender = (name: string, program: Program, service: string, connections: number, perItem: number): Contender =>
    served(setup, name, { ...program, env }, async (server: Server): Promise<Measurement> => {
      const times: number[] = [];
      const load = setup.node("tls-load.ts", service, ...[server.port, connections, setup.warmUp, setup.measured].map(String));
      const printed = await setup.run({ ...load, env }, { onLine: () => times.push(server.cpuTime()) });
      const { count, elapsed, cpu, latency } = lastReport(printed);
      const [before = NaN, after = NaN] = times;
      return {
        perSecond: (count / perItem / elapsed) * 1000,
        cpuPerItem: (after - before) / (count / perItem),
        ...(latency === undefined ? {} : { latency }),
        loadCpu: cpu / (elapsed * 1000),
      };
    });
  const echo = (name: string, program: Program): Contender => contender(name, program, "echo", CONNECTIONS, 1);
  const bulk = (id: string, title: string, service: string): Work => ({
    id,
    title,
    unit: "MB",
    contenders: [
      contender("ioloop", setup.node("tls-ioloop.ts", service), service, 1, MB),
      contender("Node tls", setup.node("tls-node.ts", service), service, 1, MB),
    ],
    targets: [{ ours: "ioloop", theirs: "Node tls", by: "cpuPerItem", atLeast: 1 }],
  });

  return [
    {
      id: "tls-echo",
      title: "Line echo over TLS 1.3, 64 bytes, 50 connections",
      unit: "answer",
      contenders: [
        echo("ioloop, await", setup.node("tls-ioloop.ts", "await")),
        echo("ioloop, callbacks", setup.node("tls-ioloop.ts", "callback")),
        echo("Node tls", setup.node("tls-node.ts", "echo")),
        echo("Bun.listen", setup.bun("tls-bun.ts")),
      ],
      targets: [
        { ours: "ioloop, await", theirs: "Node tls", by: "cpuPerItem", atLeast: 1.1 },
        { ours: "ioloop, callbacks", theirs: "Node tls", by: "cpuPerItem", atLeast: 1.1 },
      ],
    },
    bulk("tls-bulk-out", "Bulk out over TLS 1.3, one stream", "source"),
    bulk("tls-bulk-in", "Bulk in over TLS 1.3, one stream", "sink"),
  ];
}
