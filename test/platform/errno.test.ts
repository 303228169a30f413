import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { once } from "node:events";
import { expect } from "chai";
import { EAGAIN, EBADF, EINTR, errno, errnoCode, isSystemError, systemError } from "../../src/platform/index.js";
import { thrown } from "./expectations.js";
import { unusedPort } from "./fixtures.js";

describe("System errors", () => {
  it("have the form of Node's own: the same message, code, errno, syscall, address and port", async () => {
    const port = unusedPort();
    const [own] = (await once(connect(port, "127.0.0.1"), "error")) as [Error];
    const ours = systemError(111, "connect", { address: "127.0.0.1", port });
    expect(ours.message).to.equal(own.message);
    expect(Object.entries(ours)).to.have.deep.members(Object.entries(own));
  });

  it("take the number positive or negative", () => {
    expect(systemError(-9, "close")).to.include({ code: "EBADF", errno: -9, message: "close EBADF" });
    expect(systemError(9, "close")).to.include({ code: "EBADF", errno: -9 });
  });

  it("carry path, hostname and a reason where they are given, and nothing where not", () => {
    expect(systemError(2, "bind", { path: "/tmp/x" })).to.include({ path: "/tmp/x", message: "bind ENOENT /tmp/x" });
    expect(systemError(36, "bind", { path: "\0a\nb", reason: "too long" }).message).to.equal("bind ENAMETOOLONG: too long \\0a\\x0ab");
    expect(systemError(9, "send", { address: undefined, reason: "the socket is closed" }).message).to.equal(
      "send EBADF: the socket is closed",
    );
    expect(Object.keys(systemError(9, "send", { address: undefined, path: undefined }))).to.have.members(["code", "errno", "syscall"]);
  });

  it("know the numbers and names of Linux", () => {
    expect([EINTR, EAGAIN, EBADF]).to.deep.equal([4, 11, 9]);
    expect(["ECONNREFUSED", "EINPROGRESS", "EWOULDBLOCK", "EHOSTDOWN", "ENONET"].map(errno)).to.deep.equal([111, 115, 11, 112, 64]);
    expect([111, -111, 11, 95, 112, 64, 94].map(errnoCode)).to.deep.equal([
      "ECONNREFUSED",
      "ECONNREFUSED",
      "EAGAIN",
      "ENOTSUP",
      "EHOSTDOWN",
      "ENONET",
      "ESOCKTNOSUPPORT",
    ]);
    expect(errnoCode(4000)).to.equal("E4000");
    expect(thrown(() => errno("ENOSUCHCODE")).message).to.include("ENOSUCHCODE");
  });

  it("are told from other errors", async () => {
    const own = await readFile("/no/such/file").catch((error: unknown) => error);
    expect(isSystemError(own)).to.equal(true);
    expect(isSystemError(systemError(2, "open"), "ENOENT")).to.equal(true);
    expect(isSystemError(systemError(2, "open"), "EACCES")).to.equal(false);
    for (const other of [new Error("x"), { code: "ENOENT", errno: -2, syscall: "open" }, undefined])
      expect(isSystemError(other)).to.equal(false);
  });
});
