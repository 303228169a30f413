import { expect } from "chai";
import {
  AF_INET,
  AF_INET6,
  AI_CANONNAME,
  AI_NUMERICHOST,
  AI_PASSIVE,
  getaddrinfo,
  hasIpv6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SOCK_DGRAM,
  SOCK_STREAM,
} from "../../src/platform/index.js";
import { countCalls, injectFault } from "../support/faults.js";
import { expectError, expectSystemError, systemCallsOf } from "./expectations.js";

describe("getaddrinfo", () => {
  const hosts = (...args: Parameters<typeof getaddrinfo>): string[] => getaddrinfo(...args).map((each) => each[4][0]);

  it("N32 without a host it answers loopback, with AI_PASSIVE the wildcards", () => {
    expect(hosts(undefined, 80, AF_INET, SOCK_STREAM)).to.deep.equal(["127.0.0.1"]);
    expect(hosts(undefined, 80, AF_INET, SOCK_STREAM, 0, AI_PASSIVE)).to.deep.equal(["0.0.0.0"]);
    if (!hasIpv6) return;
    expect(hosts(undefined, 80, 0, SOCK_STREAM)).to.have.members(["127.0.0.1", "::1"]);
    expect(hosts(undefined, 80, 0, SOCK_STREAM, 0, AI_PASSIVE)).to.have.members(["0.0.0.0", "::"]);
  });

  it("N32 a literal answers itself, with its port, in the form that connect takes", () => {
    expect(getaddrinfo("127.0.0.1", 8080, 0, SOCK_STREAM)).to.deep.equal([[AF_INET, SOCK_STREAM, IPPROTO_TCP, "", ["127.0.0.1", 8080]]]);
    expect(getaddrinfo("::1", 65535, 0, SOCK_DGRAM)).to.deep.equal([[AF_INET6, SOCK_DGRAM, IPPROTO_UDP, "", ["::1", 65535, 0, 0]]]);
    expect(getaddrinfo("10.1.2.3", 0, AF_INET, SOCK_STREAM, 0, AI_NUMERICHOST)[0]?.[4]).to.deep.equal(["10.1.2.3", 0]);
    expect(getaddrinfo("fe80::1%2", 1, 0, SOCK_STREAM)[0]?.[4]).to.deep.equal(["fe80::1", 1, 0, 2]);
  });

  it("N32 without a type there is one answer for each", () => {
    expect(getaddrinfo("127.0.0.1", 1).map((each) => each[1])).to.include.members([SOCK_STREAM, SOCK_DGRAM]);
    expect(getaddrinfo("127.0.0.1", 1, 0, 0, IPPROTO_UDP).map((each) => each[1])).to.deep.equal([SOCK_DGRAM]);
  });

  it("N32 a name of this machine is found, and the canonical name comes with the first answer when asked for", () => {
    expect(["127.0.0.1", "::1"]).to.include(hosts("localhost", 80, 0, SOCK_STREAM)[0]);
    expect(getaddrinfo("127.0.0.1", 80, 0, SOCK_STREAM, 0, AI_CANONNAME)[0]?.[3]).to.equal("127.0.0.1");
  });

  it('N32 a name with AI_NUMERICHOST, "", and a name with NUL are ENOTFOUND of getaddrinfo, with the hostname', () => {
    const error = expectSystemError(() => getaddrinfo("localhost", 80, 0, 0, 0, AI_NUMERICHOST), {
      code: "ENOTFOUND",
      syscall: "getaddrinfo",
      hostname: "localhost",
      errno: -3008,
    });
    expect(error.message).to.equal("getaddrinfo ENOTFOUND localhost");
    expectSystemError(() => getaddrinfo("", 80), { code: "ENOTFOUND", syscall: "getaddrinfo", hostname: "" });
    // A C string would end at the NUL: this would answer 127.0.0.1.
    expectSystemError(() => getaddrinfo("127.0.0.1\0.example", 80), { code: "ENOTFOUND", hostname: "127.0.0.1\0.example" });
    // Nobody is asked about these two: the C libraries differ in what they make of them.
    const made = systemCallsOf(() => {
      for (const host of ["", "\0"]) expectSystemError(() => getaddrinfo(host, 80), { code: "ENOTFOUND" });
    });
    expect(made).to.deep.equal([]);
    expectSystemError(() => getaddrinfo("127.0.0.1", 80, AF_INET6), { code: "ENOTFOUND", hostname: "127.0.0.1" });
  });

  it("N32 an unknown name is ENOTFOUND, and what else fails has Node's code for it", () => {
    const failure = (result: number, errno: string | number = 0) => {
      using _fault = injectFault("getaddrinfo", { errno, result });
      return expectSystemError(() => getaddrinfo("host.invalid", 80), { syscall: "getaddrinfo", hostname: "host.invalid" }).code;
    };
    expect([-2, -5, -9].map((result) => failure(result))).to.deep.equal(["ENOTFOUND", "ENOTFOUND", "ENOTFOUND"]);
    expect([-3, -4, -10].map((result) => failure(result))).to.deep.equal(["EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY"]);
    expect(failure(-999)).to.equal("EAI_FAIL");
    expect(failure(-11, "EMFILE")).to.equal("EMFILE");
  });

  it("N30 an interrupted lookup is repeated", () => {
    using fault = injectFault("getaddrinfo", { errno: "EINTR", result: -11, times: 2 });
    expect(hosts("127.0.0.1", 80)[0]).to.equal("127.0.0.1");
    expect(fault.injected).to.equal(2);
  });

  it("frees every list it gets", () => {
    using lookups = countCalls("getaddrinfo");
    using freed = countCalls("freeaddrinfo");
    getaddrinfo("127.0.0.1", 80);
    {
      using _fault = injectFault("copyMemory", { errno: 0, at: 2, result: Number.NaN });
      expect(() => getaddrinfo("127.0.0.1", 80)).to.throw();
    }
    expect([lookups.calls, freed.calls]).to.deep.equal([2, 2]);
  });

  it("refuses wrong arguments before it asks anybody", () => {
    const made = systemCallsOf(() => {
      expectError(() => getaddrinfo("localhost", 65536), RangeError, /port 65536/);
      expectError(() => getaddrinfo("localhost", 1.5), RangeError);
      expectError(() => getaddrinfo("localhost", "http" as never), TypeError, /port "http"/);
      expectError(() => getaddrinfo(7 as never, 80), TypeError, /host 7/);
      expectError(() => getaddrinfo("localhost", 80, "inet" as never), TypeError, /family "inet"/);
      expectError(() => getaddrinfo("localhost", 80, 0, 0.5), RangeError, /type 0\.5/);
    });
    expect(made).to.deep.equal([]);
  });
});
