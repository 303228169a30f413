/** From starting a script to its end, when all that it does is an iteration of a loop. */
import { type Contender, type Program, type Setup, type Work } from "./contract.js";

/** So many for one measurement, of which the shortest counts: whatever else the machine does can only make a start longer. */
const STARTS = 9;

export function works(setup: Setup): Work[] {
  const contender = (name: string, program: Program): Contender => ({
    name,
    ...(program.missing === undefined ? {} : { skipped: program.missing }),
    measure: async () => {
      const times: number[] = [];
      // The first finds the files for the others.
      for (let start = -1; start < (setup.quick ? 1 : STARTS); start++) {
        const begun = performance.now();
        await setup.run(program, { core: "server" });
        if (start >= 0) times.push(performance.now() - begun);
      }
      return { value: Math.min(...times) };
    },
  });

  return [
    {
      id: "start-up",
      title: "A script that starts a loop, runs an iteration and stops",
      unit: "ms",
      contenders: [
        contender("ioloop", setup.node("start.ts")),
        contender("empty Node script", setup.node("empty.ts")),
        contender("Tornado on asyncio", setup.python(["tornado"], "start.py")),
      ],
      targets: [{ ours: "ioloop", theirs: "empty Node script", by: "value", as: "difference", atMost: 60 }],
    },
  ];
}
