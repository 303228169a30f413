/**
 * `Subprocess`: a child process with pipes that are streams of the loop. Depends on `node:child_process` to start it and to hear of its end, on our own
 * pipes and `PipeIOStream` for what goes in and out.
 *
 * What Node's `spawn` does otherwise, and is made good here: it makes pipes unless told not to; a program that does not exist is reported by
 * a later event; and a pipe of its making is a socket pair, which a child cannot open by way of /dev/stdin.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants as files, readFileSync, statSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, resolve } from "node:path";
import { Future } from "../concurrent/index.js";
import { checkCallback, IOLoop } from "../ioloop/index.js";
import { PipeIOStream } from "../iostream/index.js";
import { constructing } from "../names.js";
import { closeDescriptor, enlargePipe, errno, isOpen, pipe, setNonblocking, systemError } from "../platform/index.js";
import { checkFlag, checkOptions, checkWhole, show } from "./arguments.js";

const STREAM: unique symbol = Symbol("Subprocess.STREAM");
const STDOUT: unique symbol = Symbol("Subprocess.STDOUT");
const DEVNULL: unique symbol = Symbol("Subprocess.DEVNULL");

/**
 * What a standard stream of the child is: `undefined` for this process's own, `Subprocess.STREAM` for a pipe to us, `DEVNULL`, for stderr also
 * `STDOUT`, or a descriptor that is open here, which the child shares.
 */
export type SubprocessStdio = typeof STREAM | typeof STDOUT | typeof DEVNULL | number | { fileno(): number } | undefined;

/** What `new Subprocess()` takes. */
export interface SubprocessOptions {
  stdin?: SubprocessStdio;
  stdout?: SubprocessStdio;
  stderr?: SubprocessStdio;
  /** The child's working directory; this process's without it. */
  cwd?: string | undefined;
  /** The child's whole environment; this process's without it. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Has a shell run the command, which is a single string then: /bin/sh, or the one named. */
  shell?: boolean | string | undefined;
  /** User of the child. */
  uid?: number | undefined;
  /** Group of the child. */
  gid?: number | undefined;
  /** Makes the child the leader of a process group and session of its own. */
  detached?: boolean | undefined;
}

const OPTION_KEYS = ["stdin", "stdout", "stderr", "cwd", "env", "shell", "uid", "gid", "detached"];

/** A child process ended otherwise than with status 0. Python: `subprocess.CalledProcessError`. */
export class CalledProcessError extends Error {
  static {
    this.prototype.name = "CalledProcessError";
  }

  /** The exit status, or minus the number of the signal that ended it. */
  readonly returncode: number;
  /** What was run. */
  readonly cmd: string | readonly string[];

  constructor(returncode: number, cmd: string | readonly string[]) {
    const how = returncode < 0 ? `was ended by signal ${signalName(-returncode)}` : `exited with status ${returncode}`;
    super(`Command ${show(typeof cmd === "string" ? cmd : cmd.join(" "))} ${how}`);
    this.returncode = returncode;
    this.cmd = cmd;
  }
}

function signalName(number: number): string {
  const name = Object.entries(constants.signals).find(([, each]) => each === number)?.[0];
  return name === undefined ? String(number) : `${number} (${name})`;
}

type StreamName = "stdin" | "stdout" | "stderr";

/**
 * What a pipe to a child holds, where the system allows it; otherwise it is the system's 64 KiB, which two processes on two cores fill and empty in step,
 * each waking the other for every chunk. Bulk from a child comes 4.4 times as fast, 5.4 against 1.2 GB/s, and with 1 MiB no faster (Node 20,
 * `npm run bench -- --only=pipe-bulk`). An empty pipe holds no memory.
 */
const PIPE_SIZE = 1 << 18;

/** The pipes of one Subprocess while it is being made: all are closed if that fails. */
class Pipes {
  /** Our ends. */
  readonly streams: Partial<Record<StreamName, PipeIOStream>> = {};
  readonly #childs: number[] = [];

  /** Makes one, and gives the child's end. */
  open(name: StreamName): number {
    const [read, write] = pipe();
    // Which end is ours depends on which way it goes.
    const [ours, childs] = name === "stdin" ? [write, read] : [read, write];
    this.#childs.push(childs);
    try {
      enlargePipe(ours, PIPE_SIZE);
      this.streams[name] = new PipeIOStream(ours);
    } catch (error) {
      closeDescriptor(ours);
      throw error;
    }
    // Non-blocking mode is the open file's, so the child would have it too, and programs do not expect EAGAIN.
    setNonblocking(childs, false);
    return childs;
  }

  /** The child has its ends, so ours of them would only keep the pipes open. */
  started(): void {
    for (const fd of this.#childs.splice(0)) closeDescriptor(fd);
  }

  closeAll(): void {
    this.started();
    for (const stream of Object.values(this.streams)) stream.close();
  }
}

/**
 * A child process on the loop.
 *
 * Tornado: `Subprocess`.
 *
 * @example
 * const child = new Subprocess(["sort"], { stdin: Subprocess.STREAM, stdout: Subprocess.STREAM });
 * await child.stdin.write("b\na\n");
 * child.stdin.close();
 * console.log((await child.stdout.readUntilClose()).toString());
 * await child.waitForExit();
 */
export class Subprocess {
  /** A pipe, whose other end is a `PipeIOStream` here. */
  static readonly STREAM: typeof STREAM = STREAM;
  /** For stderr: into the same as stdout. */
  static readonly STDOUT: typeof STDOUT = STDOUT;
  /** /dev/null. */
  static readonly DEVNULL: typeof DEVNULL = DEVNULL;

  /** The loop that was current at construction. */
  readonly ioLoop: IOLoop = IOLoop.current();
  /** Where to write what the child reads; `undefined` unless asked for by STREAM. The caller's to close, as the other two. */
  readonly stdin: PipeIOStream | undefined;
  /** Where to read what the child writes. */
  readonly stdout: PipeIOStream | undefined;
  /** Where to read the errors that the child writes. */
  readonly stderr: PipeIOStream | undefined;
  /** The child's number. */
  readonly pid: number;
  /** Node's own object for it. */
  readonly proc: ChildProcess;
  /** How it ended: the exit status, or minus the signal's number; `undefined` while it runs. */
  returncode: number | undefined = undefined;

  readonly #cmd: string | readonly string[];
  #exitCallback: ((returncode: number) => void) | undefined;
  #exitQueued = false;
  readonly #waiters = new Set<{ readonly future: Future<number>; readonly raiseError: boolean }>();

  /**
   * Starts it.
   *
   * @param args - program and arguments, or the program alone; with `shell`, the command line
   * @throws TypeError, RangeError for wrong arguments
   * @throws SystemError ENOENT or EACCES (`syscall: "spawn"`, `path`) for a program or a `cwd` that does not exist or may not be used; EBADF for a
   *   descriptor that is not open; EMFILE. Nothing is left behind
   */
  constructor(args: string | readonly string[], options: SubprocessOptions = {}) {
    constructing(new.target);
    checkOptions(`new ${new.target.name}()`, OPTION_KEYS, options);
    const [file, ...rest] = readCommand(args, options.shell);
    checkEnvironment(options);
    this.#cmd = args;
    for (const name of ["stdin", "stdout", "stderr"] as const) checkStdio(name, options[name]);
    const pipes = new Pipes();
    try {
      const { stdin, stdout, stderr } = options;
      const inDescriptor = standard("stdin", 0, stdin, pipes);
      const outDescriptor = standard("stdout", 1, stdout, pipes);
      const errDescriptor = stderr === STDOUT ? outDescriptor : standard("stderr", 2, stderr, pipes);
      const { cwd, env, shell, uid, gid, detached } = options;
      const child = spawn(file, rest, {
        stdio: [inDescriptor, outDescriptor, errDescriptor],
        ...given({ cwd, env, shell, uid, gid, detached }),
      });
      this.proc = child;
      if (child.pid === undefined) {
        // The reason comes by an event, in a while; whoever made this object is told now.
        child.once("error", () => undefined);
        throw whyNot(shellOf(options.shell) ?? file, options);
      }
      this.pid = child.pid;
    } catch (error) {
      pipes.closeAll();
      throw error;
    }
    pipes.started();
    ({ stdin: this.stdin, stdout: this.stdout, stderr: this.stderr } = pipes.streams);
    this.proc.once("exit", (status, signal) => {
      this.#exited(signal === null ? (status ?? 0) : -constants.signals[signal]);
    });
    // A kill() that fails, which nobody waits for.
    this.proc.on("error", () => undefined);
  }

  /** A kept name: Node reaps children itself, so this does nothing. */
  static initialize(): void {
    // See above.
  }

  /** A kept name: this does nothing. */
  static uninitialize(): void {
    // See above.
  }

  /**
   * Runs `callback(returncode)` once, on the loop, when the child has ended; also when it has ended already. A later call replaces a
   * callback that has not run. The last output may not have been read by then.
   *
   * Tornado: `set_exit_callback`.
   *
   * @throws TypeError when `callback` is no function
   */
  setExitCallback(callback: (returncode: number) => void): void {
    checkCallback(callback, "callback");
    this.#exitCallback = callback;
    if (this.returncode !== undefined) this.#queueExitCallback();
  }

  /**
   * A Future of how the child ended. It fails with {@link CalledProcessError} unless that is 0, or `raiseError` is false. Any number may wait.
   *
   * Tornado: `wait_for_exit` (4.2).
   */
  waitForExit(options: { raiseError?: boolean } = {}): Future<number> {
    checkOptions("waitForExit()", ["raiseError"], options);
    const { raiseError = true } = options;
    checkFlag("raiseError", raiseError);
    const future = new Future<number>({ loop: this.ioLoop });
    const waiter = { future, raiseError };
    if (this.returncode === undefined) this.#waiters.add(waiter);
    else this.#answer(waiter, this.returncode);
    return future;
  }

  #exited(returncode: number): void {
    this.returncode = returncode;
    if (this.#exitCallback !== undefined) this.#queueExitCallback();
    for (const waiter of this.#waiters) this.#answer(waiter, returncode);
    this.#waiters.clear();
  }

  #answer({ future, raiseError }: { future: Future<number>; raiseError: boolean }, returncode: number): void {
    if (future.done()) return;
    if (raiseError && returncode !== 0) future.setException(new CalledProcessError(returncode, this.#cmd));
    else future.setResult(returncode);
  }

  #queueExitCallback(): void {
    if (this.#exitQueued) return;
    this.#exitQueued = true;
    this.ioLoop.addCallback(() => {
      this.#exitQueued = false;
      const callback = this.#exitCallback;
      this.#exitCallback = undefined;
      return callback?.(this.returncode as number);
    });
  }
}

/** The command as a list that is not empty. */
function readCommand(args: unknown, shell: unknown): [file: string, ...rest: string[]] {
  if (shell !== undefined && typeof shell !== "boolean" && typeof shell !== "string") {
    throw new TypeError(`shell is ${show(shell)}: pass true, or the path of a shell`);
  }
  const list: unknown = typeof args === "string" ? [args] : args;
  if (!Array.isArray(list) || !list.every((each) => typeof each === "string")) {
    throw new TypeError(`args is ${show(args)}: pass a program and its arguments as an array of strings, or one string`);
  }
  if (list.length === 0 || list[0] === "") throw new TypeError(`args is ${show(args)}: pass the name of a program`);
  if (list.some((each) => each.includes("\0"))) throw new TypeError(`args is ${show(args)}: an argument cannot have a NUL in it`);
  if (shell !== undefined && shell !== false && typeof args !== "string") {
    throw new TypeError(`args is ${show(args)} and shell is ${show(shell)}: a shell takes its command line as one string`);
  }
  return list as [string, ...string[]];
}

function checkEnvironment({ cwd, env, uid, gid, detached }: SubprocessOptions): void {
  if (cwd !== undefined && typeof cwd !== "string") throw new TypeError(`cwd is ${show(cwd)}: pass a path`);
  if (env !== undefined && (typeof env !== "object" || (env as unknown) === null))
    throw new TypeError(`env is ${show(env)}: pass an object`);
  if (uid !== undefined) checkWhole("uid", uid, 0, 0xffffffff);
  if (gid !== undefined) checkWhole("gid", gid, 0, 0xffffffff);
  checkFlag("detached", detached);
}

function checkStdio(name: string, value: unknown): void {
  if (value === undefined || value === STREAM || value === DEVNULL) return;
  if (value === STDOUT) {
    if (name === "stderr") return;
    throw new RangeError(`${name} is Subprocess.STDOUT, which only stderr can be: use Subprocess.STREAM for a pipe`);
  }
  if (typeof value === "string") {
    throw new RangeError(`${name} is ${show(value)}: use Subprocess.STREAM for a pipe, DEVNULL for /dev/null, or leave it out to inherit`);
  }
  const fd = hasFileno(value) ? value.fileno() : value;
  if (typeof fd !== "number") {
    throw new TypeError(`${name} is ${show(value)}: use Subprocess.STREAM, DEVNULL, a descriptor, or an object with fileno()`);
  }
  if (typeof value === "number") checkWhole(name, fd, 0, 0x7fffffff);
  if (fd < 0 || !isOpen(fd)) throw systemError(errno("EBADF"), "spawn", { reason: `${name} is descriptor ${fd}, which is not open` });
}

function hasFileno(value: unknown): value is { fileno(): unknown } {
  return typeof value === "object" && value !== null && "fileno" in value && typeof value.fileno === "function";
}

/** What Node's `spawn` is told of one standard stream. */
function standard(name: StreamName, own: number, value: SubprocessStdio, pipes: Pipes): number | "ignore" {
  if (value === undefined) return own;
  if (value === DEVNULL) return "ignore";
  if (typeof value === "number") return value;
  if (typeof value === "object") return value.fileno();
  return pipes.open(name);
}

/** Without the keys whose value is `undefined`. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function shellOf(shell: boolean | string | undefined): string | undefined {
  return shell === true ? "/bin/sh" : shell === false ? undefined : shell;
}

/**
 * Why a program could not be started. Node keeps the kernel's answer for its event; for the errors that it does keep (EACCES, ENOENT, and those of
 * too many processes or descriptors) the file system tells the same.
 */
function whyNot(file: string, { cwd, env = process.env }: SubprocessOptions): Error {
  if (cwd !== undefined) {
    const code = usable(cwd, true);
    if (code !== undefined) return systemError(errno(code), "spawn", { path: cwd, reason: "cwd" });
  }
  const base = cwd ?? process.cwd();
  const folders = file.includes("/") ? [""] : (env["PATH"] ?? "/bin:/usr/bin").split(delimiter);
  let code = "ENOENT";
  for (const folder of folders) {
    const path = resolve(base, folder, file);
    const answer = usable(path, false);
    // A script that may be run, and was not: its interpreter is missing. Anything else that may be run met a limit.
    if (answer === undefined) return systemError(errno(isScript(path) ? "ENOENT" : "EAGAIN"), "spawn", { path: file });
    // As execvp(3) has it: a file that may not be run is told of rather than that there is none.
    if (answer === "EACCES") code = answer;
  }
  return systemError(errno(code), "spawn", { path: file });
}

function isScript(path: string): boolean {
  return readFileSync(path).subarray(0, 2).toString("latin1") === "#!";
}

function usable(path: string, directory: boolean): string | undefined {
  try {
    if (statSync(path).isDirectory() !== directory) return directory ? "ENOTDIR" : "EACCES";
    accessSync(path, files.X_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? "EACCES" : "ENOENT";
  }
}
