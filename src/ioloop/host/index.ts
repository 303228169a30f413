/** Which host a loop waits through. */
import { inspect } from "node:util";
import { isMainThread } from "node:worker_threads";
import { isHosted, type Poller } from "../pollers/poller.js";
import type { Waker } from "../waker.js";
import { DirectHost } from "./direct.js";
import type { Host, HostName } from "./host.js";
import { ThreadPoolHost } from "./thread-pool.js";
import { UvPollHost } from "./uv-poll.js";

export type { Host, HostName } from "./host.js";

/**
 * The host for a poller and the loop's batch `ready`: the one forced by the option, else by the environment where it can work, else the best that can.
 *
 * @throws RangeError for an unknown name, and for a forced host that cannot work with this poller or in this thread
 */
export function makeHost(poller: Poller, forced: string | undefined, turn: () => void, waker: Waker, ready: Map<number, number>): Host {
  if (!isHosted(poller)) return new DirectHost(poller, turn, waker, ready);
  const watchable = poller.fileno !== undefined && isMainThread;
  switch (checkName("host", forced) ?? checkName("IOLOOP_HOST", process.env["IOLOOP_HOST"])) {
    case "thread-pool":
      return new ThreadPoolHost(poller, turn);
    case "uv-poll":
      if (!watchable && forced !== undefined) {
        throw new RangeError(`host is "uv-poll": it needs the main thread and a poller with a descriptor (epoll), use "thread-pool"`);
      }
      break;
    case undefined:
      break;
  }
  return watchable ? new UvPollHost(poller, turn) : new ThreadPoolHost(poller, turn);
}

function checkName(source: string, name: string | undefined): HostName | undefined {
  if (name === undefined || name === "") return undefined;
  if (name !== "uv-poll" && name !== "thread-pool") throw new RangeError(`${source} is ${inspect(name)}: use "uv-poll" or "thread-pool"`);
  return name;
}
