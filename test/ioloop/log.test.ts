/** Where log records go (H22 of docs/spec/ioloop.md). */
import { expect } from "chai";
import { accessLog, applicationLog, generalLog, setLogger } from "../../src/log.js";
import type { LoggerName, LogSink } from "../../src/log.js";
import { runSource } from "../support/child.js";
import { eachCombination } from "../support/combinations.js";

const NAMES: readonly LoggerName[] = ["access", "application", "general"];
const LOGGERS = { access: accessLog, application: applicationLog, general: generalLog };

/** A sink that remembers, as "level message detail". */
function remembering(records: string[]): LogSink {
  const at =
    (level: string) =>
    (message: string, ...details: unknown[]): void =>
      void records.push([level, message, ...details.map(String)].join(" "));
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

const throwing: LogSink = {
  debug: fail,
  info: fail,
  warn: fail,
  error: fail,
};

function fail(): never {
  throw new Error("the sink is broken");
}

describe("setLogger()", () => {
  // The root hooks route the loggers to the records of the test before each one.

  it("H22 routes one logger, with every level, and leaves the others", () => {
    const records: string[] = [];
    const others: string[] = [];
    setLogger(undefined, remembering(others));
    setLogger("general", remembering(records));
    for (const name of NAMES) {
      LOGGERS[name].debug(`${name} d`);
      LOGGERS[name].info(`${name} i`);
      LOGGERS[name].warn(`${name} w`, 1);
      LOGGERS[name].error(`${name} e`, new Error("why"));
    }
    expect(records).to.deep.equal(["debug general d", "info general i", "warn general w 1", "error general e Error: why"]);
    expect(others.filter((record) => record.includes("general"))).to.deep.equal([]);
    expect(others).to.have.lengthOf(8);
  });

  it("H22 routes all of them, and the error itself reaches the sink", () => {
    const details: unknown[] = [];
    setLogger(undefined, { ...remembering([]), error: (_message: string, detail: unknown) => void details.push(detail) });
    const error = new Error("this one");
    for (const name of NAMES) LOGGERS[name].error("failed", error);
    expect(details).to.deep.equal([error, error, error]);
    expect(details[0]).to.equal(error);
  });

  it("H22 a sink that throws does not reach the code that logs", () => {
    setLogger(undefined, throwing);
    for (const name of NAMES) {
      expect(() => LOGGERS[name].error("failed", new Error("why"))).to.not.throw();
      expect(() => LOGGERS[name].debug("detail")).to.not.throw();
    }
  });

  it("H22 what is no sink is refused, naming what it lacks, and so is an unknown logger", () => {
    const records: string[] = [];
    setLogger("access", remembering(records));
    expect(() => setLogger("access", { warn: fail, error: fail } as unknown as LogSink)).to.throw(TypeError, /has no method debug, info/);
    for (const wrong of [null, 5, "console"]) {
      expect(() => setLogger("access", wrong as unknown as LogSink)).to.throw(TypeError, /log sink/);
    }
    expect(() => setLogger("root" as LoggerName, undefined)).to.throw(RangeError, /"root"|'root'/);
    accessLog.info("still here");
    expect(records).to.deep.equal(["info still here"]);
  });

  eachCombination((_, makeLoop) => {
    it("H22 a sink that throws does not disturb the loop", async () => {
      const loop = makeLoop();
      setLogger(undefined, throwing);
      const order: string[] = [];
      loop.addCallback(() => {
        throw new Error("logged in vain");
      });
      loop.addCallback(async () => {
        await null;
        throw new Error("logged in vain as well");
      });
      loop.addCallback(() => order.push("next callback"));
      loop.callLater(0.01, () => {
        order.push("timeout");
        loop.stop();
      });
      await loop.start();
      expect(order).to.deep.equal(["next callback", "timeout"]);
    });
  });
});

describe("the default of the loggers", function () {
  this.timeout(15_000);

  const PROGRAM = `
    import { accessLog, applicationLog, generalLog, setLogger } from "../src/log.js";
    const say = (round: string): void => {
      for (const log of [accessLog, applicationLog, generalLog]) {
        log.debug(round + " debug");
        log.info(round + " info");
        log.warn(round + " warning");
        log.error(round + " failure", new TypeError("the cause"));
      }
    };
    say("first");
    const quiet = { debug() {}, info() {}, warn() {}, error() {} };
    setLogger(undefined, quiet);
    say("routed");
    setLogger("access", undefined);
    setLogger("application", undefined);
    setLogger("general", undefined);
    setLogger(undefined, quiet);
    setLogger(undefined, undefined);
    say("restored");
  `;

  it("H22 writes warnings and errors to stderr, with logger, level, message and the error's stack, and drops the rest", async () => {
    const { code, stdout, stderr } = await runSource(PROGRAM);
    expect([code, stdout]).to.deep.equal([0, ""]);
    const records = stderr.split("\n").filter((line) => line.startsWith("["));
    const expected = ["first", "restored"].flatMap((round) =>
      NAMES.flatMap((name) => [`[${name}] warn: ${round} warning`, `[${name}] error: ${round} failure`]),
    );
    expect(records).to.deep.equal(expected);
    expect(stderr.match(/TypeError: the cause\n +at /g)).to.have.lengthOf(6);
    expect(stderr).to.not.match(/debug|info|routed/);
  });

  it("H22 writes debug and info records too when NODE_DEBUG names ioloop, among others", async () => {
    const { stderr } = await runSource(PROGRAM, { env: { NODE_DEBUG: "other, IOLoop" } });
    for (const name of NAMES) {
      expect(stderr).to.contain(`[${name}] debug: first debug\n`);
      expect(stderr).to.contain(`[${name}] info: first info\n`);
    }
    const without = await runSource(PROGRAM, { env: { NODE_DEBUG: "ioloops" } });
    expect(without.stderr).to.not.match(/debug: first/);
  });
});
