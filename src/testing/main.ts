/** `main`: runs Mocha from a program. Mocha is imported when it is called, from where the program has it. */
import { checkFlag, checkOptions, checkWhole, show } from "../process/index.js";

/** What {@link main} takes. */
export interface MainOptions {
  /** 0 and 1 print a dot for each test, 2 (the default) its title. */
  verbosity?: number | undefined;
  /** Stops at the first failure. */
  failfast?: boolean | undefined;
  /** The files; those named on the command line without it. */
  files?: readonly string[] | undefined;
}

/** What is used of Mocha's own programmatic interface. */
interface MochaRunner {
  addFile(file: string): unknown;
  loadFilesAsync(): Promise<unknown>;
  run(done: (failures: number) => void): unknown;
}

type MochaClass = new (options: { reporter: string; bail: boolean }) => MochaRunner;

/**
 * Runs the tests in the files named on the command line, and answers with the number of failures; `process.exitCode` says the same.
 *
 * Tornado: `tornado.testing.main`.
 *
 * @throws Error when Mocha is not installed; TypeError, RangeError for wrong arguments
 */
export async function main(options: MainOptions = {}): Promise<number> {
  checkOptions("main()", ["verbosity", "failfast", "files"], options);
  const { verbosity = 2, failfast = false, files = process.argv.slice(2) } = options;
  checkWhole("verbosity", verbosity, 0, 2);
  checkFlag("failfast", failfast);
  if (!Array.isArray(files) || !files.every((file) => typeof file === "string")) {
    throw new TypeError(`files is ${show(files)}: pass an array of paths`);
  }
  if (files.length === 0) {
    process.stderr.write("No test files: name them on the command line, or in the option files\n");
    process.exitCode = 1;
    return 1;
  }
  const Mocha = await importMocha();
  const mocha = new Mocha({ reporter: verbosity === 2 ? "spec" : "dot", bail: failfast });
  for (const file of files) mocha.addFile(file);
  await mocha.loadFilesAsync();
  const failures = await new Promise<number>((resolve) => {
    mocha.run(resolve);
  });
  process.exitCode = failures === 0 ? 0 : 1;
  return failures;
}

async function importMocha(): Promise<MochaClass> {
  try {
    // As an unknown: whoever compiles against this library need not have Mocha's types.
    const module = (await import("mocha")) as unknown as { default: MochaClass };
    return module.default;
  } catch (error) {
    throw new Error("Mocha is not installed, which main() runs the tests with: npm install --save-dev mocha", { cause: error });
  }
}
