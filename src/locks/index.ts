/** Locks for coroutines (`tornado.locks`). Other parts of the library import from here. */
export { Condition } from "./condition.js";
export { Event } from "./event.js";
export { Lock } from "./lock.js";
export type { Releaser } from "./releaser.js";
export { BoundedSemaphore, Semaphore } from "./semaphore.js";
