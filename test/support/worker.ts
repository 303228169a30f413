/** Starts a TypeScript file of test/fixtures in a worker thread. */
import { Worker } from "node:worker_threads";
import { typescriptLoader } from "./child.js";

/**
 * `--import tsx` does not reach the workers of Node 20, so the worker loads what runs TypeScript itself before it imports the file.
 *
 * @param file its name in test/fixtures
 */
export function startWorker(file: string, workerData: unknown = {}): Worker {
  const url = JSON.stringify(new URL(`../fixtures/${file}`, import.meta.url).href);
  const start = `import(${JSON.stringify(typescriptLoader)}).then(() => import(${url}))`;
  return new Worker(start, { eval: true, execArgv: [], workerData });
}
