/**
 * The log of a test: all three loggers write here, and a record that the test has not declared makes it fail.
 */
import { inspect } from "node:util";
import { setLogger } from "../../src/log.js";
import type { LogLevel, LogSink, LoggerName } from "../../src/log.js";

/** One record as the sink got it. */
export interface LogRecord {
  readonly logger: LoggerName;
  readonly level: LogLevel;
  readonly message: string;
  readonly details: readonly unknown[];
}

interface Expectation {
  readonly logger: LoggerName;
  readonly level: LogLevel;
  readonly pattern: RegExp;
  readonly count: number | "any";
  readonly matched: LogRecord[];
}

const NAMES: readonly LoggerName[] = ["access", "application", "general"];
let records: LogRecord[] = [];
let expectations: Expectation[] = [];

function sink(logger: LoggerName): LogSink {
  const at =
    (level: LogLevel) =>
    (message: string, ...details: unknown[]): void => {
      records.push({ logger, level, message, details });
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function textOf(record: LogRecord): string {
  return [record.message, ...record.details.map((detail) => (typeof detail === "string" ? detail : inspect(detail)))].join("\n");
}

/** Routes the loggers here and forgets what an earlier test wrote and expected. */
export function startRecording(): void {
  records = [];
  expectations = [];
  for (const name of NAMES) setLogger(name, sink(name));
}

/** Everything that has been logged since the test began, debug and info records too. */
export function logRecords(): readonly LogRecord[] {
  return records;
}

/**
 * Declares a record this test provokes and demands it: the test fails when it did not come. `pattern` is matched against the message and
 * its details (for an error: its stack). Call it before or after the record comes.
 *
 * @param count how many such records must come; "any" permits them, none included
 * @returns the matching records, filled in when the test is over
 */
export function expectLog(logger: LoggerName, level: LogLevel, pattern: RegExp, count: number | "any" = 1): readonly LogRecord[] {
  const expectation: Expectation = { logger, level, pattern, count, matched: [] };
  expectations.push(expectation);
  return expectation.matched;
}

/** What is wrong with the log of the test that has just ended: records nobody expected and expected ones that did not come. */
export function logProblems(): string[] {
  const problems: string[] = [];
  for (const expectation of expectations) expectation.matched.length = 0;
  for (const record of records) {
    const text = textOf(record);
    const fits = expectations.filter((each) => each.logger === record.logger && each.level === record.level && each.pattern.test(text));
    // Two expectations of the same kind share the records: the first that still wants one gets it.
    const taker = fits.find((each) => each.count === "any" || each.matched.length < each.count) ?? fits[0];
    if (taker !== undefined) taker.matched.push(record);
    // Debug and info are for those who look for them; nothing is wrong when the library writes some.
    else if (record.level === "warn" || record.level === "error")
      problems.push(`unexpected log record [${record.logger}] ${record.level}: ${text}`);
  }
  for (const { logger, level, pattern, count, matched } of expectations) {
    if (count !== "any" && matched.length !== count) {
      problems.push(`expected ${count} log record(s) [${logger}] ${level} ${String(pattern)}, got ${matched.length}`);
    }
  }
  return problems;
}
