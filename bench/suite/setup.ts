/** The `Setup` that works are built from: programs found, compiled and started. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { Child } from "./children.js";
import type { Program, Server, Setup } from "./contract.js";
import type { Machine } from "./machine.js";
import { ServerProcess } from "./server.js";

const project = fileURLToPath(new URL("../..", import.meta.url));
const contenders = join(project, "bench", "contenders");

/** Durations of a run. */
export interface Durations {
  readonly quick: boolean;
  readonly warmUp: number;
  readonly measured: number;
}

/**
 * The contenders as plain JavaScript, in a folder inside the project: there `ioloop` is the package itself, its built files, as its users have them.
 * Running them through a loader would put the loader's threads and memory into the figures.
 */
function compileContenders(folder: string): void {
  for (const file of readdirSync(contenders)) {
    if (!file.endsWith(".ts")) continue;
    const { outputText } = ts.transpileModule(readFileSync(join(contenders, file), "utf8"), {
      fileName: file,
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
    });
    writeFileSync(join(folder, file.replace(/ts$/, "js")), outputText);
  }
}

/** Makes the folder and compiles into it. `remove()` takes it away. */
export function makeSetup(machine: Machine, durations: Durations): Setup & { remove(): void } {
  mkdirSync(join(project, ".tmp"), { recursive: true });
  const folder = mkdtempSync(join(project, ".tmp", "bench-"));
  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", remove);
  compileContenders(folder);

  const compiled = (file: string): string => join(folder, file.replace(/\.ts$/, ".js"));
  const program = (command: string | undefined, args: readonly string[], missing: string): Program =>
    command === undefined ? { command: "", args, missing } : { command, args };
  const built = new Map<string, Program>();
  const build = (file: string): Program => {
    const output = join(folder, file.replace(/\.c$/, ""));
    if (machine.cc === undefined) return program(undefined, [], "no C compiler");
    const { status, stderr } = spawnSync(machine.cc, ["-O2", "-o", output, join(contenders, "c", file)], { encoding: "utf8" });
    return status === 0 ? { command: output, args: [] } : program(undefined, [], `${file} does not compile: ${stderr}`);
  };

  return {
    machine,
    folder,
    ...durations,
    remove,
    // Memory is compared after a collection that is asked for.
    node: (file, ...args) => program(process.execPath, ["--expose-gc", compiled(file), ...args], ""),
    bun: (file, ...args) => program(machine.bun, [compiled(file), ...args], "Bun is not installed"),
    python: (modules, file, ...args) =>
      program(machine.pythonWith(modules), [join(contenders, file), ...args], `no Python with ${modules.join(" and ")}`),
    c: (file, ...args) => {
      const ready = built.get(file) ?? build(file);
      built.set(file, ready);
      return { ...ready, args };
    },
    startServer: (of): Promise<Server> => new ServerProcess(of, machine.cores?.server).start(),
    run: async (of, { core = "load", onLine } = {}) => {
      const child = new Child(of, machine.cores?.[core]);
      try {
        const lines: string[] = [];
        for (let line = await child.nextLine(); line !== undefined; line = await child.nextLine()) {
          lines.push(line);
          onLine?.(line);
        }
        await child.finish();
        return lines.join("\n");
      } finally {
        await child.stop();
      }
    },
  };
}
