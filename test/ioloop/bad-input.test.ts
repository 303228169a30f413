/** Bad input of the handler methods: each error names the argument, its value and what would be right, and the loop goes on. */
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { IOLoop, type PollIOLoop } from "../../src/ioloop/index.js";
import { expectError, thrown } from "../platform/expectations.js";
import { eachCombination } from "../support/combinations.js";
import { expectRefusal as expectRefusalOf, Files, Owner } from "./driving.js";

const nothing = (): void => undefined;
const { READ, ERROR, NONE } = IOLoop;

eachCombination((name, makeCombinedLoop) => {
  describe("IOLoop: bad input", () => {
    const files = new Files();
    let loop: PollIOLoop;
    const syscall = name.startsWith("epoll") ? "epoll_ctl" : "poll";

    beforeEach(() => {
      loop = makeCombinedLoop();
    });

    afterEach(() => {
      files.close();
    });

    const expectRefusal = (call: () => unknown, code: string, fd: number): void => expectRefusalOf(call, syscall, code, fd);

    it("L51 refuses a descriptor that is closed, or never was open", () => {
      const [reader] = files.pipe();
      files.drop(reader);
      const object = files.socket();
      object.close();
      expectRefusal(() => loop.addHandler(reader, nothing, READ), "EBADF", reader);
      expectRefusal(() => loop.addHandler(new Owner(reader), nothing, READ), "EBADF", reader);
      expectRefusal(() => loop.addHandler(987_654, nothing, READ), "EBADF", 987_654);
      expectRefusal(() => loop.addHandler(0x7fffffff, nothing, READ), "EBADF", 0x7fffffff);
      expectRefusal(() => loop.addHandler(object, nothing, READ), "EBADF", -1);
      expect(loop.statistics().handlers).to.equal(0);
    });

    it("L51 refuses a regular file", () => {
      const file = openSync(fileURLToPath(import.meta.url), "r");
      try {
        expectRefusal(() => loop.addHandler(file, nothing, READ), "EPERM", file);
      } finally {
        closeSync(file);
      }
      expect(loop.statistics().handlers).to.equal(0);
    });

    it("L51 refuses what can be no descriptor: RangeError for numbers, TypeError for the rest", () => {
      for (const value of [-1, -(2 ** 31), 0.5, NaN, Infinity, 2 ** 31]) {
        const message = new RegExp(`^fd is ${String(value).replace(".", "\\.")}: pass a descriptor, an integer from 0 on$`);
        expectError(() => loop.addHandler(value, nothing, READ), RangeError, message);
        expectError(() => loop.updateHandler(value, READ), RangeError, message);
        expectError(() => loop.removeHandler(value), RangeError, message);
      }
      for (const value of [undefined, null, "5", 5n, true, {}, [], { fileno: 5 }, Symbol("fd")]) {
        const message = /^fd is .+: pass a descriptor's number, or an object with a fileno\(\) method$/;
        expectError(() => loop.addHandler(value as never, nothing, READ), TypeError, message);
        expectError(() => loop.updateHandler(value as never, READ), TypeError, message);
        expectError(() => loop.removeHandler(value as never), TypeError, message);
      }
      expect(thrown(() => loop.addHandler("5" as never, nothing, READ)).message).to.include("'5'");
      for (const answer of [undefined, "5", 1.5, NaN]) {
        const object = { fileno: () => answer as number };
        expectError(() => loop.addHandler(object, nothing, READ), TypeError, /^fd\.fileno\(\) answered .+: it must return/);
      }
      expect(loop.statistics().handlers).to.equal(0);
    });

    it("L20 refuses a handler that is no function", () => {
      const [reader] = files.pipe();
      for (const value of [undefined, null, "handler", 5, {}]) {
        expectError(() => loop.addHandler(reader, value as never, READ), TypeError, /^handler is .+: pass a function$/);
      }
      expect(loop.statistics().handlers).to.equal(0);
    });

    it("L57 refuses a mask with bits that epoll does not define, or that is no number", () => {
      const [reader, writer] = files.pipe();
      loop.addHandler(writer, nothing, NONE);
      for (const value of [0x800, READ | 0x1000, 0x20, 0x0fff0000, 2 ** 32, 2 ** 32 + 1, 0.5, NaN, Infinity, -(2 ** 33)]) {
        const message = /^events is .+: pass a mask of bits that epoll defines, such as IOLoop\.READ \| IOLoop\.WRITE$/;
        expectError(() => loop.addHandler(reader, nothing, value), RangeError, message);
        expectError(() => loop.updateHandler(writer, value), RangeError, message);
      }
      for (const value of [undefined, null, "1", 1n, true, {}]) {
        const message = /^events is .+: pass a mask such as IOLoop\.READ \| IOLoop\.WRITE$/;
        expectError(() => loop.addHandler(reader, nothing, value as never), TypeError, message);
        expectError(() => loop.updateHandler(writer, value as never), TypeError, message);
      }
      expect(thrown(() => loop.addHandler(reader, nothing, 0x800)).message).to.include("2048");
      expect(loop.statistics().handlers).to.equal(1);
      expect(loop._handlers.get(writer)?.events).to.equal(ERROR);
      loop.removeHandler(writer);
    });

    it("L50 L51 L57 goes on after all of it, and the same descriptor can be registered then", async () => {
      const [reader] = files.fullPipe();
      let ran = 0;
      loop.addCallback(() => {
        const [closed] = files.pipe();
        files.drop(closed);
        expectRefusal(() => loop.addHandler(closed, nothing, READ), "EBADF", closed);
        expectError(() => loop.addHandler(reader, nothing, 0x800), RangeError);
        expectError(() => loop.addHandler(reader, "handler" as never, READ), TypeError);
        expectError(() => loop.addHandler(-1, nothing, READ), RangeError);
        loop.addHandler(
          reader,
          () => {
            ran++;
            loop.stop();
          },
          READ,
        );
        expectRefusal(() => loop.addHandler(reader, nothing, READ), "EEXIST", reader);
      });
      await loop.start();
      expect(ran).to.equal(1);
      loop.removeHandler(reader);
    });
  });
});
