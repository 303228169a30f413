/**
 * Timeouts and a PeriodicCallback: a clock that ticks ten times a second, a timeout that is cancelled, one that is not, and the end.
 *
 *     npm start -- examples/clock.ts
 */
import { IOLoop, PeriodicCallback } from "ioloop";

const loop = IOLoop.current();
const began = loop.time();
const say = (what: string): void => {
  console.log(`${(loop.time() - began).toFixed(2)} s  ${what}`);
};

let ticks = 0;
// Milliseconds here, as in Tornado; seconds everywhere else.
const clock = new PeriodicCallback(() => {
  ticks++;
  say(`tick ${ticks}`);
}, 100);
clock.start();

const never = loop.callLater(0.35, say, "this one is cancelled and never comes");
loop.addTimeout({ milliseconds: 250 }, () => {
  say("a quarter of a second is over");
  loop.removeTimeout(never);
});
loop.callLater(0.55, () => {
  clock.stop();
  say("the clock stops");
  loop.stop();
});

loop.addCallback(say, "the loop runs");
loop.start();
