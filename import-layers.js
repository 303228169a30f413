/**
 * Who may import whom, from the ground up: the list of docs/design.md as data. `.dependency-cruiser.js` turns it into rules.
 *
 * A part is a folder of `src/` or a file directly in it. It may import what is listed for it, always through the other folder's `index.ts`.
 */
const ground = ["platform", "log", "names"];
const upToIoloop = [...ground, "concurrent", "ioloop"];
const upToGen = [...upToIoloop, "gen"];
const upToIostream = [...upToGen, "ssl", "iostream"];
const upToProcess = [...upToIostream, "process"];
const upToNet = [...upToProcess, "net"];
const everyFolder = [...upToNet, "locks", "queues", "asyncio", "testing"];

/** @type {Record<string, readonly string[]>} */
export const layers = {
  log: [],
  names: [],
  platform: ["names"],
  concurrent: ["log", "names"],
  ssl: ["platform", "names"],
  ioloop: [...ground, "concurrent"],
  gen: upToIoloop,
  locks: upToGen,
  queues: upToGen,
  iostream: [...upToGen, "ssl"],
  process: upToIostream,
  net: upToProcess,
  asyncio: upToNet,
  testing: upToNet,
  index: everyFolder,
  tornado: [...everyFolder, "names", "index"],
};

/** Parts that are one file in `src/` rather than a folder with an index. */
export const singleFiles = ["log", "names", "names", "index", "tornado"];
