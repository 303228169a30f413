/** Event masks: their values, which are accepted, and how they read. */
import { expect } from "chai";
import * as library from "../../src/index.js";
import { checkMask, describeMask, IOLoop } from "../../src/ioloop/index.js";
import * as platform from "../../src/platform/index.js";
import { expectError } from "../platform/expectations.js";

describe("event masks", () => {
  it("L42 L48 have epoll's own values", () => {
    const { READ, WRITE, ERROR, NONE, _EPOLLIN, _EPOLLPRI, _EPOLLOUT, _EPOLLERR, _EPOLLHUP, _EPOLLRDHUP, _EPOLLONESHOT, _EPOLLET } = IOLoop;
    expect({ READ, WRITE, ERROR, NONE }).to.deep.equal({ READ: 0x001, WRITE: 0x004, ERROR: 0x018, NONE: 0 });
    expect([_EPOLLIN, _EPOLLPRI, _EPOLLOUT, _EPOLLERR, _EPOLLHUP]).to.deep.equal([0x001, 0x002, 0x004, 0x008, 0x010]);
    expect([_EPOLLRDHUP, _EPOLLONESHOT, _EPOLLET]).to.deep.equal([0x2000, 0x40000000, 0x80000000]);
    expect(ERROR).to.equal(platform.EPOLLERR | platform.EPOLLHUP);
    expect([_EPOLLET, _EPOLLONESHOT, _EPOLLRDHUP]).to.deep.equal([platform.EPOLLET, platform.EPOLLONESHOT, platform.EPOLLRDHUP]);
  });

  it("L42 are the same numbers as exports of the package", () => {
    const { READ, WRITE, ERROR, NONE } = library;
    expect([READ, WRITE, ERROR, NONE]).to.deep.equal([IOLoop.READ, IOLoop.WRITE, IOLoop.ERROR, IOLoop.NONE]);
  });

  it("L57 are taken as unsigned, from a signed sum too", () => {
    expect(checkMask(IOLoop.READ | IOLoop._EPOLLET)).to.equal(0x80000001);
    expect(checkMask(IOLoop.READ + IOLoop._EPOLLET)).to.equal(0x80000001);
    expect(checkMask(IOLoop._EPOLLET)).to.equal(0x80000000);
    expect(checkMask(-0)).to.equal(0);
    expect(Object.is(checkMask(-0), 0)).to.equal(true);
  });

  it("L57 may have every bit that epoll defines, and no other", () => {
    const defined = [
      ...[0x001, 0x002, 0x004, 0x008, 0x010, 0x2000, 0x40000000, 0x80000000],
      ...[0x040, 0x080, 0x100, 0x200, 0x400], // RDNORM, RDBAND, WRNORM, WRBAND, MSG
      ...[0x10000000, 0x20000000], // EXCLUSIVE, WAKEUP
    ];
    for (let bit = 0; bit < 32; bit++) {
      const mask = (1 << bit) >>> 0;
      if (defined.includes(mask)) expect(checkMask(mask), `bit ${bit}`).to.equal(mask);
      else expectError(() => checkMask(mask), RangeError, new RegExp(`^events is ${mask}: pass a mask of bits that epoll defines`));
    }
  });

  it("L57 are refused when they are no 32-bit integer, or no number", () => {
    for (const value of [0.5, NaN, Infinity, -Infinity, 2 ** 32, 2 ** 32 + 1, -(2 ** 31) - 1]) {
      expectError(() => checkMask(value), RangeError, /^events is .+: pass a mask of bits that epoll defines/);
    }
    for (const value of [undefined, null, "1", 1n, true, [], {}]) {
      expectError(() => checkMask(value), TypeError, /^events is .+: pass a mask such as IOLoop\.READ \| IOLoop\.WRITE$/);
    }
    expectError(() => checkMask("1", "interest"), TypeError, /^interest is '1':/);
  });

  it("read as words for those who watch a loop", () => {
    expect(describeMask(0)).to.equal("NONE");
    expect(describeMask(0x19)).to.equal("READ|ERR|HUP");
    expect(describeMask(IOLoop.READ | IOLoop.WRITE)).to.equal("READ|WRITE");
    expect(describeMask(0x2002)).to.equal("PRI|RDHUP");
    expect(describeMask(0xc0000000)).to.equal("ONESHOT|ET");
    expect(describeMask(IOLoop.WRITE | IOLoop._EPOLLET)).to.equal("WRITE|ET");
  });
});
