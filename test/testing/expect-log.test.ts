import { expect } from "chai";
import { accessLog, applicationLog, generalLog } from "../../src/log.js";
import { ExpectLog } from "../../src/testing/index.js";
import { expectLog, logRecords } from "../support/log-records.js";

const passed = (): string[] => logRecords().map(({ level, message }) => `${level}: ${message}`);

async function rejection(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not reject");
}

describe("ExpectLog", () => {
  it("N103 swallows and counts what matches at the start of the message, and lets the rest pass", async () => {
    expectLog("general", "warn", /^not at the start/);
    expectLog("application", "warn", /^expected of another logger/);
    const value = await new ExpectLog("general", "expected").with((log) => {
      generalLog.warn("expected once");
      generalLog.warn("not at the start: expected");
      generalLog.error("expected twice");
      applicationLog.warn("expected of another logger");
      expect(log.matched).to.equal(2);
      return 5;
    });
    expect(value).to.equal(5);
    expect(passed()).to.deep.equal(["warn: not at the start: expected", "warn: expected of another logger"]);
    // It has ended.
    expectLog("general", "warn", /^expected afterwards/);
    generalLog.warn("expected afterwards");
  });

  it("N103 throws when no line came, in either form, unless it is not required", async () => {
    expect((await rejection(new ExpectLog("general", "never").with(() => undefined))).message).to.match(
      /^did not get expected log message/,
    );
    expect(() => {
      using _log = new ExpectLog("general", /never/);
    }).to.throw(/did not get expected log message/);
    await new ExpectLog("general", "never", { required: false }).with(() => undefined);
    {
      using _log = new ExpectLog("general", "never", { required: false });
    }
  });

  it("N103 throws what the body threw rather than that a line is missing", async () => {
    const thrown = new Error("thrown");
    for (const body of [
      () => {
        throw thrown;
      },
      () => Promise.reject(thrown),
    ]) {
      expect(await rejection(new ExpectLog("general", "never").with(body))).to.equal(thrown);
    }
  });

  it("N103 takes no notice of the flags g and y", async () => {
    for (const pattern of [/line/g, /line/y, /LINE/gi]) {
      await new ExpectLog("general", pattern).with((log) => {
        for (let i = 0; i < 3; i++) generalLog.warn("line");
        expect(log.matched, String(pattern)).to.equal(3);
      });
    }
    // The start of the message, not of any line, nor of any alternative.
    expectLog("general", "warn", /^first/, 2);
    await new ExpectLog("general", /^second/m, { required: false }).with(() => generalLog.warn("first\nsecond"));
    await new ExpectLog("general", "second|third", { required: false }).with(() => generalLog.warn("first third"));
  });

  it("N103 says whether a line carried an Error", async () => {
    await new ExpectLog("application", "plain").with((log) => {
      applicationLog.error("plain");
      expect(log.loggedStack).to.equal(false);
    });
    await new ExpectLog("application", "with").with((log) => {
      applicationLog.error("with", new Error("stack"));
      applicationLog.error("with nothing");
      expect(log.loggedStack).to.equal(true);
    });
  });

  it("N104 lets a line of another level pass, with a warning, and does not count it", async () => {
    expectLog("general", "error", /^line$/);
    expectLog("general", "warn", /^Got expected log message 'line' at unexpected level \(error instead of warn\)$/);
    const error = await rejection(
      new ExpectLog("general", "line", { level: "warn" }).with((log) => {
        generalLog.error("line");
        expect(log.matched).to.equal(0);
      }),
    );
    expect(error.message).to.match(/did not get expected log message/);
    await new ExpectLog("general", "line", { level: "error" }).with(() => generalLog.error("line"));
  });

  it("N104 sees debug and info lines, which the logger itself would drop", async () => {
    for (const level of ["debug", "info"] as const) {
      await new ExpectLog("general", "quiet", { level }).with(() => generalLog[level]("quiet"));
    }
    expect(passed()).to.deep.equal([]);
  });

  it("N104 watches all three loggers, or one under Tornado's name", async () => {
    await new ExpectLog("", "line").with((log) => {
      for (const logger of [accessLog, applicationLog, generalLog]) logger.error("line");
      expect(log.matched).to.equal(3);
    });
    await new ExpectLog("tornado.application", "line").with(() => applicationLog.error("line"));
  });

  it("N104 shows a line to the innermost block first", async () => {
    await new ExpectLog("general", "line").with(async (outer) => {
      await new ExpectLog("general", "line inside").with((inner) => {
        generalLog.warn("line inside");
        generalLog.warn("line outside");
        expect([outer.matched, inner.matched]).to.deep.equal([1, 1]);
      });
      generalLog.warn("line inside, but later");
      expect(outer.matched).to.equal(2);
    });
  });

  it("N104 refuses wrong arguments", () => {
    expect(() => new ExpectLog("root", "x")).to.throw(RangeError, /access, application, general/);
    expect(() => new ExpectLog(5 as never, "x")).to.throw(TypeError);
    expect(() => new ExpectLog("general", 5 as never)).to.throw(TypeError, /^regex is 5/);
    expect(() => new ExpectLog("general", "x", { level: "warning" as never })).to.throw(RangeError);
    expect(() => new ExpectLog("general", "x", { require: true } as object)).to.throw(TypeError);
  });
});
