/**
 * Loaded into child processes by child.ts: writes the CPU seconds used to descriptor 3 at exit. Plain JavaScript, so that it costs no
 * compilation, and a worker's exit (which also emits "exit") is not taken for the process's.
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  process.once("exit", () => {
    const { user, system } = process.cpuUsage();
    try {
      writeSync(3, String((user + system) / 1e6));
    } catch {
      // The program has closed the descriptor; then nobody learns the number.
    }
  });
}
