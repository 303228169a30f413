/** The benchmark's results as text and as a picture. */
import { expect } from "chai";
import { chart, shareOfTarget } from "../../bench/suite/chart.js";
import { judge } from "../../bench/suite/results.js";
import { figure, markdownReport, table, targetName, workTable } from "../../bench/suite/report.js";
import { echoWork, results } from "./sample.js";

/** The cells of a Markdown table's row that begins with `name`. */
function cells(text: string, name: string): string[] {
  const row = text.split("\n").find((line) => line.startsWith(`| ${name} `)) ?? "";
  return row
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Throws where tags do not close as they open, or where text has what XML keeps for itself. */
function checkXml(text: string): void {
  const open: string[] = [];
  const content = text.replace(
    /<(\/?)(\w+)((?:\s+[\w-]+="[^"<>]*")*)\s*(\/?)>/g,
    (_tag, end: string, name: string, _attributes, empty: string) => {
      if (end !== "") expect(open.pop()).to.equal(name);
      else if (empty === "") open.push(name);
      return "";
    },
  );
  expect(open).to.deep.equal([]);
  expect(content.replace(/&(amp|lt|gt|quot);/g, "")).to.not.match(/[<>&]/);
}

describe("the benchmark's report", () => {
  it("a table is aligned, its numbers to the right", () => {
    expect(
      table(
        ["", "rate"],
        [
          ["a", "1,000"],
          ["longer", "7"],
        ],
      ),
    ).to.equal(["|        |  rate |", "| ------ | ----: |", "| a      | 1,000 |", "| longer |     7 |"].join("\n"));
  });

  it("numbers have three digits, or all of them", () => {
    expect([0.8512, 1.2345, 45.678, 1234.5, 200_000].map(figure)).to.deep.equal(["0.85", "1.23", "45.7", "1,235", "200,000"]);
  });

  it("a work's table has rate, ratios, CPU, memory, latency and the load's share, and names what did not take part", () => {
    const text = workTable(echoWork);
    expect(cells(text, "ioloop")).to.deep.equal([
      "ioloop",
      "190,000 (180,000 to 200,000) †",
      "",
      "6.00",
      "",
      "64.0",
      "350",
      "700",
      "1,400",
      "98%",
    ]);
    expect(cells(text, "rival")).to.include.members(["95,000 (90,000 to 100,000)", "2.00 (2.00 to 2.00)", "1.67 (1.67 to 1.67)", "50%"]);
    expect(cells(text, "skipped")[1]).to.equal("skipped: it is not installed");
    expect(cells(text, "failed")[1]).to.equal("failed");
  });

  it("the Markdown names machine, versions, what is missing, every work and every target's verdict", () => {
    const text = markdownReport(results, "results.svg");
    for (const part of [
      "2026-11-21, in 14 minutes, on A processor, 2 cores, 8.0 GiB, Linux 6.1; servers on core 0, load on core 1; TCP with reno.",
      "- Bun (the npm package `bun`)",
      "- skipped: skipped, it is not installed (echo-50, tls)",
      "- failed: failed, exit status 1 (echo-50, tls)",
      "1 reached, 1 not reached, 1 not measured",
      "(results.svg)",
      "## TLS & more",
      "One has to know this.\n\n|",
      "median of 2 rounds",
    ]) {
      expect(text).to.include(part);
    }
    expect(cells(text, "Node.js")).to.deep.equal(["Node.js", "20.19.0"]);
    const verdicts = text
      .split("\n")
      .filter((line) => line.startsWith("| Line echo <50 connections> | ioloop / ") || line.includes("CPU per answer   "));
    expect(verdicts.map((line) => line.split("|")[3]?.trim())).to.deep.equal([
      "reached",
      "not reached",
      "not measured: it is not installed",
    ]);
  });

  it("a target's name says by what it compares where that is not the rate", () => {
    const names = [
      { by: "perSecond", theirs: "rival", atLeast: 1 } as const,
      { by: "cpuPerItem", theirs: "rival", atMost: 1 } as const,
      { by: "value", atMost: 1 } as const,
      { by: "value", theirs: "rival", as: "difference", atMost: 1 } as const,
    ].map((target) => targetName(echoWork, { ours: "ioloop", ...target }));
    expect(names).to.deep.equal(["ioloop / rival", "ioloop / rival, CPU per answer", "ioloop, answer", "ioloop − rival, answer"]);
  });

  it("the chart is well-formed, escapes what it shows, and has a bar for each target that was measured", () => {
    const picture = chart(results);
    checkXml(picture);
    expect(picture).to.include("Line echo &lt;50 connections&gt;").and.to.include("not measured: it is not installed");
    expect(picture.match(/<rect /g)).to.have.length(2);
    expect(picture)
      .to.match(/<rect class="reached"[^>]* width="320"/)
      .and.to.match(/<rect class="missed"/);
    expect(picture).to.include("prefers-color-scheme: dark");
  });

  it("a bar shows how far its target is reached, whichever way the figure goes", () => {
    const outcome = judge(echoWork, { ours: "ioloop", theirs: "rival", by: "perSecond", atLeast: 4 });
    expect(shareOfTarget(outcome, 2)).to.equal(0.5);
    const less = judge(echoWork, { ours: "ioloop", theirs: "rival", by: "cpuPerItem", atMost: 0.5 });
    expect(shareOfTarget(less, 0.25)).to.equal(2);
    expect(shareOfTarget(less, 1)).to.equal(0.5);
    expect(shareOfTarget(less, -3)).to.equal(2);
  });
});
