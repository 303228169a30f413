/** The lint rules that keep the design's import order really fire: a resolver that finds nothing would let everything through. */
import { expect } from "chai";
import { ESLint } from "eslint";
import { projectRoot } from "./support/child.js";

describe("import order", function () {
  this.timeout(60_000);
  const eslint = new ESLint({ cwd: projectRoot, ruleFilter: ({ ruleId }) => ruleId.startsWith("import-x/") });

  /** What the rules say about `code` if it stood in `filePath`, an existing file. */
  async function complaints(filePath: string, code: string): Promise<string[]> {
    const [result] = await eslint.lintText(code, { filePath });
    return (result?.messages ?? []).filter(({ ruleId }) => ruleId?.startsWith("import-x/")).map(({ message }) => message);
  }

  it("lets a folder import what is below it", async () => {
    expect(await complaints("src/ioloop/ioloop.ts", 'import "../concurrent/index.js";\nimport "../log.js";\n')).to.deep.equal([]);
  });

  it("refuses what is above or beside it", async () => {
    const [complaint] = await complaints("src/concurrent/future.ts", 'import "../platform/index.js";\n');
    expect(complaint).to.include("concurrent may import only: log, names");
  });

  it("refuses another folder's inner file", async () => {
    const [complaint] = await complaints(
      "src/ioloop/ioloop.ts",
      'import type { Future } from "../concurrent/future.js";\nexport type F = Future<void>;\n',
    );
    expect(complaint).to.include("Import from src/concurrent/index.js");
  });

  it("refuses a cycle", async () => {
    const [complaint] = await complaints("src/platform/system-calls.ts", 'export { isOpen } from "./descriptors.js";\n');
    expect(complaint).to.include("Dependency cycle");
  });

  it("refuses a file that is not there", async () => {
    const [complaint] = await complaints("src/log.ts", 'import "./logger.js";\n');
    expect(complaint).to.include("Unable to resolve");
  });
});
