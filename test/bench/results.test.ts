/** What `npm run bench` makes of its measurements: medians, ratios pair by pair, targets. */
import { expect } from "chai";
import { series } from "../../bench/measure.js";
import type { Measurement, Target, Work } from "../../bench/suite/contract.js";
import { markdownReport } from "../../bench/suite/report.js";
import { absences, advantage, judge, spreadOf, withAgain } from "../../bench/suite/results.js";
import { runWork } from "../../bench/suite/run.js";
import { contender, echoWork, results } from "./sample.js";

const fast: Target = { ours: "ioloop", theirs: "rival", by: "perSecond", atLeast: 1.25 };

describe("the benchmark's results", () => {
  it("a series tells the middle value, and the mean of the two in the middle, with the ends", () => {
    expect(series("odd", [5, 1, 3])).to.deep.equal({ name: "odd", median: 3, min: 1, max: 5 });
    expect(series("even", [4, 1, 2, 30])).to.deep.equal({ name: "even", median: 3, min: 1, max: 30 });
  });

  it("a ratio is taken pair by pair, not from the medians", () => {
    const ours = contender("ioloop", [{ perSecond: 100 }, { perSecond: 10 }, { perSecond: 40 }]);
    const theirs = contender("rival", [{ perSecond: 50 }, { perSecond: 5 }, { perSecond: 80 }]);
    expect(advantage(ours, theirs, "perSecond")).to.include({ median: 2, min: 0.5, max: 2 });
  });

  it("above 1 ours is better, whichever way the figure goes", () => {
    const ours = contender("ioloop", [{ perSecond: 200, cpuPerItem: 5, value: 10, peakMemory: 1000 }]);
    const theirs = contender("rival", [{ perSecond: 100, cpuPerItem: 10, value: 40, peakMemory: 8000 }]);
    const found = (["perSecond", "cpuPerItem", "value", "peakMemory"] as const).map((by) => advantage(ours, theirs, by)?.median);
    expect(found).to.deep.equal([2, 2, 4, 8]);
  });

  it("a round in which one of the pair failed does not count", () => {
    const ours = contender("ioloop", [{ perSecond: 100 }, null, { perSecond: 100 }]);
    const theirs = contender("rival", [{ perSecond: 50 }, { perSecond: 1 }, { perSecond: 25 }]);
    expect(advantage(ours, theirs, "perSecond")).to.include({ median: 3, min: 2, max: 4 });
    expect(spreadOf(ours, (each) => each.perSecond)).to.include({ median: 100 });
    expect(spreadOf(ours, (each) => each.value)).to.equal(undefined);
  });

  it("a target with atLeast asks how many times better ours is, one with atMost what share ours needs", () => {
    expect(judge(echoWork, fast)).to.deep.include({ reached: true });
    expect(judge(echoWork, { ...fast, atLeast: 2.1 })).to.deep.include({ reached: false });
    // Ours needs 6 µs for each answer, the rival 10.
    const more = judge(echoWork, { ours: "ioloop", theirs: "rival", by: "cpuPerItem", atLeast: 1.5 });
    expect(more.found?.median).to.be.closeTo(10 / 6, 1e-9);
    expect(more.reached).to.be.true;
    const less = judge(echoWork, { ours: "ioloop", theirs: "rival", by: "cpuPerItem", atMost: 0.5 });
    expect(less.found?.median).to.be.closeTo(0.6, 1e-9);
    expect(less.reached).to.be.false;
  });

  it("a target may be a difference, or a figure by itself", () => {
    const work = {
      ...echoWork,
      contenders: [contender("ioloop", [{ value: 90 }, { value: 95 }]), contender("empty", [{ value: 40 }, { value: 41 }])],
    };
    expect(judge(work, { ours: "ioloop", theirs: "empty", by: "value", as: "difference", atMost: 60 })).to.deep.include({
      found: series("", [50, 54]),
      reached: true,
    });
    expect(judge(work, { ours: "ioloop", by: "value", atMost: 60 })).to.deep.include({ found: series("", [90, 95]), reached: false });
  });

  it("a target whose contender is skipped, failed or absent is not measured, with the reason", () => {
    const reasons = ["absent", "skipped", "failed"].map((theirs) => judge(echoWork, { ...fast, theirs }));
    expect(reasons.map(({ reason }) => reason)).to.deep.equal(["absent is not in this run", "it is not installed", "failed failed"]);
    expect(reasons.every(({ reached }) => reached === undefined)).to.be.true;
    expect(judge(echoWork, { ...fast, by: "value" }).reason).to.equal("value was not measured");
  });

  it("what is skipped and what failed is named, with the works concerned", () => {
    expect(absences(results)).to.deep.equal([
      "skipped: skipped, it is not installed (echo-50, tls)",
      "failed: failed, exit status 1 (echo-50, tls)",
    ]);
  });

  it("contenders take turns within a round; one that fails leaves the others alone, one that is skipped is not run", async () => {
    const order: string[] = [];
    const measuring = (name: string, outcome: () => Measurement) => ({
      name,
      measure: () => {
        order.push(name);
        return Promise.resolve().then(outcome);
      },
    });
    const broken = measuring("broken", () => {
      throw new Error("It broke");
    });
    const work: Work = {
      ...echoWork,
      contenders: [
        measuring("a", () => ({ perSecond: 1 })),
        broken,
        { ...measuring("none", () => ({})), skipped: "not here" },
        measuring("b", () => ({})),
      ],
    };
    const found = await runWork(work, 2, () => undefined);
    expect(order).to.deep.equal(["a", "broken", "b", "a", "broken", "b"]);
    expect(found.contenders).to.deep.equal([
      { name: "a", measurements: [{ perSecond: 1 }, { perSecond: 1 }], failures: [] },
      { name: "broken", measurements: [null, null], failures: ["It broke", "It broke"] },
      { name: "none", skipped: "not here", measurements: [], failures: [] },
      { name: "b", measurements: [{}, {}], failures: [] },
    ]);
  });

  it("works measured again take the place of theirs, with when and by what, and the others stay", () => {
    const newer = { ...echoWork, contenders: [contender("ioloop", [{ perSecond: 1 }])] };
    const later = { ...results, date: "2026-12-24T18:00:00.000Z", works: [newer, { ...newer, id: "unknown" }] };
    const both = withAgain(results, { ...later, machine: { ...results.machine, versions: { ioloop: "1.2.3, commit abc" } } });
    expect(both.date).to.equal(results.date);
    expect(both.works).to.deep.equal([{ ...newer, again: { date: later.date, version: "1.2.3, commit abc" } }, results.works[1]]);
    expect(markdownReport(both, "chart.svg")).to.match(
      /`--only=echo-50`, measured again on 2026-12-24 18:00 UTC with 1\.2\.3, commit abc, in 1 round\n/,
    );
    expect(markdownReport(results, "chart.svg")).to.not.include("measured again");
  });
});
