/** Starts a loop, runs an iteration and stops. */
import { IOLoop } from "ioloop";

const loop = IOLoop.current();
loop.addCallback(() => loop.stop());
await loop.start();
