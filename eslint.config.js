/**
 * Lint rules: typescript-eslint's type-checked strict and stylistic sets. Every rule that is switched off or loosened has its reason beside it.
 * The import order is kept by .dependency-cruiser.js.
 */
import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: [".tmp/", "dist/", "coverage/", "docs/api/", "node_modules/"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  eslint.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      eqeqeq: "error",
      "no-console": "error",

      // A Future is settled for its done callbacks too, and a stop is asked for in passing: `() => resolve()` and `() => loop.stop()` read
      // better than the block form.
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true, ignoreVoidOperator: true }],
      // Descriptors, masks and counts go into messages all the time and print as one expects.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // `_name` is a parameter that a signature demands; Tornado's own names start with an underscore too and are properties, not variables.
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }],
      // The specification names type parameters that only callers use (`runSync<T>`), and so do the type-level mappings of `ioloop/tornado`.
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      // `|| undefined` and `||` on counts and strings are meant as written; `??` is for absence and is asked for where only absence can occur.
      "@typescript-eslint/prefer-nullish-coalescing": ["error", { ignorePrimitives: true }],
      // Tornado's classes have static-only relatives, and a mark such as `class NoValue {}` is a class for its type.
      "@typescript-eslint/no-extraneous-class": ["error", { allowEmpty: true, allowStaticOnly: true, allowConstructorOnly: true }],
      // What was thrown is passed on as it came, also when it is no Error: `setException`, abort reasons, Python's `raise`.
      "@typescript-eslint/only-throw-error": ["error", { allowThrowingUnknown: true, allowThrowingAny: false }],
      "@typescript-eslint/prefer-promise-reject-errors": ["error", { allowThrowingUnknown: true }],
      // It wants `x!` where `no-non-null-assertion` forbids it; `as` says what is known instead.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      // `void | PromiseLike<void>` is the plain way to say that an answer is awaited but not looked at.
      "@typescript-eslint/no-invalid-void-type": "off",
      // `while (true)` in a read loop that ends on "would block".
      "@typescript-eslint/no-unnecessary-condition": ["error", { allowConstantLoopConditions: true }],
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      // chai's property assertions (`expect(x).to.be.true`) are expressions.
      "@typescript-eslint/no-unused-expressions": "off",
      // A test passes wrong things on purpose, replaces single members of the system-call table and hands methods to sinon.
      "@typescript-eslint/unbound-method": "off",
      "@typescript-eslint/no-empty-function": "off",
      // An async test callback that only awaits in one branch, or returns a rejected promise, is what is tested.
      "@typescript-eslint/require-await": "off",
      // `describe` and `it` bodies may be async arrows where a callback returning void is declared (handlers, callbacks: L64).
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: false }],
      // `await null` is one hop of the microtask queue, which is what a test of order counts.
      "@typescript-eslint/await-thenable": "off",
      // A callback's return value is often what is tested, and a title shows a wrong value as it prints.
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-meaningless-void-operator": "off",
      "@typescript-eslint/no-base-to-string": "off",
      // Tests assert a type to get past a signature on purpose; for overloaded methods the rule takes assertions for unnecessary that are not.
      "@typescript-eslint/no-unnecessary-type-assertion": "off",
      // What fixtures and helpers of one test file export is no published interface.
      "@typescript-eslint/explicit-module-boundary-types": "off",
      // A caught error is told to be of the class that the next line then checks.
      "@typescript-eslint/no-unsafe-class-instance-assignment": "off",
      // A test knows what it has put into an array.
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
  {
    // Programs talk to the person who started them.
    files: ["examples/**/*.ts", "bench/**/*.ts", "scripts/**/*.ts"],
    rules: {
      "no-console": "off",
      // A program ends in `IOLoop.current().start()`: the promise need not be awaited as the last line of a script.
      "@typescript-eslint/no-floating-promises": ["error", { ignoreVoid: true, allowForKnownSafeCalls: [{ from: "file", name: "start" }] }],
    },
  },
  {
    files: ["**/*.js"],
    rules: { "no-console": "off" },
    languageOptions: {
      globals: { process: "readonly", console: "readonly", URL: "readonly", Buffer: "readonly", performance: "readonly" },
    },
  },
);
