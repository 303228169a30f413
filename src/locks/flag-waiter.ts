/** Who waits for an `Event`, or for a notification without a lock. Depends on `gen`. */
import { Waiter } from "../gen/index.js";

/** @internal */
export class FlagWaiter extends Waiter<boolean> {
  readonly #falseAtDeadline: boolean;

  constructor(falseAtDeadline: boolean) {
    super();
    this.#falseAtDeadline = falseAtDeadline;
  }

  /** What was waited for has come. */
  _notified(): void {
    this.setResult(true);
  }

  override _expired(): void {
    if (this.#falseAtDeadline) this.setResult(false);
    else super._expired();
  }
}
