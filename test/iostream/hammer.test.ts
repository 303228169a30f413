/**
 * The hammer over every kind of stream; see `hammer.ts`. A failing batch names its seed, and
 *
 *     HAMMER_SEED=<seed> HAMMER_ROUNDS=100 npx mocha test/iostream/hammer.test.ts
 *
 * runs that one again. HAMMER_ROUNDS alone sets how many rounds the run has, for a longer one at night.
 */
import { combinations } from "../support/combinations.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { Hammer, HostileKernel } from "./hammer.js";
import { type Kind, randomNumbers } from "./kinds.js";

/** So many rounds share a loop. */
const TOGETHER = 100;
const rounds = Number(process.env["HAMMER_ROUNDS"] ?? 10_000);
const firstSeed = Number(process.env["HAMMER_SEED"] ?? 1);

describe("The hammer", () => {
  it(`survives ${rounds} rounds of random operations over a hostile kernel`, async function () {
    this.timeout(10_000 + rounds * 30);
    for (let batch = 0; batch < rounds / TOGETHER; batch++) await hammer(firstSeed + batch);
    expectLog("general", "warn", /^(error on read|Write error on)/, "any");
    expectLog("general", "error", /^Reached maximum read buffer size/, "any");
  });

  it(`survives ${Math.ceil(rounds / 10)} rounds over TLS`, async function () {
    this.timeout(10_000 + rounds * 10);
    for (let batch = 0; batch < rounds / TOGETHER / 10; batch++) await hammer(firstSeed + batch, ["tls"]);
    expectLog("general", "error", /^Reached maximum read buffer size/, "any");
  });
});

async function hammer(seed: number, kinds: readonly Kind["name"][] = ["tcp", "unix", "pipe"]): Promise<void> {
  const combination = combinations[seed % combinations.length];
  const loop = makeLoop(combination);
  const random = randomNumbers(seed);
  const kernel = new HostileKernel(random);
  try {
    await loop.runSync(() => new Hammer(loop, random, kernel, kinds).run(TOGETHER), { timeout: 10 });
  } catch (error) {
    throw new Error(`With HAMMER_SEED=${seed} HAMMER_ROUNDS=${TOGETHER}`, { cause: error });
  } finally {
    kernel[Symbol.dispose]();
    loop.close();
  }
}
