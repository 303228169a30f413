/** A small run of the benchmark suite, as `bench/results.json` has it. */
import type { Measurement } from "../../bench/suite/contract.js";
import type { ContenderResult, Results, WorkResult } from "../../bench/suite/results.js";

export function contender(name: string, measurements: readonly (Measurement | null)[]): ContenderResult {
  return { name, measurements, failures: [] };
}

const latency = { p50: 350, p99: 700, p999: 1400 };

export const echoWork: WorkResult = {
  id: "echo-50",
  title: "Line echo <50 connections>",
  unit: "answer",
  contenders: [
    contender("ioloop", [
      { perSecond: 200_000, cpuPerItem: 6, peakMemory: 64e6, latency, loadCpu: 0.97 },
      { perSecond: 180_000, cpuPerItem: 6, peakMemory: 64e6, latency, loadCpu: 0.98 },
    ]),
    contender("rival", [
      { perSecond: 100_000, cpuPerItem: 10, peakMemory: 50e6, latency, loadCpu: 0.5 },
      { perSecond: 90_000, cpuPerItem: 10, peakMemory: 50e6, latency, loadCpu: 0.5 },
    ]),
    { name: "skipped", skipped: "it is not installed", measurements: [], failures: [] },
    { name: "failed", measurements: [null, null], failures: ["exit status 1"] },
  ],
  targets: [
    { ours: "ioloop", theirs: "rival", by: "perSecond", atLeast: 1.25 },
    { ours: "ioloop", theirs: "rival", by: "cpuPerItem", atMost: 0.5 },
    { ours: "ioloop", theirs: "skipped", by: "perSecond", atLeast: 1 },
  ],
};

export const results: Results = {
  date: "2026-11-21T01:02:03.000Z",
  seconds: 840,
  machine: {
    processor: "A processor",
    cores: 2,
    memory: 8 * 2 ** 30,
    kernel: "Linux 6.1",
    pinned: "servers on core 0, load on core 1",
    network: "TCP with reno",
    versions: { "Node.js": "20.19.0" },
    missing: ["Bun (the npm package `bun`)"],
  },
  warmUp: 1000,
  measured: 1500,
  works: [echoWork, { ...echoWork, id: "tls", title: "TLS & more", targets: [], note: "One has to know this." }],
};
