/**
 * `addAcceptHandler`: accepting on a loop, and what to do when accept(2) fails.
 *
 * Some facts about accept(2), from its man page and measured:
 * - Linux passes errors that are already pending on the *new* connection through accept: the listening socket is well, the next connection too.
 * - Out of descriptors (EMFILE, ENFILE) the connection stays in the queue, so the socket stays readable: a level-triggered loop that goes on
 *   watching it spins at 100 % CPU and logs without end, as Tornado's does.
 *
 * Therefore: the first kind skips one connection; at the second kind the socket is not watched for a second, and that is said once.
 */
import { isCancellation } from "../concurrent/index.js";
import { checkCallback, IOLoop, isThenable, type TimeoutHandle } from "../ioloop/index.js";
import { applicationLog, generalLog } from "../log.js";
import { type Address, Socket } from "../platform/index.js";
import { isSupervisor, show } from "../process/index.js";
import { DEFAULT_BACKLOG } from "./bind-sockets.js";

/** Seconds for which accepting rests when the process or the system has no descriptors or memory left. */
export const ACCEPT_RETRY_DELAY = 1;

/** What {@link addAcceptHandler} calls with each connection. */
export type AcceptCallback = (connection: Socket, address: Address) => unknown;

/** Errors of one connection: gone before it was accepted, refused by a firewall, or its network's (accept(2), "Error handling"). */
const CONNECTION_ERRORS: ReadonlySet<string> = new Set([
  "ECONNABORTED",
  "EINTR",
  "EPERM",
  "EPROTO",
  "ENOPROTOOPT",
  "ENOTSUP", // EOPNOTSUPP has the same number, and Node's name for it is this one.
  "ENETDOWN",
  "ENETUNREACH",
  "ENONET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
]);

/** Nothing is wrong with socket or connection, but there is no room for it now. */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

class Acceptor {
  readonly #loop = IOLoop.current();
  readonly #socket: Socket;
  readonly #callback: AcceptCallback;
  #removed = false;
  /** A shortage has been met and no connection accepted since. */
  #short = false;
  #retry: TimeoutHandle | undefined;

  constructor(socket: Socket, callback: AcceptCallback) {
    this.#socket = socket;
    this.#callback = callback;
    this.#loop.addHandler(socket, () => this.#accept(), IOLoop.READ);
  }

  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    if (this.#retry !== undefined) this.#loop.removeTimeout(this.#retry);
    this.#loop.removeHandler(this.#socket);
  }

  #accept(): void {
    if (isSupervisor()) {
      // The connection is the workers'.
      this.remove();
      return;
    }
    // Bounded, so that a flood of connections does not keep the loop from everything else (N46).
    for (let accepted = 0; accepted < DEFAULT_BACKLOG && !this.#removed; accepted++) {
      let found: [Socket, Address] | undefined;
      try {
        found = this.#socket.accept();
      } catch (error) {
        if (!this.#failed(error)) return;
        continue;
      }
      if (found === undefined) return;
      this.#short = false;
      this.#connected(...found);
    }
  }

  /** An error of accept(2): whether to go on with the next connection. */
  #failed(error: unknown): boolean {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (CONNECTION_ERRORS.has(code)) return true;
    if (SHORTAGES.has(code)) {
      this.#rest(code);
      return false;
    }
    generalLog.error("Accepting connections has ended: the listening socket failed", error);
    this.remove();
    return false;
  }

  #rest(code: string): void {
    if (!this.#short) {
      generalLog.warn(`Accepting connections fails with ${code}: trying again every ${ACCEPT_RETRY_DELAY} s, until then they wait`);
      this.#short = true;
    }
    this.#loop.updateHandler(this.#socket, IOLoop.NONE);
    this.#retry = this.#loop.callLater(ACCEPT_RETRY_DELAY, () => {
      this.#retry = undefined;
      if (this.#socket.closed) this.remove();
      else this.#loop.updateHandler(this.#socket, IOLoop.READ);
    });
  }

  #connected(connection: Socket, address: Address): void {
    const failed = (error: unknown): void => {
      if (!isCancellation(error)) applicationLog.error("Exception in accept callback", error);
      connection.close();
    };
    try {
      const result = this.#callback(connection, address);
      if (isThenable(result)) result.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }
}

/**
 * Accepts connections on a listening socket, on the current loop, and calls `callback(connection, address)` with each. At most 128 are accepted
 * in one event, then the loop gets its turn.
 *
 * A connection that fails while it is accepted is skipped. Out of descriptors or memory, one warning is logged on `general` and
 * accepting rests for {@link ACCEPT_RETRY_DELAY} seconds at a time; connections wait in the kernel meanwhile. When the callback throws, or the promise
 * it returns rejects, that is logged on `application` and the connection closed. In a supervisor of workers nothing is accepted.
 *
 * Tornado: `add_accept_handler`; the remover is that of 5.0.
 *
 * @returns the remover: after it returns no callback comes, also when it is called from inside one. It does not close the socket
 * @throws TypeError for wrong arguments
 * @throws SystemError EBADF for a closed socket, EEXIST for one that has a handler on this loop
 */
export function addAcceptHandler(sock: Socket, callback: AcceptCallback): () => void {
  if (!(sock instanceof Socket)) throw new TypeError(`sock is ${show(sock)}: pass a listening Socket`);
  checkCallback(callback, "callback");
  const acceptor = new Acceptor(sock, callback);
  return () => acceptor.remove();
}
