/** The results as a picture: one bar for each target, as a share of what is wanted, in SVG written by hand. Readable on light and dark ground. */
import { figure, targetName, wanted } from "./report.js";
import { type Outcome, outcomes, type Results, type WorkResult } from "./results.js";

const WIDTH = 1020;
const ROW = 34;
const TOP = 56;
const BOTTOM = 34;
/** Where bars begin, and how far one that is twice what is wanted reaches. Longer ones are cut there. */
const LEFT = 480;
const BARS = 400;
const MOST = 2;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .small { font-size: 11px; fill: #57606a; }
  .title { font-size: 16px; font-weight: 600; }
  .reached { fill: #2da44e; }
  .missed { fill: #d1632a; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  .wanted { stroke: #24292f; stroke-width: 2; }
  .spread { stroke: #24292f; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .reached { fill: #3fb950; }
    .missed { fill: #db6d28; }
    .wanted, .spread { stroke: #e6edf3; }
  }`;

export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** How far a value is towards its target: from 1 on it is reached. */
export function shareOfTarget({ target: { atLeast, atMost } }: Outcome, value: number): number {
  if (atLeast !== undefined) return value / atLeast;
  // A difference may be nothing or less: that is as good as can be shown.
  return atMost === undefined ? NaN : value <= 0 ? MOST : atMost / value;
}

function x(share: number): number {
  return Math.round(LEFT + (Math.min(Math.max(share, 0), MOST) / MOST) * BARS);
}

function text(at: number, y: number, content: string, attributes = ""): string {
  return `<text x="${at}" y="${y}"${attributes}>${escape(content)}</text>`;
}

function row([work, outcome]: [WorkResult, Outcome], index: number): string {
  const { target, found, reached } = outcome;
  const y = TOP + index * ROW;
  const names = [
    text(LEFT - 12, y + 13, targetName(work, target), ' text-anchor="end"'),
    text(LEFT - 12, y + 27, work.title, ' class="small" text-anchor="end"'),
  ];
  if (found === undefined) return [...names, text(LEFT + 8, y + 19, `not measured: ${outcome.reason ?? ""}`, ' class="small"')].join("\n");
  const middle = y + 14;
  const ends = [found.min, found.max].map((each) => x(shareOfTarget(outcome, each)));
  const [from = 0, to = 0] = ends.toSorted((a, b) => a - b);
  const length = x(shareOfTarget(outcome, found.median)) - LEFT;
  return [
    ...names,
    `<rect class="${reached === true ? "reached" : "missed"}" x="${LEFT}" y="${y + 5}" width="${length}" height="18" rx="2"/>`,
    `<path class="spread" fill="none" d="M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8"/>`,
    text(LEFT + BARS + 12, y + 13, figure(found.median)),
    text(LEFT + BARS + 12, y + 27, wanted(target), ' class="small"'),
  ].join("\n");
}

/** The picture, as the text of an SVG file. */
export function chart(results: Results): string {
  const all = outcomes(results);
  const bottom = TOP + all.length * ROW;
  const height = bottom + BOTTOM;
  const reached = all.filter(([, each]) => each.reached === true).length;
  const ticks = [0, 0.5, 1.5, 2].map(
    (share) =>
      `<line class="axis" stroke-dasharray="2 4" x1="${x(share)}" y1="${TOP - 6}" x2="${x(share)}" y2="${bottom}"/>\n${text(
        x(share),
        bottom + 18,
        `${share} ×${share === MOST ? " or more" : ""}`,
        ' class="small" text-anchor="middle"',
      )}`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title">
<title id="title">How each figure stands to its target: ${reached} of ${all.length} reached</title>
<style>${STYLE}
</style>
${text(12, 26, `${reached} of ${all.length} targets reached`, ' class="title"')}
${text(x(1), TOP - 12, "what is wanted", ' class="small" text-anchor="middle"')}
${ticks.join("\n")}
${all.map(row).join("\n")}
<line class="wanted" x1="${x(1)}" y1="${TOP - 6}" x2="${x(1)}" y2="${bottom}"/>
${text(x(1), bottom + 18, "1 ×", ' class="small" text-anchor="middle"')}
</svg>
`;
}
