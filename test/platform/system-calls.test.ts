import { execFileSync } from "node:child_process";
import { expect } from "chai";
import {
  allocNative,
  assertSupported,
  EPOLL_EVENT_LAYOUT,
  errno,
  ffiCallbacks,
  loadKoffi,
  MSG_NOSIGNAL,
  nativeAllocations,
  nativeFunction,
  pipe,
  POLLFD_EVENTS_OFFSET,
  POLLFD_REVENTS_OFFSET,
  POLLIN,
  POLLNVAL,
  registerCallback,
  sys,
  closeDescriptor,
  writeDescriptor,
} from "../../src/platform/index.js";
import { createSystemCalls } from "../../src/platform/system-calls.js";
import { runSource } from "../support/child.js";
import { injectFault, replaceCall } from "../support/faults.js";
import { expectError, thrown } from "./expectations.js";

describe("The system-call seam", () => {
  it("on another platform importing works, and the first call names the platform and what is supported", () => {
    for (const [platform, arch] of [
      ["darwin", "arm64"],
      ["win32", "x64"],
      ["linux", "ia32"],
    ] as const) {
      const elsewhere = createSystemCalls(platform, arch);
      for (const call of [() => elsewhere.socket(2, 1, 0), () => elsewhere.errno()]) {
        const error = thrown(call);
        expect(error).to.have.property("code", "ERR_UNSUPPORTED_PLATFORM");
        expect(error.message).to.include(`${platform} ${arch}`).and.include("linux x64 and linux arm64");
      }
      expect(() => loadKoffi(platform, arch)).to.throw(`${platform} ${arch}`);
    }
    assertSupported("linux", "arm64");
  });

  it("loads koffi at the first call, not when it is imported", async function () {
    this.timeout(30_000);
    const { stdout, stderr } = await runSource(`
      import { createRequire } from "node:module";
      import { sys, Socket, getaddrinfo, watchReadable } from "../src/platform/index.js";
      const require = createRequire(import.meta.url);
      const loaded = () => Object.keys(require.cache).some((path) => path.includes("koffi"));
      const before = loaded();
      sys.close(-1);
      console.log(before, loaded(), [Socket, getaddrinfo, watchReadable].length);
    `);
    expect(stderr).to.equal("");
    expect(stdout.trim()).to.equal("false true 3");
  });

  it("a member is the native function itself once it has been called, and reads errno only when asked", () => {
    sys.recv(-1, new Uint8Array(1), 1, 0);
    expect(sys.errno()).to.equal(9);
    const native = sys.recv;
    expect(native(-1, new Uint8Array(1), 1, MSG_NOSIGNAL)).to.equal(-1);
    expect(sys.recv).to.equal(native);
    expect(native).to.have.property("info");
  });

  it("a member replaced before the first call stays replaced and can be put back", () => {
    const fresh = createSystemCalls();
    const original = fresh.dup;
    fresh.dup = () => 77;
    expect(fresh.close(-1)).to.equal(-1);
    expect(fresh.dup(0)).to.equal(77);
    fresh.dup = original;
    expect(fresh.dup(-1)).to.equal(-1);
    expect(fresh.errno()).to.equal(errno("EBADF"));
    expect(fresh.dup).to.have.property("info");
  });

  it("faults count, fail where they are told and end with their block", () => {
    const real = sys.getpeername;
    {
      using outer = injectFault("getpeername", { errno: "ENOTCONN", at: 2, times: 2, when: (fd: number) => fd === -1 });
      using inner = replaceCall("getpeername", (next) => (fd, addr, length) => next(fd, addr, length));
      const call = (fd: number): number => (sys.getpeername(fd, new Uint8Array(1), new Uint8Array(4)), sys.errno());
      expect([call(-1), call(-2), call(-1), call(-1), call(-1)]).to.deep.equal([9, 9, 107, 107, 9]);
      expect([outer.calls, outer.injected, inner.calls]).to.deep.equal([5, 2, 5]);
    }
    expect(sys.getpeername).to.equal(real);
  });

  it("faults must end in the opposite order", () => {
    const real = sys.dup;
    const outer = injectFault("dup", { errno: "EMFILE" });
    const inner = injectFault("dup", { errno: "EMFILE" });
    expect(thrown(() => outer.restore()).message).to.include("sys.dup");
    inner.restore();
    sys.dup = real;
  });

  it("the layouts are the C compiler's", function () {
    const koffi = loadKoffi();
    const pollfd = koffi.struct({ fd: "int", events: "short", revents: "short" });
    expect([koffi.sizeof(pollfd), koffi.offsetof(pollfd, "events"), koffi.offsetof(pollfd, "revents")]).to.deep.equal([
      8,
      POLLFD_EVENTS_OFFSET,
      POLLFD_REVENTS_OFFSET,
    ]);
    const members = { events: "uint32_t", data: "uint64_t" };
    const event = process.arch === "x64" ? koffi.pack(members) : koffi.struct(members);
    expect({ size: koffi.sizeof(event), dataOffset: koffi.offsetof(event, "data") }).to.deep.equal(EPOLL_EVENT_LAYOUT);
  });

  it("a C function of the process can be declared, and a callback registered and released", () => {
    const getpid = nativeFunction<() => number>("int getpid(void)");
    expect(getpid()).to.equal(process.pid);
    const before = ffiCallbacks();
    const compared: number[] = [];
    const callback = registerCallback("int", ["void *", "void *"], (a: bigint, b: bigint) => {
      const [x, y] = [sys.copyMemory(a, 4)[0] ?? 0, sys.copyMemory(b, 4)[0] ?? 0];
      compared.push(x, y);
      return x - y;
    });
    expect(ffiCallbacks()).to.equal(before + 1);
    const numbers = Int32Array.of(3, 1, 2);
    const qsort = nativeFunction<(base: Int32Array, count: number, size: number, compare: bigint) => void>(
      "void qsort(void *base, size_t nmemb, size_t size, void *compar)",
    );
    qsort(numbers, 3, 4, callback.pointer);
    callback.release();
    callback.release();
    expect([...numbers]).to.deep.equal([1, 2, 3]);
    expect(compared).to.have.length.greaterThan(3);
    expect(ffiCallbacks()).to.equal(before);
  });

  it("native memory is zeroed, stays until it is freed, and is unusable then", () => {
    const before = nativeAllocations();
    const memory = allocNative(16);
    expect(nativeAllocations()).to.equal(before + 1);
    expect(memory.bytes).to.deep.equal(Buffer.alloc(16));
    const dirty = Array.from({ length: 50 }, () => allocNative(64));
    for (const each of dirty) each.bytes.fill(0xff);
    for (const each of dirty) each.free();
    // The allocator hands the same pieces out again.
    for (const each of Array.from({ length: 50 }, () => allocNative(64))) {
      expect(each.bytes.every((byte) => byte === 0)).to.equal(true);
      each.free();
    }
    memory.bytes.write("abc");
    globalThis.gc?.();
    expect(sys.copyString(memory.pointer)).to.equal("abc");
    memory.free();
    memory.free();
    expect(nativeAllocations()).to.equal(before);
    expect(thrown(() => memory.bytes).message).to.include("freed");
    for (const bytes of [0, -1, 1.5, Number.NaN]) expectError(() => allocNative(bytes), RangeError, /native memory/);
  });

  it("poll(2) in the thread pool reports what became ready, a time-out and an error", async () => {
    const [read, write] = pipe();
    const memory = allocNative(8);
    try {
      memory.bytes.writeInt32LE(read, 0);
      memory.bytes.writeInt16LE(POLLIN, POLLFD_EVENTS_OFFSET);
      const pollOnce = (count: number, timeout: number): Promise<[number, number]> =>
        new Promise((resolve) => {
          sys.pollAsync(memory, count, timeout, (result, error) => setImmediate(resolve, [result, error]));
        });
      const before = ffiCallbacks();
      expect(await pollOnce(1, 1)).to.deep.equal([0, 0]);
      const waiting = pollOnce(1, 5000);
      expect(ffiCallbacks()).to.equal(before + 1);
      writeDescriptor(write, Buffer.from("x"));
      expect(await waiting).to.deep.equal([1, 0]);
      expect(memory.bytes.readInt16LE(POLLFD_REVENTS_OFFSET)).to.equal(POLLIN);
      expect(ffiCallbacks()).to.equal(before);
      memory.bytes.writeInt32LE(999_999, 0);
      expect(await pollOnce(1, 5000)).to.deep.equal([1, 0]);
      expect(memory.bytes.readInt16LE(POLLFD_REVENTS_OFFSET)).to.equal(POLLNVAL);
      // More than RLIMIT_NOFILE descriptors.
      expect(await pollOnce(2 ** 30, 0)).to.deep.equal([-1, errno("EINVAL")]);
    } finally {
      memory.free();
      closeDescriptor(read);
      closeDescriptor(write);
    }
  });

  it("only one module imports koffi", () => {
    const files = execFileSync("grep", ["-rlE", String.raw`from "koffi"|\("koffi"\)`, "src"], { cwd: process.cwd() });
    expect(files.toString().trim()).to.equal("src/platform/system-calls.ts");
  });
});
