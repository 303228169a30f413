/** Every work of `npm run bench`, in the order of its table. */
import type { Setup, Work } from "./contract.js";
import * as bulk from "./bulk.js";
import * as churn from "./churn.js";
import * as echo from "./echo.js";
import * as http from "./http.js";
import * as idle from "./idle.js";
import * as inProcess from "./in-process.js";
import * as pipes from "./pipes.js";
import * as startUp from "./start-up.js";
import * as tls from "./tls.js";

export function allWorks(setup: Setup): Work[] {
  return [echo, bulk, churn, http, tls, pipes, idle, inProcess, startUp].flatMap(({ works }) => works(setup));
}
