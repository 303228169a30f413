/** The loops around the pollers of the platform. */
import { registerImplementation } from "./configurable.js";
import { IOLoop, type IOLoopOptions } from "./ioloop.js";
import { PollIOLoop, type PollIOLoopOptions } from "./poll-ioloop.js";
import { EPollPoller } from "./pollers/epoll.js";
import { PollPoller } from "./pollers/poll.js";

/** The loop around an epoll descriptor: Linux's default. Tornado's `platform.epoll.EPollIOLoop`. */
export class EPollIOLoop extends PollIOLoop {
  constructor(options: IOLoopOptions = {}) {
    super(options as PollIOLoopOptions);
  }

  protected override initialize(options: IOLoopOptions): void {
    super.initialize({ ...options, impl: new EPollPoller() });
  }
}

/** The portable loop, around poll(2). The cost of a wait grows with the number of descriptors watched. */
export class PosixPollIOLoop extends PollIOLoop {
  constructor(options: IOLoopOptions = {}) {
    super(options as PollIOLoopOptions);
  }

  protected override initialize(options: IOLoopOptions): void {
    super.initialize({ ...options, impl: new PollPoller() });
  }
}

registerImplementation(IOLoop, "EPollIOLoop", EPollIOLoop);
registerImplementation(IOLoop, "PosixPollIOLoop", PosixPollIOLoop);
registerImplementation(IOLoop, "PollIOLoop", PollIOLoop);
