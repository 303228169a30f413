/**
 * The three named loggers of Tornado's `log` module: `access`, `application`, `general`.
 *
 * By default warnings and errors go to stderr; debug and info are dropped unless `NODE_DEBUG` names `ioloop`. `setLogger()` routes one
 * logger, or all, elsewhere. Nothing in the library writes to `console`.
 */
import { inspect } from "node:util";

/** The names of the loggers, as in Tornado (`tornado.access`, `tornado.application`, `tornado.general`). */
export type LoggerName = "access" | "application" | "general";

/** The levels a sink is called with, mildest first. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Where log records go. `console`, pino and winston fit as they are. A record is a message and, where something was thrown, the thrown
 * value itself as a second argument.
 */
export interface LogSink {
  debug(message: string, ...details: unknown[]): void;
  info(message: string, ...details: unknown[]): void;
  warn(message: string, ...details: unknown[]): void;
  error(message: string, ...details: unknown[]): void;
}

const NAMES: readonly LoggerName[] = ["access", "application", "general"];
const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const sinks = new Map<LoggerName, LogSink>();

/** Sees a record before any sink does, and says whether it takes it. @internal */
export type LogInterceptor = (name: LoggerName, level: LogLevel, message: string, details: readonly unknown[]) => boolean;

/** Those in force; the last one added is asked first. */
const interceptors: LogInterceptor[] = [];

/** Has `interceptor` asked about every record until the function returned is called: for test helpers (N103). @internal */
export function interceptLog(interceptor: LogInterceptor): () => void {
  interceptors.push(interceptor);
  return () => {
    const index = interceptors.lastIndexOf(interceptor);
    if (index >= 0) interceptors.splice(index, 1);
  };
}

/** Debug and info are wanted by the default sink: `NODE_DEBUG` is a comma-separated list, as Node's own sections are. */
function verbose(): boolean {
  const sections = process.env["NODE_DEBUG"];
  return sections?.split(",").some((section) => section.trim().toLowerCase() === "ioloop") ?? false;
}

function describe(detail: unknown): string {
  if (detail instanceof Error) return inspect(detail);
  return typeof detail === "string" ? detail : inspect(detail);
}

function writeToStderr(name: LoggerName, level: LogLevel, message: string, details: readonly unknown[]): void {
  if ((level === "debug" || level === "info") && !verbose()) return;
  const text = [message, ...details.map(describe)].join("\n");
  process.stderr.write(`[${name}] ${level}: ${text}\n`);
}

/** One of the three loggers. The library writes to it; programs may too, so that their records take the same way. */
export class Logger {
  readonly name: LoggerName;

  /** @internal */
  constructor(name: LoggerName) {
    this.name = name;
  }

  /** Writes a record that only somebody looking for it wants. */
  debug(message: string, ...details: unknown[]): void {
    this.#write("debug", message, details);
  }

  /** Writes a record of normal operation. */
  info(message: string, ...details: unknown[]): void {
    this.#write("info", message, details);
  }

  /** Writes a record of something unusual that was dealt with. */
  warn(message: string, ...details: unknown[]): void {
    this.#write("warn", message, details);
  }

  /** Writes a record of a failure; `details` holds the error, whose stack the default sink prints. */
  error(message: string, ...details: unknown[]): void {
    this.#write("error", message, details);
  }

  #write(level: LogLevel, message: string, details: readonly unknown[]): void {
    // Logging happens where something has just failed: a sink that fails too must not take the loop down with it (H22).
    try {
      if (interceptors.length > 0 && interceptors.toReversed().some((take) => take(this.name, level, message, details))) return;
      const sink = sinks.get(this.name);
      if (sink === undefined) writeToStderr(this.name, level, message, details);
      else sink[level](message, ...details);
    } catch {
      // There is nowhere left to report it to.
    }
  }
}

/** HTTP-style access records. Nothing in this library writes to it; programs ported from Tornado do. */
export const accessLog: Logger = new Logger("access");
/** Errors of the program's own callbacks and handlers. */
export const applicationLog: Logger = new Logger("application");
/** Everything else: errors and warnings of the library itself. */
export const generalLog: Logger = new Logger("general");

/**
 * Routes a logger to `sink`; `undefined` as the sink restores the default, `undefined` as the name means all three. A sink gets every
 * level, whatever `NODE_DEBUG` says; one that throws is ignored.
 *
 * @throws TypeError when `sink` lacks one of `debug`, `info`, `warn`, `error`
 * @throws RangeError when `name` is none of the three
 */
export function setLogger(name: LoggerName | undefined, sink: LogSink | undefined): void {
  if (name !== undefined && !NAMES.includes(name)) {
    throw new RangeError(`Unknown logger name ${inspect(name)}: use one of ${NAMES.join(", ")}, or undefined for all`);
  }
  if (sink !== undefined) {
    const missing = LEVELS.filter((level) => typeof (sink as Partial<LogSink> | null)?.[level] !== "function");
    if (missing.length > 0) {
      throw new TypeError(`The log sink ${inspect(sink, { depth: 0 })} has no method ${missing.join(", ")}: pass an object like console`);
    }
  }
  for (const each of name === undefined ? NAMES : [name]) {
    if (sink === undefined) sinks.delete(each);
    else sinks.set(each, sink);
  }
}
