import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CancelledError } from "../../src/concurrent/index.js";
import type { PollIOLoop } from "../../src/ioloop/index.js";
import { PipeIOStream } from "../../src/iostream/index.js";
import { F_GETPIPE_SZ, F_SETPIPE_SZ, pipe, Socket, socketpair, sys } from "../../src/platform/index.js";
import { CalledProcessError, cpuCount, Subprocess, type SubprocessOptions, taskId } from "../../src/process/index.js";
import { openDescriptors } from "../support/descriptors.js";
import { injectFault } from "../support/faults.js";
import { expectLog } from "../support/log-records.js";
import { makeLoop } from "../support/loop.js";
import { nextRound } from "../support/real-timers.js";

const STREAM: typeof Subprocess.STREAM = Subprocess.STREAM;
const STDOUT: typeof Subprocess.STDOUT = Subprocess.STDOUT;
const DEVNULL: typeof Subprocess.DEVNULL = Subprocess.DEVNULL;

/** Runs `body` on a new loop, which ends with it. */
async function onLoop(body: (loop: PollIOLoop) => PromiseLike<unknown>): Promise<void> {
  const loop = makeLoop();
  await loop.runSync(() => body(loop), { timeout: 9 });
}

/** All that a command writes, its streams closed. */
async function outputOf(args: string | string[], options: SubprocessOptions = {}): Promise<[stdout: string, stderr: string]> {
  const child = new Subprocess(args, { stdout: STREAM, stderr: STREAM, ...options });
  const [stdout, stderr] = await Promise.all([child.stdout?.readUntilClose(), child.stderr?.readUntilClose()]);
  await child.waitForExit({ raiseError: false });
  return [String(stdout ?? ""), String(stderr ?? "")];
}

function errorOf(act: () => unknown): NodeJS.ErrnoException {
  try {
    act();
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error("It did not throw");
}

async function rejection(future: PromiseLike<unknown>): Promise<Error> {
  try {
    await future;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not reject");
}

describe("Subprocess", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ioloop-"));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("N109 its pipes hold 256 KiB, or where the system refuses that what they hold anyway", async () => {
    await onLoop(async () => {
      const held = (child: Subprocess): number[] =>
        [child.stdin, child.stdout, child.stderr].map((stream) => sys.fcntl(stream?.fileno() ?? -1, F_GETPIPE_SZ, 0));
      const streams: SubprocessOptions = { stdin: STREAM, stdout: STREAM, stderr: STREAM };
      const plain = pipe();
      const usual = sys.fcntl(plain[0], F_GETPIPE_SZ, 0);
      plain.forEach((fd) => closeSync(fd));
      const child = new Subprocess(["cat"], streams);
      // 64 KiB where a page has 4 KiB; with pages of 64 KiB a pipe holds a megabyte, and is left alone.
      const wanted = Math.max(usual, 262_144);
      expect(held(child)).to.deep.equal([wanted, wanted, wanted]);
      // What a user's pipes may hold together is bounded: EPERM.
      using refused = injectFault("fcntl", { errno: "EPERM", times: 3, when: (_fd: number, command: number) => command === F_SETPIPE_SZ });
      const other = new Subprocess(["cat"], streams);
      expect([refused.injected, ...held(other)]).to.deep.equal([usual < wanted ? 3 : 0, usual, usual, usual]);
      for (const each of [child, other]) {
        await each.stdin?.write("still there");
        each.stdin?.close();
        expect(String(await each.stdout?.readUntilClose())).to.equal("still there");
        each.stderr?.close();
        await each.waitForExit();
      }
    });
  });

  it("N85 writes to the child, reads from it, and tells it the end", async () => {
    await onLoop(async () => {
      const child = new Subprocess(["cat"], { stdin: STREAM, stdout: STREAM });
      expect(child.stdin).to.be.instanceOf(PipeIOStream);
      expect(child.stderr).to.equal(undefined);
      expect(child.pid).to.equal(child.proc.pid);
      await child.stdin!.write("hello\n");
      expect((await child.stdout!.readUntil("\n")).toString()).to.equal("hello\n");
      await child.stdin!.write("bye");
      child.stdin!.close();
      expect((await child.stdout!.readUntilClose()).toString()).to.equal("bye");
      expect(await child.waitForExit()).to.equal(0);
    });
  });

  it("N85 reads until whoever inherited the pipe is gone too", async () => {
    await onLoop(async () => {
      const child = new Subprocess("(sleep 0.3; echo late) & echo early", { shell: true, stdout: STREAM });
      expect((await child.stdout!.readUntilClose()).toString()).to.equal("early\nlate\n");
      await child.waitForExit();
    });
  });

  it("N85 lets the child inherit what is not named", async () => {
    await onLoop(async () => {
      const child = new Subprocess(["readlink", "/proc/self/fd/0", "/proc/self/fd/2"], { stdout: STREAM });
      const [stdin, stderr] = (await child.stdout!.readUntilClose()).toString().trim().split("\n");
      const own = [0, 2].map((fd) =>
        execFileSync("readlink", [`/proc/${process.pid}/fd/${fd}`])
          .toString()
          .trim(),
      );
      expect([stdin, stderr]).to.deep.equal(own);
      await child.waitForExit();
    });
  });

  it("N86 sends both outputs into one, in order, also where that is inherited or null", async () => {
    await onLoop(async () => {
      const [stdout] = await outputOf("echo one; echo two >&2; echo three", { shell: true, stderr: STDOUT });
      expect(stdout).to.equal("one\ntwo\nthree\n");
      const file = openSync(join(folder, "out"), "w");
      const child = new Subprocess("echo one; echo two >&2", { shell: true, stdout: file, stderr: STDOUT });
      await child.waitForExit();
      closeSync(file);
      expect(readFileSync(join(folder, "out"), "utf8")).to.equal("one\ntwo\n");
      await new Subprocess("echo one; echo two >&2", { shell: true, stdout: DEVNULL, stderr: STDOUT }).waitForExit();
    });
  });

  it("N86 refuses STDOUT elsewhere, and Node's names", () => {
    makeLoop();
    const before = openDescriptors().size;
    for (const options of [{ stdin: STDOUT }, { stdout: STDOUT }] as const) {
      expect(errorOf(() => new Subprocess(["true"], options))).to.be.instanceOf(RangeError);
    }
    for (const name of ["pipe", "inherit", "ignore"]) {
      const error = errorOf(() => new Subprocess(["true"], { stdin: STREAM, stdout: name as never }));
      expect(error).to.be.instanceOf(RangeError);
      expect(error.message).to.match(/^stdout is '.*': use Subprocess\.STREAM/);
    }
    expect(openDescriptors().size).to.equal(before);
  });

  it("N86 takes a descriptor, an object that has one, and /dev/null", async () => {
    await onLoop(async () => {
      const [read, write] = pipe();
      const output = new PipeIOStream(read);
      const first = new Subprocess(["echo", "number"], { stdin: DEVNULL, stdout: write });
      await first.waitForExit();
      const second = new Subprocess(["echo", "object"], { stdin: DEVNULL, stdout: { fileno: () => write } });
      await second.waitForExit();
      closeSync(write);
      expect((await output.readUntilClose()).toString()).to.equal("number\nobject\n");
      expect((await outputOf(["cat"], { stdin: DEVNULL }))[0]).to.equal("");
      const [ours, theirs] = socketpair();
      const third = new Subprocess(["echo", "socket"], { stdout: theirs });
      await third.waitForExit();
      expect(ours.recv(100)!.toString()).to.equal("socket\n");
      ours.close();
      theirs.close();
    });
  });

  it("N86 refuses what is no descriptor, or not an open one", () => {
    makeLoop();
    expect(errorOf(() => new Subprocess(["true"], { stdin: {} as never }))).to.be.instanceOf(TypeError);
    expect(errorOf(() => new Subprocess(["true"], { stdin: null as never }))).to.be.instanceOf(TypeError);
    expect(errorOf(() => new Subprocess(["true"], { stdin: 1.5 }))).to.be.instanceOf(RangeError);
    const closed = new Socket();
    closed.close();
    for (const stdin of [9999, closed]) {
      const error = errorOf(() => new Subprocess(["true"], { stdout: STREAM, stdin }));
      expect(error).to.include({ code: "EBADF", syscall: "spawn" });
      expect(error.message).to.match(/stdin is descriptor/);
    }
  });

  it("N87 keeps only its own ends, which are close-on-exec and non-blocking; the child's are blocking", async () => {
    await onLoop(async () => {
      const before = openDescriptors();
      const child = new Subprocess("cat /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2; cat >/dev/null", {
        shell: true,
        stdin: STREAM,
        stdout: STREAM,
        stderr: STREAM,
      });
      const added = [...openDescriptors().keys()].filter((fd) => !before.has(fd));
      expect(added).to.have.members([child.stdin!.fd, child.stdout!.fd, child.stderr!.fd]);
      for (const fd of added) {
        const flags = parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8);
        expect(flags & 0o4000, "O_NONBLOCK").to.equal(0o4000);
        expect(flags & 0o2000000, "O_CLOEXEC").to.equal(0o2000000);
      }
      child.stdin!.close();
      const infos = (await child.stdout!.readUntilClose()).toString();
      const flags = [...infos.matchAll(/flags:\s*(\d+)/g)].map((match) => parseInt(match[1]!, 8));
      expect(flags).to.have.length(3);
      for (const each of flags) expect(each & 0o4000).to.equal(0);
      child.stderr!.close();
      await child.waitForExit();
    });
  });

  it("N87 does not let a second child keep the first one's pipes open", async () => {
    await onLoop(async () => {
      const first = new Subprocess(["cat"], { stdin: STREAM, stdout: STREAM });
      const second = new Subprocess(["cat"], { stdin: STREAM });
      first.stdin!.close();
      // With a copy of the pipe in the second, the first would read on for ever.
      expect((await first.stdout!.readUntilClose()).length).to.equal(0);
      await first.waitForExit();
      second.stdin!.close();
      await second.waitForExit();
    });
  });

  it("N88 throws at once for a program or a folder that does not exist or may not be used", async () => {
    makeLoop();
    const before = openDescriptors().size;
    const plain = join(folder, "plain");
    writeFileSync(plain, "#!/bin/sh\n");
    const script = join(folder, "script");
    writeFileSync(script, "#!/no/such/interpreter\n");
    chmodSync(script, 0o700);
    const cases: [string[], SubprocessOptions, string, string][] = [
      [["no-such-program"], {}, "ENOENT", "no-such-program"],
      [[join(folder, "missing")], {}, "ENOENT", join(folder, "missing")],
      [[plain], {}, "EACCES", plain],
      [[folder], {}, "EACCES", folder],
      [[script], {}, "ENOENT", script],
      [["true"], { cwd: join(folder, "missing") }, "ENOENT", join(folder, "missing")],
      [["true"], { env: { PATH: folder } }, "ENOENT", "true"],
    ];
    for (const [args, options, code, path] of cases) {
      const error = errorOf(() => new Subprocess(args, { stdin: STREAM, stdout: STREAM, stderr: STREAM, ...options }));
      expect(error, args.join()).to.include({ code, syscall: "spawn", path });
    }
    expect(openDescriptors().size).to.equal(before);
    // An error event that nobody listens for would come now, and end the process.
    await nextRound();
    await nextRound();
  });

  it("N88 closes its pipes when one of them, or a stream, cannot be made", () => {
    makeLoop();
    const before = openDescriptors().size;
    for (const at of [1, 2, 3]) {
      using _fault = injectFault("pipe2", { errno: "EMFILE", at });
      const error = errorOf(() => new Subprocess(["true"], { stdin: STREAM, stdout: STREAM, stderr: STREAM }));
      expect(error.code).to.equal("EMFILE");
      expect(openDescriptors().size, `pipe ${at}`).to.equal(before);
    }
    for (let at = 1; at <= 3; at++) {
      using _fault = injectFault("fcntl", { errno: "EBADF", at });
      expect(errorOf(() => new Subprocess(["true"], { stdin: STREAM })).code).to.equal("EBADF");
      expect(openDescriptors().size, `fcntl ${at}`).to.equal(before);
    }
  });

  it("N88 refuses wrong arguments", () => {
    makeLoop();
    for (const args of [[], "", [""], ["echo", 5], 5, undefined, ["a\0b"]]) {
      expect(
        errorOf(() => new Subprocess(args as never)),
        String(args),
      ).to.be.instanceOf(TypeError);
    }
    expect(errorOf(() => new Subprocess(["echo"], { shell: true })).message).to.match(/a shell takes its command line as one string/);
    for (const options of [{ stdinn: STREAM }, { cwd: 5 }, { env: "A=1" }, { uid: "0" }, { detached: 1 }, { shell: 5 }, 5]) {
      expect(
        errorOf(() => new Subprocess("true", options as never)),
        JSON.stringify(options),
      ).to.be.instanceOf(TypeError);
    }
    expect(errorOf(() => new Subprocess("true", { uid: -1 }))).to.be.instanceOf(RangeError);
  });

  it("N88 hands folder, environment, shell and session on to the child", async () => {
    await onLoop(async () => {
      expect((await outputOf(["pwd"], { cwd: folder }))[0]).to.equal(`${folder}\n`);
      expect((await outputOf('echo "$A-$HOME"', { shell: "/bin/sh", env: { A: "1" } }))[0]).to.equal("1-\n");
      const [stat] = await outputOf(["cat", "/proc/self/stat"], { detached: true });
      const [pid, , , , group] = stat.split(" ");
      expect(group).to.equal(pid);
    });
  });

  it("N89 says how the child ended, before the exit callback runs", async () => {
    await onLoop(async (loop) => {
      for (const [command, returncode] of [
        ["exit 0", 0],
        ["exit 3", 3],
        ["kill -TERM $$", -15],
        ["kill -KILL $$", -9],
      ] as const) {
        const child = new Subprocess(command, { shell: true });
        expect(child.returncode).to.equal(undefined);
        const seen: unknown[] = [];
        child.setExitCallback((code) => seen.push(code, child.returncode));
        expect(await child.waitForExit({ raiseError: false })).to.equal(returncode);
        while (seen.length === 0) await new Promise<void>((resolve) => loop.addCallback(resolve));
        expect(seen).to.deep.equal([returncode, returncode]);
      }
    });
  });

  it("N90 runs the exit callback once, as a callback of the loop, also when it is set after the end", async () => {
    await onLoop(async (loop) => {
      const child = new Subprocess(["true"]);
      await child.waitForExit();
      const steps: string[] = [];
      loop.addCallback(() => steps.push("before"));
      child.setExitCallback((code) => steps.push(`exit ${code}`));
      loop.addCallback(() => steps.push("after"));
      steps.push("set");
      while (steps.length < 4) await new Promise<void>((resolve) => loop.addCallback(resolve));
      expect(steps).to.deep.equal(["set", "before", "exit 0", "after"]);
    });
  });

  it("N90 replaces a callback that has not run", async () => {
    await onLoop(async (loop) => {
      const calls: string[] = [];
      const child = new Subprocess(["true"]);
      child.setExitCallback(() => calls.push("first"));
      child.setExitCallback(() => calls.push("second"));
      await child.waitForExit();
      child.setExitCallback(() => calls.push("third"));
      for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => loop.addCallback(resolve));
      expect(calls).to.deep.equal(["third"]);
      expect(() => child.setExitCallback(5 as never)).to.throw(TypeError, /^callback is 5/);
    });
  });

  it("N90 reports what the exit callback throws as any callback's", async () => {
    await onLoop(async (loop) => {
      expectLog("application", "error", /^Exception in callback[^]*boom/);
      const child = new Subprocess(["true"]);
      child.setExitCallback(() => {
        throw new Error("boom");
      });
      await child.waitForExit();
      for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => loop.addCallback(resolve));
    });
  });

  it("N91 answers any number of waiters, before and after the end", async () => {
    await onLoop(async () => {
      const child = new Subprocess(["sh", "-c", "exit 7"]);
      const waiters = [child.waitForExit(), child.waitForExit({ raiseError: false }), child.waitForExit()];
      const cancelled = child.waitForExit();
      cancelled.cancel();
      const error = (await rejection(waiters[0]!)) as CalledProcessError;
      expect(error).to.be.instanceOf(CalledProcessError);
      expect(error.returncode).to.equal(7);
      expect(error.cmd).to.deep.equal(["sh", "-c", "exit 7"]);
      expect(error.message).to.equal("Command 'sh -c exit 7' exited with status 7");
      expect(await waiters[1]).to.equal(7);
      expect(await rejection(waiters[2]!)).to.be.instanceOf(CalledProcessError);
      expect(await rejection(cancelled)).to.be.instanceOf(CancelledError);
      expect(await child.waitForExit({ raiseError: false })).to.equal(7);
      expect(errorOf(() => child.waitForExit({ raiseErrors: false } as object))).to.be.instanceOf(TypeError);
      expect(errorOf(() => child.waitForExit({ raiseError: 0 as never }))).to.be.instanceOf(TypeError);
    });
  });

  it("N91 names the signal in the message, and takes 0 for success", async () => {
    await onLoop(async () => {
      const child = new Subprocess("kill -TERM $$", { shell: true });
      const error = await rejection(child.waitForExit());
      expect(error.message).to.equal("Command 'kill -TERM $$' was ended by signal 15 (SIGTERM)");
      expect(await new Subprocess(["true"]).waitForExit()).to.equal(0);
    });
  });

  it("N91 answers when a signal sent through proc ends the child", async () => {
    await onLoop(async () => {
      const child = new Subprocess(["sleep", "100"]);
      child.proc.kill("SIGTERM");
      expect(await child.waitForExit({ raiseError: false })).to.equal(-15);
    });
  });

  it("N92 leaves the output there when the exit is told first, and the streams open", async () => {
    await onLoop(async () => {
      const child = new Subprocess("echo last words; exit 1", { shell: true, stdout: STREAM, stderr: STREAM });
      await child.waitForExit({ raiseError: false });
      expect(child.stdout!.closed()).to.equal(false);
      expect((await child.stdout!.readUntilClose()).toString()).to.equal("last words\n");
      expect(child.stderr!.closed()).to.equal(false);
      child.stderr!.close();
    });
  });

  it("N85 carries more than a pipe holds in both directions at once", async () => {
    await onLoop(async () => {
      const child = new Subprocess(["cat"], { stdin: STREAM, stdout: STREAM });
      const data = Buffer.alloc(1 << 20, "0123456789");
      const read = child.stdout!.readBytes(data.length);
      await child.stdin!.write(data);
      child.stdin!.close();
      expect((await read).equals(data)).to.equal(true);
      child.stdout!.close();
      await child.waitForExit();
    });
  });

  it("N93 counts processors, and has no task here", () => {
    expect(Number.isInteger(cpuCount())).to.equal(true);
    expect(cpuCount()).to.be.at.least(1);
    expect(taskId()).to.equal(undefined);
    // Kept names.
    Subprocess.initialize();
    Subprocess.uninitialize();
  });
});
