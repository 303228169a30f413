/** `ExpectLog`: log lines that a test provokes, swallowed and demanded. Depends on the log. */
import { generalLog, interceptLog, type Logger, type LoggerName, type LogLevel, accessLog, applicationLog } from "../log.js";
import { checkFlag, checkOptions, show } from "../process/index.js";

/** What {@link ExpectLog} takes besides logger and pattern. */
export interface ExpectLogOptions {
  /** Whether it is an error when no line matched; true without it. */
  required?: boolean | undefined;
  /** The level that a line must have to count: "debug", "info", "warn" or "error". */
  level?: LogLevel | undefined;
}

const LOGGERS: Readonly<Record<LoggerName, Logger>> = { access: accessLog, application: applicationLog, general: generalLog };
const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/**
 * Swallows the log lines whose message matches a pattern, from its making on, and demands that there is at least one. Lines that do not match go
 * their way. Of several in force, the one made last sees a line first.
 *
 * Tornado: `ExpectLog`.
 *
 * @example
 * await new ExpectLog("application", "Exception in callback").with(async () => {
 *   await provokeIt();
 * });
 *
 * using _log = new ExpectLog("general", /Connect error/); // until the end of the block
 */
export class ExpectLog implements Disposable {
  /** How many lines matched. */
  matched = 0;
  /** Whether any of them carried an `Error`, as a line about an exception does. */
  loggedStack = false;

  readonly #name: LoggerName | undefined;
  readonly #pattern: RegExp;
  readonly #required: boolean;
  readonly #level: LogLevel | undefined;
  #restore: (() => void) | undefined;

  /**
   * @param logger - the name of one ("access", "application", "general", also with Tornado's prefix "tornado."), or `""` for all three
   * @param regex - what the message must match at its start
   * @throws TypeError, RangeError for wrong arguments
   */
  constructor(logger: string, regex: string | RegExp, options: ExpectLogOptions = {}) {
    this.#name = readName(logger);
    this.#pattern = readPattern(regex);
    checkOptions("new ExpectLog()", ["required", "level"], options);
    const { required = true, level } = options;
    checkFlag("required", required);
    if (level !== undefined && !LEVELS.includes(level)) throw new RangeError(`level is ${show(level)}: use one of ${LEVELS.join(", ")}`);
    this.#required = required;
    this.#level = level;
    this.#start();
  }

  /**
   * Runs `fn`, which may be asynchronous, and ends with it. What `fn` throws is thrown and comes before the complaint about a line that did not come.
   *
   * @throws Error when no line matched
   */
  async with<T>(fn: (expected: this) => T): Promise<Awaited<T>> {
    this.#start();
    let result: Awaited<T>;
    try {
      result = await fn(this);
    } finally {
      this.#end();
    }
    this.#demand();
    return result;
  }

  /**
   * Ends it, at the end of a `using` block.
   *
   * @throws Error when no line matched
   */
  [Symbol.dispose](): void {
    this.#end();
    this.#demand();
  }

  #start(): void {
    this.#restore ??= interceptLog((name, level, message, details) => this.#take(name, level, message, details));
  }

  #end(): void {
    this.#restore?.();
    this.#restore = undefined;
  }

  #take(name: LoggerName, level: LogLevel, message: string, details: readonly unknown[]): boolean {
    if (this.#name !== undefined && this.#name !== name) return false;
    // Sticky, so that it matches at the start and nowhere else.
    this.#pattern.lastIndex = 0;
    if (!this.#pattern.test(message)) return false;
    if (this.#level !== undefined && this.#level !== level) {
      // Seen by the blocks around this one, and the sink, as any other line; not by this one, which it would not match.
      LOGGERS[name].warn(`Got expected log message ${show(message)} at unexpected level (${level} instead of ${this.#level})`);
      return false;
    }
    this.matched++;
    if (details.some((detail) => detail instanceof Error)) this.loggedStack = true;
    return true;
  }

  #demand(): void {
    if (this.#required && this.matched === 0) {
      throw new Error(`did not get expected log message ${String(this.#pattern)}`);
    }
  }
}

function readName(logger: unknown): LoggerName | undefined {
  if (typeof logger !== "string") throw new TypeError(`logger is ${show(logger)}: pass the name of a logger`);
  const name = logger.replace(/^tornado\./, "");
  if (name === "") return undefined;
  if (!Object.hasOwn(LOGGERS, name)) {
    throw new RangeError(`logger is ${show(logger)}: use one of ${Object.keys(LOGGERS).join(", ")}, or "" for all`);
  }
  return name as LoggerName;
}

function readPattern(regex: unknown): RegExp {
  if (typeof regex === "string") return new RegExp(regex, "y");
  if (!(regex instanceof RegExp)) throw new TypeError(`regex is ${show(regex)}: pass a RegExp, or the source of one`);
  return new RegExp(regex.source, `${regex.flags.replace(/[gy]/g, "")}y`);
}
