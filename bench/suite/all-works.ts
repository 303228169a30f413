/** Every work of `npm run bench`, in the order of its table. */
import type { Setup, Work } from "./contract.js";
import * as bulk from "./bulk.js";
import * as churn from "./churn.js";
import * as echo from "./echo.js";
import * as idle from "./idle.js";

export function allWorks(setup: Setup): Work[] {
  return [echo, bulk, churn, idle].flatMap(({ works }) => works(setup));
}
