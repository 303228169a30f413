/** Queues for coroutines (`tornado.queues`). Other parts of the library import from here. */
export { QueueEmpty, QueueFull } from "./errors.js";
export { LifoQueue } from "./lifo-queue.js";
export { PriorityQueue, type PriorityQueueOptions } from "./priority-queue.js";
export { Queue } from "./queue.js";
