/** The refusals of `getNowait` and `putNowait`. Depends on nothing. */

/** `getNowait` found nothing (`tornado.queues.QueueEmpty`). */
export class QueueEmpty extends Error {
  static {
    this.prototype.name = "QueueEmpty";
  }

  constructor(message = "The queue is empty: await get(), or ask empty() first", options?: ErrorOptions) {
    super(message, options);
  }
}

/** `putNowait` found no room (`tornado.queues.QueueFull`). */
export class QueueFull extends Error {
  static {
    this.prototype.name = "QueueFull";
  }

  constructor(message = "The queue is full: await put(), or ask full() first", options?: ErrorOptions) {
    super(message, options);
  }
}
