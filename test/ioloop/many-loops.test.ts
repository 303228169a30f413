/** That a loop leaves nothing behind when it is closed (H18 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { readdirSync, readFileSync } from "node:fs";
import { IOLoop } from "../../src/ioloop/index.js";
import { ffiCallbacks, nativeAllocations } from "../../src/platform/index.js";
import { collectGarbage } from "../concurrent/collect-garbage.js";
import { combinations } from "../support/combinations.js";
import type { Combination } from "../support/combinations.js";
import { added, openDescriptors } from "../support/descriptors.js";
import { settle } from "../support/real-timers.js";
import { Files } from "./driving.js";

const ROUNDS = 1000;
const HANDLE = "IOLOOP_POLL_HANDLE";

/** The threads of this process by their names, without the kernel's own workers for io_uring, which come and go. */
function threads(): string[] {
  return readdirSync("/proc/self/task")
    .map((thread) => readFileSync(`/proc/self/task/${thread}/comm`, "utf8").trim())
    .filter((name) => !name.startsWith("iou-"))
    .sort();
}

function listeners(): Record<string, number> {
  return Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
}

/** One loop from its making to its close, with something of everything on it. */
async function useOne(combination: Combination, fd: number): Promise<WeakRef<IOLoop>> {
  const loop = new IOLoop({ ...combination, makeCurrent: false });
  loop.addHandler(
    fd,
    () => {
      loop.removeHandler(fd);
      loop.stop();
    },
    IOLoop.READ,
  );
  loop.callLater(3600, () => loop.stop());
  loop.addCallback(() => loop.createWakeHandle(() => loop.stop()).wake());
  await loop.start();
  loop.close();
  return new WeakRef(loop);
}

describe("many loops", function () {
  this.timeout(30_000);

  const setups: (Combination & { handle?: string })[] = [...combinations, { poller: "epoll", host: "uv-poll", handle: "koffi" }];
  for (const { poller, host, handle } of setups) {
    it(`H18 run and closed leave no descriptor, thread, listener or memory (${[poller, "on", host, handle ?? ""].join(" ").trim()})`, async () => {
      const files = new Files();
      const forced = process.env[HANDLE];
      if (handle !== undefined) process.env[HANDLE] = handle;
      try {
        const [reader] = files.fullPipe();
        for (let warm = 0; warm < 20; warm++) await useOne({ poller, host }, reader);
        await collectGarbage();
        const descriptors = openDescriptors();
        const before = { threads: threads(), listeners: listeners(), native: ffiCallbacks(), blocks: nativeAllocations() };
        const heap = process.memoryUsage().heapUsed;
        const loops: WeakRef<IOLoop>[] = [];
        for (let round = 0; round < ROUNDS; round++) loops.push(await useOne({ poller, host }, reader));
        await collectGarbage();
        expect(await settle(() => added(descriptors, openDescriptors()).length === 0), "descriptors").to.equal(true);
        await settle(() => ffiCallbacks() <= before.native && nativeAllocations() <= before.blocks);
        expect({ threads: threads(), listeners: listeners(), native: ffiCallbacks(), blocks: nativeAllocations() }).to.deep.equal(before);
        expect(loops.filter((loop) => loop.deref() !== undefined).length, "loops still in memory").to.be.at.most(2);
        expect((process.memoryUsage().heapUsed - heap) / ROUNDS, "bytes a loop").to.be.below(2000);
      } finally {
        if (forced === undefined) Reflect.deleteProperty(process.env, HANDLE);
        else process.env[HANDLE] = forced;
        files.close();
      }
    });
  }

  it("H18 made and closed without having run, all at once, leave nothing either", async () => {
    const descriptors = openDescriptors();
    const loops = Array.from({ length: 300 }, () => new IOLoop({ makeCurrent: false }));
    expect(added(descriptors, openDescriptors()).length).to.be.at.least(300);
    for (const loop of loops) loop.close();
    expect(added(descriptors, openDescriptors())).to.deep.equal([]);
  });
});
