/**
 * `node --import ./test/support/typescript.js program.ts` runs a program of this project in TypeScript, as `--import tsx` does and in a third of
 * its time: the tests start some two hundred processes so. Imported in a worker thread it serves that thread.
 */
import * as module from "node:module";

process.setSourceMapsEnabled(true);
// From Node 22.15 on hooks run in the thread itself; before, in one of their own.
if (module.registerHooks === undefined) module.register("./typescript-hooks.js", import.meta.url);
else module.registerHooks(await import("./typescript-hooks.js"));
