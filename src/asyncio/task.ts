/**
 * `Task`: a Future that stands for an async function of the library's, and whose `cancel()` does what cancelling a task does in Python: what the
 * function waits for is cancelled, and what it has opened is closed, before `cancel()` returns. Depends on Futures.
 */
import { CancelledError, Future } from "../concurrent/index.js";
import type { IOLoop } from "../ioloop/index.js";

/** Runs one async function of the library's. */
export class Task<T> extends Future<T> {
  #waiting: Future<unknown> | undefined = undefined;
  readonly #opened = new Set<() => void>();

  constructor(loop: IOLoop) {
    super();
    this._scheduler = loop;
  }

  /** Starts `body`, whose outcome becomes the Task's. */
  run(body: (task: this) => Promise<T>): this {
    body(this).then(
      (value) => {
        // Cancelled in the last moment: what was opened has been closed.
        if (!this.done()) this.setResult(value);
      },
      (error: unknown) => {
        if (!this.done()) this._settleFailed(error, false);
      },
    );
    return this;
  }

  /** Waits for `future`; when the Task is cancelled, so is that. @throws CancelledError when the Task has been cancelled */
  async wait<R>(future: Future<R>): Promise<R> {
    // Cancelled before it came to this: what it was to wait for is of no use.
    if (this.cancelled()) future.cancel();
    this.check();
    this.#waiting = future;
    try {
      return await future;
    } finally {
      if (this.#waiting === future) this.#waiting = undefined;
    }
  }

  /** @throws CancelledError when the Task has been cancelled */
  check(): void {
    if (this.cancelled()) throw new CancelledError();
  }

  /** Has `close` called when the Task is cancelled, at once if it has been. Returns the remover. */
  onCancel(close: () => void): () => void {
    if (this.cancelled()) close();
    else this.#opened.add(close);
    return () => this.#opened.delete(close);
  }

  override _onCancel(): void {
    this.#waiting?.cancel();
    for (const close of this.#opened) close();
    this.#opened.clear();
  }
}
