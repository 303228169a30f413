/**
 * The import order as rules, from the list in import-layers.js: `npm run lint` checks it. Type-only imports keep to the order too, but may be
 * mutual: they are gone when the code runs.
 */
import { layers, singleFiles } from "./import-layers.js";

/** Matches the files of some parts. */
const filesOf = (parts) => `^src/(${parts.map((part) => (singleFiles.includes(part) ? `${part}\\.ts$` : `${part}/`)).join("|")})`;

const forbidden = [
  {
    name: "no-cycles",
    severity: "error",
    from: {},
    to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
  },
  {
    name: "only-through-the-index",
    comment: "Another folder is imported through its index.ts, its public face.",
    severity: "error",
    from: { path: "^src/([^/]+)" },
    to: { path: "^src/[^/]+/(?!index\\.ts$)", pathNot: "^src/$1/" },
  },
  {
    name: "every-part-is-listed",
    comment: "A part of src/ without a line in import-layers.js.",
    severity: "error",
    from: { path: "^src/", pathNot: filesOf(Object.keys(layers)) },
    to: {},
  },
  { name: "no-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ...Object.entries(layers).map(([part, allowed]) => ({
    name: `${part}-only-imports-what-is-below`,
    comment: `${part} may import: ${allowed.join(", ") || "nothing of ours"} (import-layers.js).`,
    severity: "error",
    from: { path: filesOf([part]) },
    to: { path: "^src/", pathNot: filesOf([part, ...allowed]) },
  })),
];

export default {
  forbidden,
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "require", "node", "default", "types"] },
  },
};
