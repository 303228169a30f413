/**
 * The links of docs/annotated-iostream.md: each names something in code and leads to the line where that begins, so they cannot rot. After a
 * change that moves lines,
 *
 *     UPDATE_LINKS=1 npx mocha test/iostream/annotated-source.test.ts
 *
 * corrects them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { projectRoot } from "../support/child.js";

const page = join(projectRoot, "docs/annotated-iostream.md");
const link = /\[`(\w+)`\]\((\.\.\/src\/[\w./-]+)#L(\d+)\)/g;

/** The line, from 1, where a class, function or member of that name begins. */
function beginningOf(name: string, file: string): number {
  const words = "(?:export|private|protected|public|override|abstract|static|async|readonly|function|class|get)";
  const beginning = new RegExp(`^\\s*(?:${words}\\s+)*${name}\\b\\s*[(<{:=]|\\b(?:class|function)\\s+${name}\\b`);
  return (
    readFileSync(file, "utf8")
      .split("\n")
      .findIndex((line) => beginning.test(line)) + 1
  );
}

describe("The annotated source", () => {
  it("links to the lines it speaks of", () => {
    const wrong: string[] = [];
    let links = 0;
    const text = readFileSync(page, "utf8");
    const corrected = text.replace(link, (whole, name: string, path: string, line: string) => {
      links++;
      const found = beginningOf(name, join(dirname(page), path));
      if (found === 0) wrong.push(`${name} is not in ${path}`);
      else if (found !== Number(line)) wrong.push(`${name} is on line ${found} of ${path}, not ${line}`);
      return found === 0 ? whole : `[\`${name}\`](${path}#L${found})`;
    });
    if (process.env["UPDATE_LINKS"] === "1") writeFileSync(page, corrected);
    else expect(wrong, "run this test with UPDATE_LINKS=1").to.deep.equal([]);
    expect(links).to.be.greaterThan(40);
  });

  it("has a section for each function of the annotated source", () => {
    const text = readFileSync(page, "utf8");
    const sections =
      "__init__ connect read_until read_bytes write close _handle_events _run_callback _handle_read _read_to_buffer _read_from_buffer";
    for (const name of `${sections} _handle_connect _handle_write _consume _add_io_state _read_buffer_size _merge_prefix`.split(" ")) {
      expect(text).to.contain(`\n## \`${name}\`\n`);
    }
  });
});
