/**
 * The host of the main thread: Node's own loop waits for the poller's descriptor through one `uv_poll` handle.
 *
 * The handle's callback does nothing but ask for a turn. An iteration in the callback itself would be wrong three times over: from Node 26.4
 * on no promise jobs and no `nextTick` callbacks run after a native callback, so an `await` inside would hang; an exception thrown there is
 * lost; and with one handle for each descriptor no promise job would run between two of them.
 */
import { type ReadableWatch, watchReadable } from "../../platform/index.js";
import { PollerHost } from "./host.js";

export class UvPollHost extends PollerHost {
  #watch: ReadableWatch | undefined;

  start(): void {
    this.#open().start();
    this.timer.soonFromOutside();
  }

  changed(): void {
    // epoll_ctl(2) takes effect in a wait that is under way.
  }

  stop(stopped: () => void): void {
    this.#watch?.stop();
    this.timer.cancel();
    stopped();
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  protected override replacePoller(): void {
    // The watch goes first: libuv would go on to speak of the old descriptor by its number.
    const watched = this.#watch !== undefined;
    this.close();
    this.poller.rebuild();
    if (watched) this.#open().start();
  }

  #open(): ReadableWatch {
    this.#watch ??= watchReadable(this.poller.fileno?.() ?? -1, () => {
      this.timer.soon();
    });
    return this.#watch;
  }
}
