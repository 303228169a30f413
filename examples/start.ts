/** What `npm start` runs: the HTTP client of `http-client.ts`, or the script that is named. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [script = "examples/http-client.ts"] = process.argv.slice(2);
const path = resolve(script);
if (existsSync(path)) {
  // The script sees the arguments that follow its own name, as if it had been started by itself.
  process.argv.splice(1, 2, path);
  await import(pathToFileURL(path).href);
} else {
  console.error(`No such script: ${script}. Name one of examples/, or a file of your own: npm start -- examples/clock.ts`);
  process.exitCode = 1;
}
